"""Shows a measurement while it goes on: a panel on a terminal, or else plain lines."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TextIO

import pytest

from agentgym.runs.lines import (
    dollars,
    harmless,
    interval,
    left,
    middle,
    number,
    percent,
    right,
)
from pytest_agentgym.show.live.numbers import LiveNumbers, ScenarioProgress
from pytest_agentgym.show.live.panel import (
    EDGES,
    NARROW,
    BottomPanel,
    bar,
    clock,
    framed,
)

QUIET_SECONDS = 30.0
"""Plain lines: how long a long scenario may say nothing."""
REFRESHES = 4
"""Of the panel, per second."""
MOST_RUNNING = 6
"""Scenarios in the panel, where there is room."""
_BAR = 16


class MeasuringView(Protocol):
    """Shows the numbers of a measurement; called in the main thread."""

    def update(self, scenario: ScenarioProgress) -> None:
        """Episodes of this scenario finished, or it begins."""

    def say(self, text: str, **markup: bool) -> None:
        """Shows a line.

        Args:
            text: Without its end.
            markup: Names of pytest's writer, such as `red`.
        """

    def close(self) -> None:
        """Leaves the terminal to others."""


def results(numbers: LiveNumbers) -> Iterator[str]:
    """How far the run is and what came of it, in a few words each."""
    if not numbers.planned:
        yield "starting"
        return
    yield f"{numbers.done}/{numbers.planned} episodes"
    yield f"{numbers.in_flight} in flight"
    if numbers.counted:
        reliability = numbers.reliability
        share = percent(reliability.value, numbers.threshold)
        yield f"reliability {share} ({interval(reliability.low, reliability.high)})"


def pace(numbers: LiveNumbers) -> Iterator[str]:
    """What the run takes, in a few words each."""
    if numbers.token_rate:
        yield f"{number(numbers.token_rate)} tokens/s"
    if numbers.usd:
        yield dollars(numbers.usd)
    if numbers.left is not None:
        yield f"{clock(numbers.left)} left"


class MeasuringLines:
    """A line at the end of each scenario if they are few, and at times of the run.

    Args:
        numbers: What is shown.
        writer: pytest's; within `screen` it reaches the terminal.
        screen: What to be within while something is written.
        each: Whether each scenario gets a line; if not, pytest shows a letter.
    """

    def __init__(
        self,
        numbers: LiveNumbers,
        writer: pytest.TerminalReporter,
        screen: Callable[[], Any],
        *,
        each: bool = True,
    ) -> None:
        self._numbers = numbers
        self._writer = writer
        self._screen = screen
        self._each = each
        self._written = time.monotonic()

    def update(self, scenario: ScenarioProgress) -> None:
        """Reports the end of a scenario, or how far a long run is."""
        if scenario.over and self._each:
            self._end(scenario)
        elif time.monotonic() - self._written > QUIET_SECONDS:
            self.say(", ".join([*results(self._numbers), *pace(self._numbers)]))

    def say(self, text: str, **markup: bool) -> None:
        """Writes a line.

        Args:
            text: Without its end.
            markup: Names of pytest's writer, such as `red`.
        """
        with self._screen():
            self._fresh_line()
            self._writer.write_line(harmless(text), **markup)
            self._writer.flush()
        self._written = time.monotonic()

    def close(self) -> None:
        """Ends the line that is open."""
        with self._screen():
            self._fresh_line()

    @property
    def _width(self) -> int:
        return max(40, self._writer._tw.fullwidth - 1)

    def _end(self, scenario: ScenarioProgress) -> None:
        """Leaves the line open: pytest ends it with how much of the run is done."""
        path, _, name = scenario.name.partition("::")
        counts = ", ".join(_counts(scenario))
        tw = self._writer._tw
        with self._screen():
            # Without xdist, pytest has begun a line with the file's name.
            begun = tw.width_of_current_line == len(path) + 1
            if not begun or not name:
                self._fresh_line()
                name = scenario.name
            room = self._width - tw.width_of_current_line - len(counts) - 11
            name = harmless(name)
            self._writer.write(f"{middle(name, max(room, 12))}: {counts} ")
            self._writer.flush()
        self._written = time.monotonic()

    def _fresh_line(self) -> None:
        self._writer.ensure_newline()
        if self._writer._tw.width_of_current_line:
            self._writer._tw.line()


class MeasuringPanel:
    """The scenarios that are being played, and the run; gone at the end.

    Args:
        numbers: What is shown.
        writer: pytest's.
        terminal: Leads to the terminal, also while pytest captures.
    """

    def __init__(
        self, numbers: LiveNumbers, writer: pytest.TerminalReporter, terminal: TextIO
    ) -> None:
        self._numbers = numbers
        self._tw = writer._tw
        self._panel = BottomPanel(self.draw, writer, terminal, refreshes=REFRESHES)

    def update(self, scenario: ScenarioProgress) -> None:
        """The panel shows it at its next refresh."""
        self._panel.start()

    def say(self, text: str, **markup: bool) -> None:
        """Writes a line above the panel.

        Args:
            text: Without its end.
            markup: Names of pytest's writer, such as `red`.
        """
        self._panel.start()
        line = right(text, max(40, self._tw.fullwidth - 1))
        self._panel.print(self._tw.markup(line, **markup))

    def close(self) -> None:
        """Removes the panel."""
        self._panel.close()

    def draw(self, width: int, height: int) -> Any:
        """The panel for a terminal.

        Args:
            width: Its columns.
            height: Its lines.
        """
        from rich.console import Group
        from rich.text import Text

        running = self._numbers.running()
        words = (results(self._numbers), pace(self._numbers))
        # One line says how many more there are.
        room = max(1, min(MOST_RUNNING, height - EDGES - len(words) - 1))
        rows: list[Any] = []
        if running:
            rows.append(self._table(running[:room], width))
        if len(running) > room:
            rows.append(Text(f"and {len(running) - room} more scenarios"))
        rows += [Text("  ".join(line)) for line in words]
        return framed(Group(*rows), "agentgym")

    def _table(self, scenarios: list[ScenarioProgress], width: int) -> Any:
        from rich.table import Table
        from rich.text import Text

        bars = width >= NARROW
        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True)
        if bars:
            table.add_column(no_wrap=True, style="cyan")
        for _ in range(2):
            table.add_column(no_wrap=True, justify="right")
        room = max(10, width - _BAR * bars - 34)
        for scenario in scenarios:
            share = scenario.passed / scenario.counted if scenario.counted else None
            table.add_row(
                Text(left(harmless(scenario.name), room)),
                *([bar(scenario.done, scenario.planned, _BAR)] if bars else []),
                f"{scenario.done}/{scenario.planned}",
                percent(share),
            )
        return table


def _counts(scenario: ScenarioProgress) -> Iterator[str]:
    yield f"{scenario.passed}/{scenario.counted} passed"
    lost = scenario.done - scenario.skipped - scenario.counted
    if lost:
        yield f"{lost} do not count"
    if scenario.skipped:
        yield f"{scenario.skipped} of {scenario.planned} skipped"
    if scenario.tokens:
        played = scenario.done - scenario.skipped
        yield f"{number(scenario.tokens / max(1, played))} tok/ep"
