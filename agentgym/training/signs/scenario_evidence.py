"""What is kept of a scenario's episodes while a training goes on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from agentgym.training.signs.seen_episode import SeenEpisode
from agentgym.training.signs.sides import Sides

FIRST_CASES, FIRST_PASSED = 2, 4
"""The first train episodes are those before the first update, and more until they are
of so many cases, and as many have passed."""
LATEST_CASES = 6
"""Kept of the latest train episodes: with more, a sign would come later."""


@dataclass(frozen=True, slots=True)
class Look:
    """A version's episodes that nothing is learned from, and its train ones.

    Attributes:
        unseen: On held-out or validation cases.
        trained: The latest train episodes when these were played.
    """

    unseen: Sequence[SeenEpisode] = ()
    trained: Sequence[SeenEpisode] = ()


@dataclass(slots=True)
class Evidence:
    """Episodes of one scenario.

    Attributes:
        before: Held-out ones before training.
        first: The first train ones.
        latest: The latest train ones, by groups of one case, none of which was chosen
            for being difficult.
        validation: The last one.
        after: The last measurement after training.
    """

    before: Sequence[SeenEpisode] = ()
    first: list[SeenEpisode] = field(default_factory=list)
    latest: list[list[SeenEpisode]] = field(default_factory=list)
    validation: Look = Look()
    after: Look = Look()

    def add_trained(self, group: Sequence[SeenEpisode], version: int) -> None:
        """Takes in the episodes of a group on a case that is new to the training.

        Args:
            group: Those that count.
            version: Of the policy that played them.
        """
        cases = {each.case for each in self.first}
        passed = sum(each.passed for each in self.first)
        if not version or len(cases) < FIRST_CASES or passed < FIRST_PASSED:
            self.first += group
            return
        self.latest = [*self.latest, list(group)][-LATEST_CASES:]

    def look(self, unseen: Sequence[SeenEpisode]) -> Look:
        """What a measurement of the present version is compared by.

        Args:
            unseen: Its episodes.
        """
        return Look(unseen, [replace(each, traits=None) for each in self._trained])

    def sides(self) -> Iterator[Sides]:
        """What can be compared, that which says more first: like with like."""
        if self.after.unseen:
            yield Sides(
                before=self.before,
                first=[],
                now=self.after.unseen,
                now_are="held-out episodes after training",
            )
        if self.latest:
            yield Sides(
                before=self.before,
                first=self.first,
                now=self._trained,
                now_are="latest train episodes",
            )

    @property
    def _trained(self) -> list[SeenEpisode]:
        return [each for group in self.latest for each in group]

    def to_json(self) -> dict[str, Any]:
        """The form in a training's state; measurements have a file of their own."""
        return {
            "first": _to_json(self.first),
            "latest": list(map(_to_json, self.latest)),
            "validation": [
                _to_json(self.validation.unseen),
                _to_json(self.validation.trained),
            ],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Evidence:
        """What `to_json` described."""
        return cls(
            first=_from_json(data["first"]),
            latest=list(map(_from_json, data["latest"])),
            validation=Look(*map(_from_json, data["validation"])),
        )


def _to_json(played: Sequence[SeenEpisode]) -> list[dict[str, Any]]:
    return [each.to_json() for each in played]


def _from_json(data: Sequence[Mapping[str, Any]]) -> list[SeenEpisode]:
    return list(map(SeenEpisode.from_json, data))
