"""Which cases the next groups of episodes are played on."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

FLOOR = 0.15
"""Least weight of a scenario: what is mastered is still watched."""
MOST_UNCERTAIN = 64
"""Cases that are kept to be played again."""
MEMORY = 0.7
"""Share of what was known that is kept at each update, as the policy changes."""


@dataclass(slots=True)
class Record:
    """What is known of a scenario under recent policies, decayed counts.

    Attributes:
        case: Number of the next train case.
        ever: Whether an episode of it ever passed.
    """

    passed: float = 0.0
    played: float = 0.0
    case: int = 0
    ever: bool = False

    @property
    def expected(self) -> float:
        """Expected reliability, from a uniform prior."""
        return (self.passed + 1) / (self.played + 2)


@dataclass(frozen=True, slots=True)
class Drawn:
    """A case for a group of episodes; `fresh` if it was not played before."""

    scenario: str
    case: int
    fresh: bool = True


class Curriculum:
    """Draws cases, those where success is uncertain more often.

    A group of episodes has a gradient when their rewards differ. That is likeliest
    where success is least certain: a scenario's weight is the standard deviation of an
    outcome, sqrt(p (1 - p)), and half of its groups are played on cases of its own
    whose last episodes differed. Below p = 1/2 the weight does not fall again: what
    hardly passes has to be found by chance, and what is learned of the others makes
    that less likely at every update.

    Args:
        scenarios: Names, in a fixed order.
        seed: The same seed draws the same cases after the same outcomes.
        adaptive: False draws all scenarios alike, and only fresh cases.
    """

    def __init__(
        self, scenarios: Sequence[str], *, seed: int, adaptive: bool = True
    ) -> None:
        self.records = {name: Record() for name in scenarios}
        self._adaptive = adaptive
        self._random = random.Random(seed)  # noqa: S311 - reproducible, not secret
        self._uncertain: list[Drawn] = []

    def groups(self, count: int) -> list[Drawn]:
        """The cases of the next groups."""
        groups = []
        for number, name in enumerate(self.draw(count)):
            again = (
                self._known_uncertain(name) if self._adaptive and number % 2 else None
            )
            groups.append(again or Drawn(name, self.next_case(name)))
        return groups

    def _known_uncertain(self, scenario: str) -> Drawn | None:
        """A case of it whose last episodes differed, taken from the memory."""
        of_it = [drawn for drawn in self._uncertain if drawn.scenario == scenario]
        if not of_it:
            return None
        chosen = self._random.choice(of_it)
        self._uncertain.remove(chosen)
        return chosen

    def played(self, drawn: Drawn, *, passed: int, played: int) -> None:
        """Takes in the outcomes of a group.

        Only fresh cases say how reliable the policy is: the others were chosen for
        being difficult.

        Args:
            drawn: The group's case.
            passed: Episodes that passed.
            played: Episodes that passed or failed.
        """
        self.records[drawn.scenario].ever |= passed > 0
        if drawn.fresh:
            self.observe(drawn.scenario, passed=passed, played=played)
        if 0 < passed < played:
            again = Drawn(drawn.scenario, drawn.case, fresh=False)
            self._uncertain = [*self._uncertain, again][-MOST_UNCERTAIN:]

    def draw(self, count: int) -> list[str]:
        """The scenarios of the next groups: as many of each as its weight is worth.

        Systematic sampling (Madow and Madow, 1944): the numbers differ from the
        expected ones by less than 1.
        """
        names = list(self.records)
        self._random.shuffle(names)
        weights = [self._weight(name) for name in names]
        step = math.fsum(weights) / count
        place = self._random.random() * step
        drawn: list[str] = []
        reached = 0.0
        for name, weight in zip(names, weights, strict=True):
            reached += weight
            while place < reached and len(drawn) < count:
                drawn.append(name)
                place += step
        # Sums are rounded.
        return drawn + names[-1:] * (count - len(drawn))

    def next_case(self, scenario: str) -> int:
        """Number of a train case that was not drawn before."""
        record = self.records[scenario]
        record.case += 1
        return record.case - 1

    def observe(self, scenario: str, *, passed: int, played: int) -> None:
        """Takes in the outcomes of a scenario's episodes.

        Args:
            scenario: Its name.
            passed: Episodes that passed.
            played: Episodes that passed or failed.
        """
        record = self.records[scenario]
        record.passed += passed
        record.played += played

    def updated(self) -> None:
        """The policy changed: what was known counts less."""
        for record in self.records.values():
            record.passed *= MEMORY
            record.played *= MEMORY

    @property
    def reliability(self) -> float:
        """The running reliability on train cases, all scenarios counting alike."""
        shares = [r.passed / r.played for r in self.records.values() if r.played]
        return math.fsum(shares) / len(shares) if shares else 0.0

    @property
    def never_passed(self) -> list[str]:
        """Scenarios that were played, and of which no episode ever passed."""
        records = self.records.items()
        return [name for name, record in records if record.case and not record.ever]

    def state(self) -> dict[str, Any]:
        """What has to be kept to go on later, as JSON has it."""
        return {
            "records": {
                name: [record.passed, record.played, record.case, record.ever]
                for name, record in self.records.items()
            },
            "uncertain": [[drawn.scenario, drawn.case] for drawn in self._uncertain],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from what `state` gave."""
        for name, (passed, played, case, ever) in state["records"].items():
            if name in self.records:
                self.records[name] = Record(passed, played, int(case), ever)
        self._uncertain = [
            Drawn(name, case, fresh=False)
            for name, case in state["uncertain"]
            if name in self.records
        ]

    def _weight(self, name: str) -> float:
        if not self._adaptive:
            return 1.0
        likely = max(self.records[name].expected, 0.5)
        return max(math.sqrt(likely * (1 - likely)), FLOOR)
