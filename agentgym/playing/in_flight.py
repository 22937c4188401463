"""How many episodes are in flight: as many as pay, fewer where a server refuses."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

MOST = 256
"""Episodes in flight that nobody has asked for; each of a sync scenario is a thread."""
LOOK_SECONDS = 0.5
"""How long the processor is watched before more episodes begin."""
REST_SECONDS = 2.0
"""How long refusals count as one: those in flight were asked for earlier."""
BUSY = 0.75
"""Share of one core from which on more threads would only wait for each other."""
PAYS = 1.1
"""How many times as many episodes must finish for more in flight to pay.

A process that others leave little of the processor seems to wait, too.
"""
TELLING = 16
"""Episodes that must finish within one look to tell whether it pays."""


LARGE = 50_000_000
"""Parameters from which sampling, and not the agent, is what takes the time."""


def default_concurrency() -> int:
    """Episodes in flight to begin with: they wait for a model most of the time."""
    return min(32, 8 * (os.cpu_count() or 1))


def local_concurrency(parameters: int, *, gpu: bool) -> int:
    """Episodes in flight at a policy that is sampled for this run alone.

    A step of sampling reads all weights once, for however many episodes. So a large
    model gets more of them, and a GPU many; a small one on a CPU is kept busy by as
    many as agents can do with.

    Args:
        parameters: How many the model has.
        gpu: Whether one samples it.
    """
    if gpu:
        return max(128, default_concurrency())
    return max(64 if parameters >= LARGE else 1, default_concurrency())


@dataclass(slots=True, kw_only=True)
class InFlight:
    """The number of episodes that may be in flight, at one model endpoint.

    It grows while episodes wait for their turn, the processor does not, and nothing is
    refused: by half, or by a tenth once something was refused. Where no more episodes
    finish for it, it goes back, and tries again ever later. A refusal (a rate limit, a
    time-out, a server that breaks) halves it.

    Attributes:
        limit: What it is now.
        fixed: Whether it never changes.
    """

    limit: int = field(default_factory=default_concurrency)
    fixed: bool = False
    _since: float | None = None
    _cpu: float = 0.0
    _finished: int = 0
    _seconds: float = 0.0
    _before: tuple[int, float] | None = None
    _pause: int = 0
    _pauses: int = 0
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
        self._since, self._cpu, self._before = now, cpu, None
        self._finished, self._seconds = 0, 0.0

    def look(
        self,
        *,
        now: float,
        cpu: float,
        waiting: int,
        in_flight: int,
        finished: Sequence[float],
    ) -> int:
        """The limit from now on.

        Args:
            now: Monotonic time in seconds.
            cpu: Seconds of the processor that this process has taken.
            waiting: Episodes that have not begun.
            in_flight: Episodes that have, and have not finished.
            finished: Seconds that each of the episodes took that have finished since
                the last look.
        """
        if self.fixed:
            return self.limit
        if self._since is None:
            self.begin(now=now, cpu=cpu)
        self._finished += len(finished)
        self._seconds += sum(finished)
        with self._lock:
            refusals, self._refusals = self._refusals, 0
        if refusals:
            self._shrink(now, in_flight)
            self.begin(now=now, cpu=cpu)
            return self.limit
        elapsed = now - (self._since or 0.0)
        if elapsed >= LOOK_SECONDS:
            if waiting and in_flight >= self.limit:
                self._judge((cpu - self._cpu) / elapsed)
            self._since, self._cpu, self._finished, self._seconds = now, cpu, 0, 0.0
        return self.limit

    def _judge(self, busy: float) -> None:
        """Grows, or goes back to the limit before if that was no worse."""
        before, self._before = self._before, None
        # By Little's law: what finishes within a look comes in bursts.
        telling = self._finished >= TELLING and self._seconds > 0
        rate = self.limit * self._finished / self._seconds if telling else 0.0
        if before is not None and rate and before[1]:
            if rate < PAYS * before[1]:
                self.limit = before[0]
                self._pauses = min(2 * self._pauses + 2, 32)
                self._pause = self._pauses
                return
            self._pauses = 0
        if self._pause:
            self._pause -= 1
        elif busy < BUSY:
            self._before = self.limit, rate
            self._grow()

    def _shrink(self, now: float, in_flight: int) -> None:
        if self._shrunk is None or now - self._shrunk >= REST_SECONDS:
            self._shrunk = now
            self.limit = max(1, min(self.limit, in_flight) // 2)

    def _grow(self) -> None:
        step = self.limit // 2 if self._shrunk is None else self.limit // 10
        self.limit = max(self.limit, min(MOST, self.limit + max(1, step)))
