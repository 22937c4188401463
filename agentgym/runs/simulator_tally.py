"""Which scenarios a judge or a simulated user took part in, and how often."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from agentgym.playing.episode import Episode
from agentgym.runs.lines import Heading, Line, count, number, wrapped


@dataclass(slots=True)
class RoleTally:
    """One role over all episodes of a run, those that do not count included.

    Attributes:
        scenarios: Node ids.
        answers: Verdicts, or messages.
        cached: How many of the verdicts were known already.
        tokens: What the others took.
    """

    models: set[str] = field(default_factory=set)
    scenarios: set[str] = field(default_factory=set)
    answers: int = 0
    cached: int = 0
    tokens: int = 0

    def add(self, scenario: str, told: dict[str, Any]) -> None:
        """Counts what it did in one episode."""
        verdicts = told.get("verdicts", ())
        self.models.add(told["model"])
        self.scenarios.add(scenario)
        self.answers += told.get("messages", len(verdicts))
        self.cached += sum(verdict["cached"] for verdict in verdicts)
        self.tokens += told["tokens"]


@dataclass(slots=True)
class SimulatorTally:
    """Judges and simulated users of a run.

    Attributes:
        undeclared: Scenarios that do not say that they are judged: no training may
            learn from their rewards.
    """

    judge: RoleTally = field(default_factory=RoleTally)
    user: RoleTally = field(default_factory=RoleTally)
    undeclared: set[str] = field(default_factory=set)

    def add(self, episode: Episode) -> None:
        """Counts one episode."""
        told = episode.simulators
        if told is None:
            return
        for role, tally in (("judge", self.judge), ("user", self.user)):
            if role in told:
                tally.add(episode.scenario, told[role])
        if not told["declared"]:
            self.undeclared.add(episode.scenario)

    def to_json(self) -> dict[str, Any]:
        """The form in `summary.json`; None for who took no part."""
        return {
            "judge": _role(self.judge, verdicts=self.judge.answers),
            "user": _role(self.user, messages=self.user.answers),
            "undeclared": sorted(self.undeclared),
        }


def _role(tally: RoleTally, **answers: int) -> dict[str, Any] | None:
    if not tally.scenarios:
        return None
    told = {"models": sorted(tally.models), "scenarios": sorted(tally.scenarios)}
    cached = {"cached": tally.cached} if "verdicts" in answers else {}
    return {**told, **answers, **cached, "tokens": tally.tokens}


def simulators_section(simulators: SimulatorTally, width: int) -> Iterator[Line]:
    """Who judged and who was simulated, for the end of the report."""
    judge, user = simulators.judge, simulators.user
    if not judge.scenarios and not user.scenarios:
        return
    yield Heading("judges and simulated users")
    if judge.scenarios:
        yield from _told(
            f"judged by {_models(judge)}: {count(judge.answers, 'verdict')}, "
            f"{judge.cached} from the cache; {_size(judge.tokens)} tokens",
            judge,
            width,
        )
    if user.scenarios:
        yield from _told(
            f"user simulated by {_models(user)}: {count(user.answers, 'message')}; "
            f"{_size(user.tokens)} tokens",
            user,
            width,
        )


def _size(tokens: int) -> str:
    return number(tokens) if tokens >= 10_000 else str(tokens)


def _models(tally: RoleTally) -> str:
    return ", ".join(sorted(tally.models))


def _told(text: str, tally: RoleTally, width: int) -> Iterator[Line]:
    yield from wrapped(text, width, hanging="  ")
    for name in sorted(tally.scenarios):
        yield from wrapped(name, width, "  ")
