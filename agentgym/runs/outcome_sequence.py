"""Which of a scenario's episodes passed, in their order."""

from __future__ import annotations

from typing import Literal

from agentgym.playing.episode import Episode
from agentgym.recording.blame import Outcome
from agentgym.reliability import (
    ALPHA,
    Reliability,
    ScenarioStop,
    grouped_test,
    judge,
    judge_grouped,
    judge_sequence,
    sequential_test,
)

Stop = Literal["fixed", "sequential", "grouped"]
"""When a scenario ends: after all of its episodes, as soon as a verdict is certain, or
when one is at a look at each tenth of its episodes."""

_FAILED, _PASSED = 1, 2


def scenario_stop(
    stop: Stop, threshold: float, *, gates: int, planned: int
) -> ScenarioStop | None:
    """What says that a scenario has had enough episodes; None if it gets all of them.

    Args:
        stop: When it ends.
        threshold: Reliability that is asked for.
        gates: Scenarios of the run: all of their verdicts shall be right together.
        planned: Episodes that it has at most.
    """
    alpha = ALPHA / gates
    if stop == "fixed":
        return None
    if stop == "grouped":
        return ScenarioStop(grouped_test(planned, threshold, alpha))
    return ScenarioStop(sequential_test(threshold, alpha))


class OutcomeSequence:
    """Whether each episode passed, by its index; a byte for each.

    Episodes arrive in any order; what was stopped when a verdict was certain is judged
    in the order of the indices.
    """

    def __init__(self) -> None:
        self._known = bytearray()

    def add(self, episode: Episode) -> None:
        """Takes in one episode."""
        missing = episode.index + 1 - len(self._known)
        if missing > 0:
            self._known.extend(bytes(missing))
        if episode.counted:
            passed = episode.outcome is Outcome.passed
            self._known[episode.index] = _PASSED if passed else _FAILED

    def __getitem__(self, index: int) -> bool | None:
        known = self._known[index]
        return known == _PASSED if known else None

    def judge(
        self, threshold: float, stop: Stop, gates: int = 1, planned: int = 0
    ) -> Reliability:
        """What they say about a threshold, by themselves.

        Args:
            threshold: Reliability that is asked for.
            stop: When the scenario ended.
            gates: Scenarios of the run, which the stopping rule took into account.
            planned: Episodes that it had at most; those that are known, if more.
        """
        if stop == "fixed":
            passed = self._known.count(_PASSED)
            return judge(passed, passed + self._known.count(_FAILED), threshold)
        ordered = [self[index] for index in range(len(self._known))]
        alpha = ALPHA / gates
        if stop == "grouped":
            return judge_grouped(ordered, threshold, planned=planned, alpha=alpha)
        return judge_sequence(ordered, threshold, alpha)
