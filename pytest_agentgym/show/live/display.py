"""Episodes as they come: in a panel, as plain lines, or as letters with `-q`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

from agentgym.runs.spending import Spending
from pytest_agentgym.play.episode_report import EpisodeReport
from pytest_agentgym.show.live.failures import Failures
from pytest_agentgym.show.live.letters import Letters
from pytest_agentgym.show.live.numbers import LiveNumbers
from pytest_agentgym.show.live.screen import Screen
from pytest_agentgym.show.live.views import (
    MeasuringLines,
    MeasuringPanel,
    MeasuringView,
)


class LiveDisplay:
    """Counts a measurement's episodes and shows them.

    Args:
        screen: Where they are shown.
        threshold: The run's gate.
        many: Whether there are too many scenarios for a line each.

    Attributes:
        numbers: How far the run is.
    """

    def __init__(
        self,
        screen: Screen,
        threshold: float,
        many: Callable[[], bool] = lambda: False,
    ) -> None:
        self.numbers = LiveNumbers(threshold=threshold)
        self._screen = screen
        self._failures = Failures(verbose=screen.verbosity > 0)
        self._many = many
        self._letters = Letters(screen)

    def add(self, report: EpisodeReport, spent: Spending) -> None:
        """Shows the episodes of a report.

        Args:
            report: Of one scenario; without episodes it says that it begins.
            spent: What the whole run has taken so far.
        """
        scenario = self.numbers.take(report, spent)
        view = self._view
        if view is None:
            outcomes = [episode.outcome for episode in report.episodes]
            self._letters.write(outcomes, report.planned)
            return
        for text, agents in self._failures.lines(report.episodes):
            view.say(text, **{"red" if agents else "yellow": True})
        view.update(scenario)

    def scenario_ended(self, name: str) -> None:
        """Shows a scenario that ended before its last episode."""
        early = self.numbers.ended(name)
        if early is not None and early.done and self._view is not None:
            self._view.update(early)

    def say(self, text: str) -> None:
        """Shows a line."""
        if self._view is None:
            self._screen.write_line(text)
        else:
            self._view.say(text)

    def close(self) -> None:
        """Leaves the terminal to others."""
        # Not to be made just to be closed.
        view: MeasuringView | None = self.__dict__.get("_view")
        if view is not None:
            view.close()

    @cached_property
    def _view(self) -> MeasuringView | None:
        """Chosen when there is something to show: pytest has its terminal by then."""
        screen, file = self._screen, self._screen.panel_file
        writer = screen.writer
        if writer is None or screen.verbosity < 0:
            return None
        if file is not None:
            return MeasuringPanel(self.numbers, writer, file)
        each = not self._many()
        return MeasuringLines(self.numbers, writer, screen.uncaptured, each=each)
