"""The way to the terminal, also while an item runs and pytest captures."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TextIO

import pytest

from agentgym.runs.lines import harmless
from pytest_agentgym.play.run_context import captures, debugging


class Screen:
    """Writes to the terminal past pytest's capture.

    While an item runs, pytest captures the file descriptor it reports to itself: a copy
    of it still leads to the terminal.

    Args:
        config: Of the main process; the copy is closed with it.

    Attributes:
        file: The copy; None where standard output is no file.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self.file = _copy_of_stdout()
        # Also where a mistake of the user ends the run before it begins.
        config.add_cleanup(self.close)
        # A trainer's thread writes, too.
        self._lock = threading.RLock()

    @property
    def writer(self) -> pytest.TerminalReporter | None:
        """The terminal reporter; None with `-p no:terminal`."""
        writer: pytest.TerminalReporter | None
        writer = self._config.pluginmanager.get_plugin("terminalreporter")
        return writer

    @property
    def verbosity(self) -> int:
        """0, with `-v` more and with `-q` less."""
        return self._config.get_verbosity()

    @property
    def panel_file(self) -> TextIO | None:
        """Where a panel can be drawn; None where plain lines are shown instead."""
        writer, file = self.writer, self.file
        if writer is None or file is None or not file.isatty():
            return None
        wanted = (
            self.verbosity >= 0
            and writer._tw._file is sys.__stdout__
            and writer._tw.hasmarkup
            and os.environ.get("TERM") != "dumb"
            # Episodes then write to the terminal themselves.
            and captures(self._config)
            and not debugging(self._config)
            # Asked for without importing it.
            and find_spec("rich") is not None
        )
        return file if wanted else None

    @contextmanager
    def uncaptured(self) -> Iterator[None]:
        """Lets pytest's writer reach the terminal while an item runs."""
        writer = self.writer
        if (
            writer is None
            or self.file is None
            or writer._tw._file is not sys.__stdout__
        ):
            yield
            return
        tw = writer._tw
        tw.flush()
        with self._lock:
            file, tw._file = tw._file, self.file
            try:
                yield
            finally:
                tw._file = file

    def write_line(self, text: str) -> None:
        """Writes a line, but not with `-qq`."""
        writer = self.writer
        if writer is None or self.verbosity < -1:
            return
        with self._lock, self.uncaptured():
            writer.ensure_newline()
            writer.write_line(harmless(text))
            writer.flush()

    def close(self) -> None:
        """Closes the copy."""
        if self.file is not None:
            self.file.close()


def _copy_of_stdout() -> TextIO | None:
    """A second way to the terminal; None where standard output is no file."""
    stdout = sys.__stdout__
    try:
        number = os.dup(stdout.fileno()) if stdout is not None else None
    except (OSError, ValueError):
        return None
    if stdout is None or number is None:
        return None
    return os.fdopen(number, "w", encoding=stdout.encoding, errors="replace")
