"""A panel that redraws itself at the bottom of the terminal; pytest writes above it."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TextIO

import pytest

NARROW = 66
"""Columns below which names and numbers need the room of the bars."""
EDGES = 3
"""Lines of a frame's edges, and the one that the cursor is in."""


class BottomPanel:
    """A panel of rich's at the bottom of the terminal.

    What pytest writes meanwhile is shown above it, in whole lines.

    Args:
        draw: Makes what is in the panel, for a terminal of so many columns and lines.
        writer: pytest's.
        terminal: Leads to the terminal, also while pytest captures.
        refreshes: How often it is drawn, per second.
        stays: Whether its last state is left on the terminal.
    """

    def __init__(
        self,
        draw: Callable[[int, int], Any],
        writer: pytest.TerminalReporter,
        terminal: TextIO,
        *,
        refreshes: float,
        stays: bool = False,
    ) -> None:
        from rich.console import Console
        from rich.live import Live

        self._draw = draw
        self._writer = writer
        self._console = Console(file=terminal, force_terminal=True, highlight=False)
        self._live = Live(
            console=self._console,
            get_renderable=self.drawn,
            refresh_per_second=refreshes,
            redirect_stdout=False,
            redirect_stderr=False,
            transient=not stays,
        )
        self._file = writer._tw._file
        self._above = WholeLines(self.print, self._file)

    def start(self) -> None:
        """Shows the panel, if it is not shown yet."""
        if self._live.is_started or self._file is None:
            return
        # What pytest began to write belongs above the panel.
        self._above.write(self._writer._tw._current_line)
        self._console.file.write("\r\x1b[K")
        self._writer._tw._file = self._above
        self._live.start()

    def print(self, line: str) -> None:
        """Writes a line above the panel; it may have colours."""
        from rich.text import Text

        self._console.print(Text.from_ansi(line), soft_wrap=True)

    def close(self) -> None:
        """Ends the panel and gives the terminal back to pytest."""
        if not self._live.is_started:
            return
        self._live.stop()
        self._writer._tw._file = self._file
        self._console.file.write(self._above.rest())
        self._console.file.flush()

    def drawn(self) -> Any:
        """The panel for the terminal as large as it is now."""
        # Rich would ask the standard streams, which pytest has taken.
        with suppress(OSError):
            size = os.get_terminal_size(self._console.file.fileno())
            self._console.width, self._console.height = size
        return self._draw(self._console.width, self._console.height)


class WholeLines(io.TextIOBase):
    """A terminal's file that shows whole lines only.

    Args:
        show: Shows a line.
        file: The terminal's own.
    """

    def __init__(self, show: Callable[[str], None], file: TextIO) -> None:
        self._show = show
        self._file = file
        self._begun = ""

    def write(self, text: str, /) -> int:
        """Keeps what is no whole line yet."""
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            # After a carriage return pytest writes the line anew.
            last = line.rpartition("\r")[2]
            if last.strip():
                self._show(last)
        return len(text)

    def flush(self) -> None:
        """Nothing: a line is shown when it is whole."""

    def isatty(self) -> bool:
        """So that pytest writes colours."""
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The terminal's."""
        return self._file.encoding

    def rest(self) -> str:
        """The line that has no end yet."""
        return self._begun


def framed(content: Any, title: str) -> Any:
    """What every panel looks like.

    Args:
        content: A renderable of rich's.
        title: In the frame's upper edge.
    """
    from rich.panel import Panel

    return Panel(content, title=title, title_align="left", expand=False)


def bar(done: int, planned: int, length: int) -> str:
    """A bar of blocks.

    Args:
        done: How much of it is full.
        planned: Of how much; 0 counts as 1.
        length: In characters.
    """
    full = min(length, length * done // max(planned, 1))
    return "█" * full + "░" * (length - full)


def clock(seconds: float) -> str:
    """A time as m:ss, or h:mm:ss from an hour on."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
