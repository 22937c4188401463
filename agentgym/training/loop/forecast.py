"""Tells while a policy is first measured that the budget leaves no update."""

from __future__ import annotations

import math
from collections.abc import Callable

from agentgym.runs.lines import duration

END = 1.1
"""What the measurement at the end is expected to take, of what the first one took."""
_SURE = 0.25
"""Share of the episodes after which the pace of all of them is known."""


class Forecast:
    """Follows the measurement before training; says once that it takes too long.

    Args:
        minutes: The budget.
        planned: Episodes of the measurement.
        begun: Seconds of the budget that were used when it began.
        say: Shows a line.
    """

    def __init__(
        self, minutes: float, planned: int, *, begun: float, say: Callable[[str], None]
    ) -> None:
        self._minutes = minutes
        self._planned = planned
        self._begun = begun
        self._say = say
        self._done = 0
        self._told = False

    def finished(self, elapsed: float) -> None:
        """An episode finished.

        Args:
            elapsed: Seconds of the budget that are used by now.
        """
        self._done += 1
        if self._told or self._done < _SURE * self._planned:
            return
        takes = (elapsed - self._begun) * self._planned / self._done
        if self._begun + (1 + END) * takes <= 60 * self._minutes:
            return
        self._told = True
        # As much again as both measurements take, for the updates.
        enough = math.ceil(2 * (1 + END) * takes / 60)
        self._say(
            f"at this pace each of two measurements takes about {duration(takes)}, "
            "which leaves no update of the budget of "
            f"{duration(60 * self._minutes)}: stop, and give --agentgym-budget "
            f"{enough}m or more, or measure fewer episodes (--agentgym-episodes)"
        )
