"""One running server, or engine, per version of a trained agent and process."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable, Hashable
from typing import Any, Protocol, TypeVar, cast

from agentgym.endpoint import PolicyEndpoint


class RunningPolicy(Protocol):
    """What answers for a trained agent."""

    @property
    def endpoint(self) -> PolicyEndpoint:
        """Where it answers."""

    def alive(self) -> bool:
        """Whether it still does."""

    def stop(self) -> None:
        """Ends it; harmless when it has ended."""


R = TypeVar("R", bound=RunningPolicy)


class Shared:
    """What runs, by key, and who uses it; all of it ends with the process.

    A holder that is garbage-collected keeps what it uses: frameworks' agents often
    outlive the object that made them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[Hashable, RunningPolicy] = {}
        self._holders: dict[Hashable, set[Any]] = {}
        atexit.register(self.stop_all)

    def get(self, key: Hashable, holder: Hashable, start: Callable[[], R]) -> R:
        """What runs by a key; it is started if it does not, or no longer.

        Args:
            key: Says which model, how served.
            holder: Who uses it until `release`.
            start: Starts it.
        """
        # A forked process has the books of its parent, but none of its threads.
        key = (os.getpid(), key)
        with self._lock:
            running = self._running.get(key)
            if running is None or not running.alive():
                running = self._running[key] = start()
            self._holders.setdefault(key, set()).add(holder)
            return cast("R", running)

    def release(self, holder: Hashable) -> None:
        """Ends what nobody else uses."""
        with self._lock:
            for key, holders in list(self._holders.items()):
                holders.discard(holder)
                if not holders:
                    self._stop(key)

    def stop_all(self) -> None:
        """Ends everything that this process started."""
        with self._lock:
            for key in list(self._running):
                self._stop(key)

    def _stop(self, key: Any) -> None:
        del self._holders[key]
        running = self._running.pop(key)
        if key[0] == os.getpid():
            running.stop()
