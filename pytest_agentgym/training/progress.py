"""How far a training is: plain numbers, which a dashboard shows."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from agentgym.playing.episode import Episode
from agentgym.recording.blame import Outcome

WINDOW = 256
"""The last episodes: what running numbers are of."""


class Progress:
    """Numbers of a training that goes on; the trainer's and the main thread add to it.

    Args:
        target: The reliability to reach.
        minutes: The budget.

    Attributes:
        phase: What the present episodes are played for; None before the first.
        planned: Episodes of this phase.
        done: Those that have finished.
        passed: Those that passed.
        counted: Those that passed or failed.
        episodes: All episodes so far.
        update: The metrics of the last policy update.
        measured: The reliability in each phase that is over, the last one of its name.
    """

    def __init__(self, target: float, minutes: float) -> None:
        self.target = target
        self.seconds = 60 * minutes
        self.begun = time.monotonic()
        self.phase: str | None = None
        self.planned = self.done = self.passed = self.counted = 0
        self.episodes = 0
        self.update: Mapping[str, Any] = {}
        self.measured: dict[str, float] = {}
        self._lock = threading.Lock()
        self._recent: deque[tuple[int, list[dict[str, Any]]]] = deque(maxlen=WINDOW)
        self._times: deque[float] = deque(maxlen=WINDOW)
        self._phase_begun = self.begun

    def begin(self, phase: str, planned: int) -> None:
        """A phase begins.

        Args:
            phase: What its episodes are played for.
            planned: How many they are.
        """
        with self._lock:
            self.phase, self.planned = phase, planned
            self.done = self.passed = self.counted = 0
            self._phase_begun = time.monotonic()

    def updated(self, row: Mapping[str, Any]) -> None:
        """The policy was updated; earlier sessions of a training count, too."""
        with self._lock:
            self.update = row
            if "elapsed" in row:
                self.begun = time.monotonic() - row["elapsed"]

    def add(self, episode: Episode) -> None:
        """An episode finished."""
        with self._lock:
            self.episodes += 1
            self._times.append(time.monotonic())
            if episode.phase == self.phase:
                self.done += 1
                self.passed += episode.outcome is Outcome.passed
                self.counted += episode.counted
            if self.phase is not None and self.counted:
                self.measured[self.phase] = self.passed / self.counted
            if episode.counted:
                self._recent.append((episode.tokens, episode.tools))

    def wait(self, seconds: float) -> None:
        """Waits until the planned episodes have finished, or as long."""
        until = time.monotonic() + seconds
        while (
            self.phase is not None
            and self.done < self.planned
            and time.monotonic() < until
        ):
            time.sleep(0.01)

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.begun

    @property
    def left(self) -> float:
        """Seconds of the budget that are left."""
        return max(0.0, self.seconds - self.elapsed)

    @property
    def phase_seconds(self) -> float:
        """Seconds since the phase began."""
        return time.monotonic() - self._phase_begun

    @property
    def reliability(self) -> float | None:
        """Of this phase's episodes so far."""
        return self.passed / self.counted if self.counted else None

    @property
    def rate(self) -> float:
        """Running episodes per second."""
        with self._lock:
            times = list(self._times)
        if len(times) < 2:
            return 0.0
        return (len(times) - 1) / max(time.monotonic() - times[0], 1e-6)

    @property
    def tokens(self) -> float | None:
        """Running tokens per episode."""
        with self._lock:
            recent = [tokens for tokens, _ in self._recent]
        return sum(recent) / len(recent) if recent else None

    def tools(self) -> dict[str, tuple[int, int]]:
        """Per tool, running: correct calls, and calls made or missing."""
        with self._lock:
            rows = [row for _, tools in self._recent for row in tools]
        calls: dict[str, tuple[int, int]] = {}
        for row in rows:
            good, all_ = calls.get(row["name"], (0, 0))
            judged = row["calls"] - row["unjudged"] - row.get("waiting", 0)
            calls[row["name"]] = good + row["correct"], all_ + judged + row["missing"]
        return {name: pair for name, pair in sorted(calls.items()) if pair[1]}
