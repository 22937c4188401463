"""Which of a scenario's episodes passed, in their order."""

from __future__ import annotations

from typing import Literal

from agentgym.playing.episode import Episode
from agentgym.recording.blame import Outcome
from agentgym.reliability import ALPHA, Reliability, judge, judge_sequence

Stop = Literal["fixed", "sequential"]
"""When a scenario ends: after all of its episodes, or when a verdict is certain."""

_FAILED, _PASSED = 1, 2


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

    def judge(self, threshold: float, stop: Stop, gates: int = 1) -> Reliability:
        """What they say about a threshold, by themselves.

        Args:
            threshold: Reliability that is asked for.
            stop: When the scenario ended.
            gates: Scenarios of the run, which the stopping rule took into account.
        """
        if stop == "sequential":
            ordered = [self[index] for index in range(len(self._known))]
            return judge_sequence(ordered, threshold, ALPHA / gates)
        passed = self._known.count(_PASSED)
        return judge(passed, passed + self._known.count(_FAILED), threshold)
