"""Which scenarios the next cases are drawn from."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

FLOOR = 0.15
"""Least weight of a scenario: what is mastered is still watched."""
MEMORY = 0.7
"""Share of what was known that is kept at each update, as the policy changes."""


@dataclass(slots=True)
class Record:
    """What is known of a scenario under recent policies, decayed counts.

    Attributes:
        case: Number of the next train case.
    """

    passed: float = 0.0
    played: float = 0.0
    case: int = 0

    @property
    def reliability(self) -> float:
        """Expected, from a uniform prior."""
        return (self.passed + 1) / (self.played + 2)


class Curriculum:
    """Draws scenarios, the uncertain ones more often.

    A group of episodes teaches something when they differ, which is likeliest where
    success is least certain: the weight is the standard deviation of an outcome.

    Args:
        scenarios: Names, in a fixed order.
        adaptive: False draws all scenarios alike.
    """

    def __init__(
        self, scenarios: Sequence[str], *, seed: int, adaptive: bool = True
    ) -> None:
        self.records = {name: Record() for name in scenarios}
        self._adaptive = adaptive
        self._random = random.Random(seed)  # noqa: S311 - reproducible, not secret

    def draw(self, count: int) -> list[str]:
        """The scenarios of the next groups: as many of each as its weight is worth.

        Systematic sampling: the numbers differ from the expected ones by less than 1.
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
        return drawn

    def next_case(self, scenario: str) -> int:
        """Number of a train case that was not drawn before."""
        record = self.records[scenario]
        record.case += 1
        return record.case - 1

    def observe(self, scenario: str, *, passed: int, played: int) -> None:
        """Takes in the outcomes of a scenario's episodes."""
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
        """Expected on train cases, all scenarios counting alike."""
        found = [record.reliability for record in self.records.values()]
        return math.fsum(found) / len(found)

    def state(self) -> dict[str, list[float]]:
        """What has to be kept to go on later."""
        return {n: [r.passed, r.played, r.case] for n, r in self.records.items()}

    def restore(self, state: dict[str, list[float]]) -> None:
        """Goes on from what `state` gave."""
        for name, (passed, played, case) in state.items():
            if name in self.records:
                self.records[name] = Record(passed, played, int(case))

    def _weight(self, name: str) -> float:
        if not self._adaptive:
            return 1.0
        likely = self.records[name].reliability
        return max(math.sqrt(likely * (1 - likely)), FLOOR)
