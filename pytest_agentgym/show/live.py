"""Shows a measurement while it goes on: a panel on a terminal, or else plain lines."""

from __future__ import annotations

import io
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Protocol, TextIO

import pytest

from agentgym.playing.episode import Episode
from agentgym.recording.blame import Outcome
from agentgym.recording.trajectory import shorten
from agentgym.runs.lines import (
    dollars,
    interval,
    left,
    middle,
    number,
    percent,
    plain,
    right,
)
from pytest_agentgym.show.live_numbers import LiveNumbers, ScenarioProgress

QUIET_SECONDS = 30.0
"""Plain lines: how long a long scenario may say nothing."""
MOST_ALIKE = 3
"""Failures of one check of one scenario that are shown as they come."""
REFRESHES = 4
"""Of the panel, per second."""
MOST_RUNNING = 6
"""Scenarios in the panel."""
MOST_WORDS = 100
"""Characters of a failure's reason."""
_BAR = 16
_NARROW = 66


class Live(Protocol):
    """Shows the numbers; called in the main thread."""

    def update(self, scenario: ScenarioProgress) -> None:
        """Episodes of this scenario finished, or it begins."""

    def say(self, text: str, **markup: bool) -> None:
        """Shows a line."""

    def close(self) -> None:
        """Leaves the terminal to others."""


class Failures:
    """One line for each episode that did not pass, as it comes, few of a kind."""

    def __init__(self) -> None:
        self._seen: Counter[tuple[str, str]] = Counter()

    def lines(self, episodes: list[Episode]) -> Iterator[tuple[str, bool]]:
        """The lines, and whether the failure is the agent's."""
        for episode in episodes:
            if episode.outcome is Outcome.passed:
                continue
            why = first_failure(episode)
            kind = (episode.scenario, f"{episode.outcome} {why}")
            self._seen[kind] += 1
            if self._seen[kind] > MOST_ALIKE:
                continue
            name = episode.scenario.partition("::")[2] or episode.scenario
            more = "" if self._seen[kind] < MOST_ALIKE else "; more are only counted"
            yield (
                f"{episode.outcome.value} {name} {case_name(episode)}: "
                f"{shorten(why, MOST_WORDS)}{more}",
                episode.outcome is Outcome.failed,
            )


def first_failure(episode: Episode) -> str:
    """The first check that did not pass, or else the error."""
    if episode.outcome is Outcome.failed:
        for check in episode.checks:
            if check["status"] in ("failed", "errored"):
                return f"assert {plain(check['text'])}"
    return plain(episode.error or "a check was not reached")


def case_name(episode: Episode) -> str:
    """As `--agentgym-case` understands it."""
    case = episode.case
    return f"{case.get('split', 'case')}-{case.get('index', episode.index)}"


def results(numbers: LiveNumbers) -> Iterator[str]:
    """How far the run is and what came of it, in a few words each."""
    if not numbers.planned:
        yield "starting"
        return
    yield f"{numbers.done}/{numbers.planned} episodes"
    yield f"{numbers.in_flight} in flight"
    if numbers.counted:
        found = numbers.reliability
        share = percent(found.value, numbers.threshold)
        yield f"reliability {share} ({interval(found.low, found.high)})"


def pace(numbers: LiveNumbers) -> Iterator[str]:
    """What the run takes, in a few words each."""
    if numbers.token_rate:
        yield f"{number(numbers.token_rate)} tokens/s"
    if numbers.usd:
        yield dollars(numbers.usd)
    if numbers.left is not None:
        yield f"{_clock(numbers.left)} left"


class PlainLines:
    """A line at the end of each scenario, and now and then one about the run.

    Args:
        numbers: What is shown.
        writer: pytest's; within `screen` it reaches the terminal.
        screen: What to be within while something is written.
    """

    def __init__(
        self,
        numbers: LiveNumbers,
        writer: pytest.TerminalReporter,
        screen: Callable[[], Any],
    ) -> None:
        self._numbers = numbers
        self._writer = writer
        self._screen = screen
        self._said = time.monotonic()

    def update(self, scenario: ScenarioProgress) -> None:
        """Tells the end of a scenario, or how far a long run is."""
        if scenario.over:
            self._end(scenario)
        elif time.monotonic() - self._said > QUIET_SECONDS:
            self.say(", ".join([*results(self._numbers), *pace(self._numbers)]))

    def say(self, text: str, **markup: bool) -> None:
        """Writes a line."""
        with self._screen():
            self._fresh_line()
            self._writer.write_line(text, **markup)
            self._writer.flush()
        self._said = time.monotonic()

    def close(self) -> None:
        """Ends the line that is open."""
        with self._screen():
            self._fresh_line()

    @property
    def _width(self) -> int:
        return max(40, self._writer._tw.fullwidth - 1)

    def _end(self, scenario: ScenarioProgress) -> None:
        """Leaves the line open: pytest tells at its end how much of the run is done."""
        path, _, name = scenario.name.partition("::")
        told = ", ".join(_results(scenario))
        tw = self._writer._tw
        with self._screen():
            # Without xdist, pytest has begun a line with the file's name.
            begun = tw.width_of_current_line == len(path) + 1
            if not begun or not name:
                self._fresh_line()
                name = scenario.name
            room = self._width - tw.width_of_current_line - len(told) - 11
            self._writer.write(f"{middle(name, max(room, 12))}: {told} ")
            self._writer.flush()
        self._said = time.monotonic()

    def _fresh_line(self) -> None:
        self._writer.ensure_newline()
        if self._writer._tw.width_of_current_line:
            self._writer._tw.line()


