"""When a run need not go on, because no scenario that is left can save it."""

from __future__ import annotations

from agentgym.reliability.sequential_verdicts import judge_mean, mean_verdict
from agentgym.reliability.verdicts import Reliability, Verdict


class RunStop:
    """Says when the mean of a run's scenarios is certain to be below the threshold.

    A look is taken when a scenario has ended, and one that has not counts as perfect:
    whatever it does, the mean is no higher. There may be as many looks as scenarios,
    since the product of their wagers is one more wager, whose capital never grows on
    average (see `judge_mean`); but only if what is looked at next does not depend on
    outcomes that are not looked at yet. A scenario that fails ends early. So scenarios
    that are played at the same time are looked at in their order, as a scenario's
    episodes are: the third only when the first two have ended.

    There is no such stop above the threshold: scenarios that are not played might never
    pass, and the gate wants to see each of them.
    """

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._waiting: dict[int, tuple[int, int] | None] = {}
        self._next = 0
        self._counts: list[tuple[int, int]] = []
        self._decided: tuple[list[tuple[int, int]], int] | None = None

    def ended(self, place: int, scenarios: int, counts: tuple[int, int] | None) -> None:
        """Takes in the end of a scenario.

        Args:
            place: Of the scenario in the run, from 0.
            scenarios: How many the run has.
            counts: Its passed and counted episodes; None if the run is not judged by
                it, which is no reason to think worse of the run: it counts as perfect.
        """
        if place >= self._next:
            self._waiting.setdefault(place, counts)
        while self._next in self._waiting:
            own = self._waiting.pop(self._next)
            self._next += 1
            if own is not None and own[1]:
                self._counts.append(own)
                if self._next < scenarios:
                    self._look(scenarios - len(self._counts))

    @property
    def enough(self) -> bool:
        """Whether no further scenario need be played."""
        return self._decided is not None

    @property
    def decision(self) -> Reliability | None:
        """What was certain first, of all scenarios of the run."""
        if self._decided is None:
            return None
        counts, unseen = self._decided
        return judge_mean(counts, self._threshold, unseen)

    def _look(self, unseen: int) -> None:
        if self._decided is None:
            verdict = mean_verdict(self._counts, self._threshold, unseen)
            if verdict is Verdict.unreliable:
                self._decided = list(self._counts), unseen
