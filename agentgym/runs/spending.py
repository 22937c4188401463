"""Tokens and money that episodes took, added up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import cast

from agentgym.playing.episode import Episode
from agentgym.recording.blame import Outcome
from agentgym.runs.prices import Prices
from agentgym.runs.summary_json import CostJson, SolvedJson, SpentJson, UsageJson

UNNAMED = "a model without a name"

ModelUse = tuple[str | None, int | None, int | None]
"""A model's name, and the prompt and completion tokens of one call, if reported."""


@dataclass(slots=True, kw_only=True)
class Usage:
    """What some model calls took.

    Attributes:
        calls: Model calls.
        silent: Those that did not report their tokens.
        usd: US dollars, without the discounts that providers give for cached prompts.
        unpriced: Tokens by the name of a model whose calls' price is not known, or
            whose calls did not report their tokens.
        local: Calls of a policy that runs on the user's own machine, for nothing.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    calls: int = 0
    silent: int = 0
    local: int = 0
    usd: float = 0.0
    unpriced: dict[str, int] = field(default_factory=dict)

    @property
    def tokens(self) -> int:
        """Prompt and completion tokens."""
        return self.input_tokens + self.output_tokens

    @property
    def known(self) -> float | None:
        """The money in US dollars; None unless all of it is known."""
        return None if self.unpriced else self.usd

    def count(self, use: ModelUse, prices: Prices, *, local: bool = False) -> None:
        """Adds one model call.

        Args:
            use: Its model and its tokens.
            prices: Where prices come from.
            local: Whether a policy on this machine answered it, for nothing.
        """
        model, prompt, completion = use
        self.calls += 1
        silent = prompt is None and completion is None
        self.silent += silent
        prompt, completion = prompt or 0, completion or 0
        self.input_tokens += prompt
        self.output_tokens += completion
        name = model or UNNAMED
        # A local policy answers to any name, also to that of a hosted model.
        cost = prices.own(name) if local else prices.of(name)
        if cost is None and local:
            self.local += 1
        elif cost is None or silent:
            tokens = prompt + completion
            self.unpriced[name] = self.unpriced.get(name, 0) + tokens
        else:
            self.usd += cost(prompt, completion)

    def per(self, number: int) -> SpentJson:
        """All of it divided by a number of episodes, as in `summary.json`."""
        usd = self.known
        return {
            "input_tokens": _divided(self.input_tokens, number),
            "output_tokens": _divided(self.output_tokens, number),
            "usd": None if usd is None else _divided(usd, number),
        }

    def usage_json(self) -> UsageJson:
        """The form in `summary.json`; money that is not all known is null."""
        return {
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "usd": self.per(1)["usd"],
            "calls": self.calls,
            "silent_calls": self.silent,
            "local_calls": self.local,
            "unpriced": dict(sorted(self.unpriced.items())),
        }


@dataclass(slots=True, kw_only=True)
class Spending(Usage):
    """What some episodes took, those that do not count included: they are paid, too.

    Attributes:
        judges: What judges and simulated users took; the rest is the agent's.
    """

    episodes: int = 0
    passed: int = 0
    judges: Usage = field(default_factory=Usage)

    @property
    def all_tokens(self) -> int:
        """The agent's tokens and the judges'."""
        return self.tokens + self.judges.tokens

    @property
    def all_usd(self) -> float:
        """The money for both, as far as it is known."""
        return self.usd + self.judges.usd

    def add(self, episode: Episode, prices: Prices) -> None:
        """Adds one episode.

        Args:
            episode: With all of its attempts: they are paid, too.
            prices: Where prices come from.
        """
        if not episode.alone:
            self.episodes += 1
            self.passed += episode.outcome is Outcome.passed
        local = is_local(episode.policy)
        for use in model_uses(episode):
            self.count(use, prices, local=local)
        for use in simulator_uses(episode):
            self.judges.count(use, prices)

    def to_json(self) -> CostJson:
        """The form in `summary.json`: the agent's, and what is judged beside it."""
        usd = None if None in (self.known, self.judges.known) else self.all_usd
        cost = {
            **self.usage_json(),
            "per_episode": self.per(self.episodes),
            "per_passed": self.per(self.passed),
            "judges": self.judges.usage_json(),
            "total": {
                "input_tokens": self.input_tokens + self.judges.input_tokens,
                "output_tokens": self.output_tokens + self.judges.output_tokens,
                "usd": None if usd is None else _divided(usd, 1),
            },
        }
        # Without `prices`, which are those of the whole run.
        return cast("CostJson", cost)


def is_local(policy: str | None) -> bool:
    """Whether it is a model that agentgym serves itself, on this machine."""
    return policy is not None and not policy.startswith(("http://", "https://"))


def model_uses(episode: Episode) -> Iterator[ModelUse]:
    """The model calls of all its attempts; one that failed reported no tokens.

    Yields:
        Name, prompt tokens and completion tokens.
    """
    for model, prompt, completion in episode.discarded:  # noqa: UP028 - tuples
        yield model, prompt, completion
    for call in episode.trajectory.model_calls:
        if call.error is None:
            yield call.model, call.prompt_tokens, call.completion_tokens


def simulator_uses(episode: Episode) -> Iterator[ModelUse]:
    """The same of judge and simulated users; a known verdict took no call.

    Yields:
        Name, prompt tokens and completion tokens.
    """
    simulators = episode.simulators or {}
    for role in ("judge", "user"):
        if role in simulators:
            for prompt, completion in simulators[role].get("calls", ()):
                yield simulators[role]["model"], prompt, completion


def per_passed(episodes: Sequence[Episode], prices: Prices) -> SolvedJson | None:
    """What a solved task took: tokens and tool calls per passed episode.

    Args:
        episodes: Those that failed are paid for, too; those that do not count are not.
        prices: At each one that the user gave, the same tokens are priced.

    Returns:
        None if none passed.
    """
    counted = [episode for episode in episodes if episode.counted]
    passed = sum(episode.outcome is Outcome.passed for episode in counted)
    if not passed:
        return None
    uses = [use for episode in counted for use in model_uses(episode)]
    prompt = sum(use[1] or 0 for use in uses)
    completion = sum(use[2] or 0 for use in uses)
    calls = sum(row["calls"] for episode in counted for row in episode.tools)
    return {
        "tokens": sum(episode.tokens for episode in counted) / passed,
        "tool_calls": calls / passed,
        "usd": {
            name: price(prompt, completion) / passed
            for name, price in prices.given.items()
        },
    }


def _divided(total: float, number: int) -> float | None:
    return round(total / number, 9) if number else None
