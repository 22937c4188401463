"""What ends a process ends its run as Ctrl-C does: what was played is kept and told."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

import pytest

_ENDING = (signal.SIGTERM, signal.SIGHUP)
_DEFERRED = (signal.SIGINT, *_ENDING)


class Termination:
    """This process: turns the first signal that would end it into a Ctrl-C.

    The second one does what it always does. Who ignores a signal, or does something
    else to end, knows why.
    """

    def __init__(self) -> None:
        self._before: dict[int, Any] = {}
        self._defers = False
        self._pending: str | None = None
        for number in _ENDING:
            self._heed(number, signal.SIG_DFL)

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """Within it a signal waits for `check`, so that nothing is left half done."""
        self._heed(signal.SIGINT, signal.default_int_handler)
        self._defers = True
        try:
            yield
            self.check()
        finally:
            self._defers = False
            self._give_back(signal.SIGINT)

    def check(self) -> None:
        """Ends the run if a signal asked for that.

        Raises:
            KeyboardInterrupt: It did.
        """
        if self._pending is not None:
            name, self._pending = self._pending, None
            raise KeyboardInterrupt(name)

    def pytest_unconfigure(self) -> None:
        """Gives the signals back."""
        for number in _DEFERRED:
            self._give_back(number)

    def _heed(self, number: int, usual: Any) -> None:
        mine = threading.current_thread() is threading.main_thread()
        if mine and signal.getsignal(number) == usual:
            self._before[number] = signal.signal(number, self._received)

    def _give_back(self, number: int) -> None:
        before = self._before.pop(number, None)
        if before is not None:
            signal.signal(number, before)

    def _received(self, number: int, _: FrameType | None) -> None:
        self._give_back(number)
        name = signal.Signals(number).name
        if not self._defers:
            raise KeyboardInterrupt(name)
        self._pending = name


TERMINATION = pytest.StashKey[Termination]()
