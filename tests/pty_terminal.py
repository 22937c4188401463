"""Runs a command in a real pseudo-terminal and keeps what a person would see."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pyte

COLUMNS, ROWS = 100, 30
_FRAME = 0.03
"""Seconds without a byte after which a frame is complete."""
# pytester switches colours off.
_TERMINAL = {"TERM": "xterm-256color", "PY_COLORS": "1"}


class Terminal:
    """A command's terminal.

    Attributes:
        screens: What was on the screen each time that nothing was being written.
        raw: All that was written.
        code: The exit code.
    """

    def __init__(
        self, command: Sequence[str], cwd: Path, environment: dict[str, str]
    ) -> None:
        self.screens: list[list[str]] = []
        self.raw = b""
        self.code: int | None = None
        # Longer than a run: what has scrolled by is still there.
        self._screen = pyte.HistoryScreen(COLUMNS, ROWS, history=1000, ratio=1)
        self._stream = pyte.ByteStream(self._screen)
        self._master, slave = pty.openpty()
        size = struct.pack("HHHH", ROWS, COLUMNS, 0, 0)
        fcntl.ioctl(slave, termios.TIOCSWINSZ, size)
        self._process = subprocess.Popen(
            command,
            cwd=cwd,
            env={**os.environ, **_TERMINAL, **environment},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)

    def follow(
        self,
        until: Callable[[list[str]], bool] = lambda screen: False,
        seconds: float = 120,
    ) -> bool:
        """Reads up to the end; or until a screen is as it should be, then True."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not select.select([self._master], [], [], 0.2)[0]:
                continue
            try:
                data = os.read(self._master, 65536)
            except OSError:
                data = b""
            if not data:
                self.code = self._process.wait(30)
                os.close(self._master)
                return False
            self.raw += data
            self._stream.feed(data)
            # A frame comes in parts, and nobody sees half of one.
            if select.select([self._master], [], [], _FRAME)[0]:
                continue
            self.screens.append([line.rstrip() for line in self._screen.display])
            if until(self.screens[-1]):
                return True
        self._process.kill()
        raise AssertionError("the command did not end:\n" + "\n".join(self.lines))

    def interrupt(self) -> None:
        """Presses Ctrl-C: all processes of the terminal get the signal."""
        os.killpg(self._process.pid, signal.SIGINT)

    @property
    def lines(self) -> list[str]:
        """All lines, also those that have scrolled by."""
        top = [
            "".join(line[x].data for x in range(COLUMNS)).rstrip()
            for line in self._screen.history.top
        ]
        return top + [line.rstrip() for line in self._screen.display]

    @property
    def cursor_hidden(self) -> bool:
        return bool(self._screen.cursor.hidden)