class LivePanel:
    """A panel of rich's at the bottom of the terminal, gone at the end.

    What pytest writes meanwhile is shown above it, in whole lines.

    Args:
        numbers: What is shown.
        writer: pytest's.
        screen: Leads to the terminal, also while pytest captures.
    """

    def __init__(
        self, numbers: LiveNumbers, writer: pytest.TerminalReporter, screen: TextIO
    ) -> None:
        from rich.console import Console
        from rich.live import Live as RichLive

        self._numbers = numbers
        self._writer = writer
        self._console = Console(file=screen, force_terminal=True, highlight=False)
        self._live = RichLive(
            console=self._console,
            get_renderable=self._panel,
            refresh_per_second=REFRESHES,
            redirect_stdout=False,
            redirect_stderr=False,
            transient=True,
        )
        self._file = writer._tw._file
        self._above = _Above(self._print, self._file)

    def update(self, scenario: ScenarioProgress) -> None:
        """The panel shows it at its next refresh."""
        self._start()

    def _start(self) -> None:
        if not self._live.is_started and self._file is not None:
            # What pytest began to write belongs above the panel.
            self._above.write(self._writer._tw._current_line)
            self._console.file.write("\r\x1b[K")
            self._writer._tw._file = self._above
            self._live.start()

    def say(self, text: str, **markup: bool) -> None:
        """Writes a line above the panel."""
        self._start()
        tw = self._writer._tw
        self._print(tw.markup(right(text, max(40, tw.fullwidth - 1)), **markup))

    def close(self) -> None:
        """Removes the panel and gives the terminal back to pytest."""
        if not self._live.is_started:
            return
        self._live.stop()
        self._writer._tw._file = self._file
        self._console.file.write(self._above.rest())
        self._console.file.flush()

    def _print(self, line: str) -> None:
        from rich.text import Text

        self._console.print(Text.from_ansi(line), soft_wrap=True)

    def _panel(self) -> Any:
        from rich.console import Group
        from rich.panel import Panel
        from rich.table import Table
        from rich.text import Text

        # Rich would ask the standard streams, which pytest has taken.
        with suppress(OSError):
            size = os.get_terminal_size(self._console.file.fileno())
            self._console.width, self._console.height = size
        # In a narrow terminal the names and the numbers need the room of the bars.
        bars = self._console.width >= _NARROW
        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True)
        if bars:
            table.add_column(no_wrap=True, style="cyan")
        for _ in range(2):
            table.add_column(no_wrap=True, justify="right")
        running = self._numbers.running()
        room = max(10, self._console.width - _BAR * bars - 34)
        for scenario in running[:MOST_RUNNING]:
            share = scenario.passed / scenario.counted if scenario.counted else None
            table.add_row(
                Text(left(scenario.name, room)),
                *([_bar(scenario.done, scenario.planned)] if bars else []),
                f"{scenario.done}/{scenario.planned}",
                percent(share),
            )
        rows: list[Any] = [table] if running else []
        if len(running) > MOST_RUNNING:
            rows.append(Text(f"and {len(running) - MOST_RUNNING} more scenarios"))
        words = (results(self._numbers), pace(self._numbers))
        rows += [Text("  ".join(line)) for line in words]
        return Panel(Group(*rows), title="agentgym", title_align="left", expand=False)


class _Above(io.TextIOBase):
    """A terminal's file that shows whole lines only."""

    def __init__(self, show: Callable[[str], None], file: TextIO) -> None:
        self._show = show
        self._file = file
        self._begun = ""

    def write(self, text: str, /) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            # After a carriage return pytest writes the line anew.
            told = line.rpartition("\r")[2]
            if told.strip():
                self._show(told)
        return len(text)

    def flush(self) -> None:
        """Nothing: a line is shown when it is whole."""

    def isatty(self) -> bool:
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._file.encoding

    def rest(self) -> str:
        """The line that has no end yet."""
        return self._begun


def _results(scenario: ScenarioProgress) -> Iterator[str]:
    yield f"{scenario.passed}/{scenario.counted} passed"
    lost = scenario.done - scenario.counted
    if lost:
        yield f"{lost} do not count"
    if scenario.tokens:
        yield f"{number(scenario.tokens / scenario.done)} tok/ep"


def _bar(done: int, planned: int) -> str:
    full = min(_BAR, _BAR * done // max(planned, 1))
    return "█" * full + "░" * (_BAR - full)


def _clock(seconds: float) -> str:
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
