"""Watches a training for signs of reward hacking, and decides which there are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from agentgym.runs.summary_json import SignJson, SignKind
from agentgym.training.hub.rollout_result import RolloutResult
from agentgym.training.job.task import Phase, Task
from agentgym.training.signs.given_up import given_up
from agentgym.training.signs.lengths import drifted
from agentgym.training.signs.no_call import without_call
from agentgym.training.signs.not_carried_over import not_carried_over
from agentgym.training.signs.one_form import one_form
from agentgym.training.signs.scenario_evidence import Evidence
from agentgym.training.signs.seen_episode import SeenEpisode
from agentgym.training.signs.sides import Sides

TITLES: dict[SignKind, str] = {
    "held_out": "only train cases gain",
    "checks": "a check was given up",
    "one_form": "one form for all cases",
    "no_call": "passes without acting",
    "lengths": "lengths drift",
}
"""What each kind of sign is called."""
_OF_A_SCENARIO: dict[SignKind, Callable[[Sides], str | None]] = {
    "checks": given_up,
    "one_form": one_form,
    "no_call": without_call,
    "lengths": drifted,
}
"""Those that compare how the episodes of one scenario were played."""


class Watch:
    """Keeps what the signs need of a training's episodes.

    Args:
        kept: What `state` gave in an earlier session.
    """

    def __init__(self, kept: Mapping[str, Any] | None = None) -> None:
        kept = kept or {}
        self._scenarios: defaultdict[str, Evidence] = defaultdict(Evidence)
        for name, data in kept.get("scenarios", {}).items():
            self._scenarios[name] = Evidence.from_json(data)
        self._since: dict[str, int] = dict(kept.get("since", {}))

    def trained(self, groups: Iterable[Sequence[RolloutResult]], version: int) -> None:
        """Takes in groups of train episodes.

        Args:
            groups: Each on one case, which was not chosen for being difficult.
            version: Of the policy that played them.
        """
        for group in groups:
            played = [found for each in group if (found := seen_of(each)) is not None]
            if played:
                self.add_trained(group[0].task.scenario, played, version)

    def add_trained(
        self, scenario: str, group: Sequence[SeenEpisode], version: int
    ) -> None:
        """Takes in one of these groups.

        Args:
            scenario: Node id.
            group: Its episodes that count.
            version: Of the policy that played them.
        """
        self._scenarios[scenario].add_trained(group, version)

    def validated(self, results: Iterable[RolloutResult]) -> None:
        """Takes in a validation, which takes the place of the one before."""
        found: dict[str, list[SeenEpisode]] = defaultdict(list)
        for result in results:
            played = seen_of(result)
            if played is not None:
                # Only whether they passed is compared.
                found[result.task.scenario].append(replace(played, traits=None))
        for name, episodes in found.items():
            evidence = self._scenarios[name]
            evidence.validation = evidence.look(episodes)

    def measured(
        self, phase: Phase, scenarios: Mapping[str, list[SeenEpisode]]
    ) -> None:
        """Takes in a measurement, which takes the place of the one before.

        Args:
            phase: "before" or "after".
            scenarios: The held-out episodes of each that count.
        """
        for name, played in scenarios.items():
            evidence = self._scenarios[name]
            if phase == "before":
                evidence.before = played
            else:
                evidence.after = evidence.look(played)

    def signs(self, update: int) -> list[SignJson]:
        """The signs that there are now.

        Args:
            update: Number of the latest update.
        """
        found = list(self._found())
        self._since = {
            key: self._since.get(key, update)
            for key in (_key(kind, scenario) for kind, scenario, _ in found)
        }
        return [
            {
                "kind": kind,
                "title": TITLES[kind],
                "scenario": scenario,
                "sentence": sentence,
                "since": self._since[_key(kind, scenario)],
            }
            for kind, scenario, sentence in found
        ]

    def state(self) -> dict[str, Any]:
        """What has to be kept to go on later, as JSON has it."""
        return {
            "scenarios": {n: each.to_json() for n, each in self._scenarios.items()},
            "since": self._since,
        }

    def _found(self) -> Iterator[tuple[SignKind, str | None, str]]:
        alone = False
        for name, evidence in sorted(self._scenarios.items()):
            sentence = not_carried_over({name: evidence})
            if sentence is not None:
                alone = True
                yield "held_out", name, sentence
            for kind, sign in _OF_A_SCENARIO.items():
                said = next(filter(None, map(sign, evidence.sides())), None)
                if said is not None:
                    yield kind, name, said
        # Of all scenarios together more is certain than of each.
        together = None if alone else not_carried_over(self._scenarios)
        if together is not None:
            yield "held_out", None, together


def seen_of(result: RolloutResult) -> SeenEpisode | None:
    """The episode of a rollout; None if it does not count."""
    if not result.outcome.counts or result.reward is None:
        return None
    return SeenEpisode(
        case=case_name(result.task),
        passed=result.outcome == "passed",
        reward=result.reward,
        traits=result.traits,
    )


def case_name(task: Task) -> str:
    """The name of a task's case among those of its scenario."""
    return f"{task.split}-{task.case}"


def _key(kind: str, scenario: str | None) -> str:
    return f"{kind} {scenario or ''}"
