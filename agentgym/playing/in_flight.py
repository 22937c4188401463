"""How many episodes are in flight: as many as pay, fewer where a server refuses."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field

MOST = 256
"""Episodes in flight that nobody has asked for; each of a sync scenario is a thread."""
LOOK_SECONDS = 0.5
"""How long the processor is watched before more episodes begin."""
REST_SECONDS = 2.0
"""How long refusals count as one: those in flight were asked for earlier."""
BUSY = 0.75
"""Share of one core from which on more threads would only wait for each other."""


def default_concurrency() -> int:
    """Episodes in flight to begin with: they wait for a model most of the time."""
    return min(32, 8 * (os.cpu_count() or 1))


@dataclass(slots=True, kw_only=True)
class InFlight:
    """The number of episodes that may be in flight, at one model endpoint.

    It grows while episodes wait for their turn, the processor does not, and nothing is
    refused: by half, or by a tenth once something was refused. A refusal (a rate
    limit, a time-out, a server that breaks) halves it.

    Attributes:
        limit: What it is now.
        fixed: Whether it never changes.
    """

    limit: int = field(default_factory=default_concurrency)
    fixed: bool = False
    _since: float | None = None
    _cpu: float = 0.0
    _shrunk: float | None = None
    _refusals: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def refused(self) -> None:
        """A model's server refused something; called in any thread."""
        with self._lock:
            self._refusals += 1

    def stay_at(self, limit: int) -> None:
        """There cannot be more than this."""
        self.limit, self.fixed = limit, True

    def begin(self, *, now: float, cpu: float) -> None:
        """Another scenario begins: what the processor did until then says nothing.

        Args:
            now: Monotonic time in seconds.
            cpu: Seconds of the processor that this process has taken.
        """
        self._since, self._cpu = now, cpu

    def look(self, *, now: float, cpu: float, waiting: int, in_flight: int) -> int:
        """The limit from now on.

        Args:
            now: Monotonic time in seconds.
            cpu: Seconds of the processor that this process has taken.
            waiting: Episodes that have not begun.
            in_flight: Episodes that have.
        """
        if self.fixed:
            return self.limit
        if self._since is None:
            self.begin(now=now, cpu=cpu)
            return self.limit
        with self._lock:
            refusals, self._refusals = self._refusals, 0
        if refusals:
            self._shrink(now, in_flight)
            self.begin(now=now, cpu=cpu)
        elif now - self._since >= LOOK_SECONDS:
            busy = (cpu - self._cpu) / (now - self._since)
            if waiting and in_flight >= self.limit and busy < BUSY:
                self._grow()
            self.begin(now=now, cpu=cpu)
        return self.limit

    def _shrink(self, now: float, in_flight: int) -> None:
        if self._shrunk is None or now - self._shrunk >= REST_SECONDS:
            self._shrunk = now
            self.limit = max(1, min(self.limit, in_flight) // 2)

    def _grow(self) -> None:
        step = self.limit // 2 if self._shrunk is None else self.limit // 10
        self.limit = max(self.limit, min(MOST, self.limit + max(1, step)))
