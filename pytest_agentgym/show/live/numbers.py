"""How far a measurement is: plain numbers, which a live view shows."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field, replace

from agentgym.playing.episode import Episode
from agentgym.recording.blame import Outcome
from agentgym.reliability import Reliability, judge
from agentgym.runs.spending import Spending
from pytest_agentgym.play.episode_report import EpisodeReport

WINDOW_SECONDS = 30.0
"""What tokens per second are counted over."""


@dataclass(slots=True, kw_only=True)
class ScenarioProgress:
    """How far one scenario is."""

    name: str
    planned: int
    done: int = 0
    passed: int = 0
    counted: int = 0
    tokens: int = 0
    in_flight: int = 0
    skipped: int = 0

    @property
    def over(self) -> bool:
        """Whether all of its episodes were played."""
        return self.done >= self.planned


@dataclass(slots=True, kw_only=True)
class LiveNumbers:
    """The numbers of a run that goes on; added to in one thread, shown in another.

    Attributes:
        threshold: The run's gate.
        planned: Episodes of all scenarios.
        begun: Monotonic time of the first report.
        usd: Money in US dollars, as far as prices are known.
    """

    threshold: float
    planned: int = 0
    done: int = 0
    passed: int = 0
    counted: int = 0
    usd: float = 0.0
    skipped: int = 0
    begun: float | None = None
    scenarios: dict[str, ScenarioProgress] = field(default_factory=dict)
    _spared: int = 0
    _recent: deque[tuple[float, int]] = field(default_factory=deque)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, report: EpisodeReport, spent: Spending) -> ScenarioProgress:
        """Adds the episodes of a report.

        Args:
            report: Of one scenario, in the order of their end.
            spent: What the whole run has taken so far.

        Returns:
            A copy of the scenario's numbers.
        """
        now = time.monotonic()
        with self._lock:
            self.begun = self.begun or now
            self.planned = report.planned
            own = self.scenarios.setdefault(
                report.nodeid,
                ScenarioProgress(name=report.nodeid, planned=report.of_scenario),
            )
            own.in_flight = report.in_flight
            for episode in report.episodes:
                if not episode.alone:
                    self._add(episode, own)
            for numbers in (self, own):
                numbers.done += len(report.skips)
                numbers.skipped += len(report.skips)
            self.usd = spent.all_usd
            self._recent.append((now, spent.all_tokens))
            while now - self._recent[0][0] > WINDOW_SECONDS:
                self._recent.popleft()
            return replace(own)

    def _add(self, episode: Episode, own: ScenarioProgress) -> None:
        passed = episode.outcome is Outcome.passed
        for numbers in (self, own):
            numbers.done += 1
            numbers.passed += passed
            numbers.counted += episode.counted
        own.tokens += episode.tokens

    def running(self) -> list[ScenarioProgress]:
        """Copies of the scenarios that are being played, in order of their start."""
        with self._lock:
            return [replace(s) for s in self.scenarios.values() if not s.over]

    def ended(self, name: str) -> ScenarioProgress | None:
        """A scenario is over; returns a copy of its numbers if it ended early."""
        with self._lock:
            own = self.scenarios.get(name)
            if own is None or own.over:
                return None
            self._spared += own.planned - own.done
            own.planned, own.in_flight = own.done, 0
            return replace(own)

    @property
    def in_flight(self) -> int:
        """Episodes that are being played."""
        return sum(scenario.in_flight for scenario in self.running())

    @property
    def reliability(self) -> Reliability:
        """Of all counted episodes so far, with its interval."""
        return judge(self.passed, self.counted, self.threshold)

    @property
    def token_rate(self) -> float:
        """Tokens per second over the last `WINDOW_SECONDS`."""
        with self._lock:
            recent = list(self._recent)
        if len(recent) < 2:
            return 0.0
        elapsed = time.monotonic() - recent[0][0]
        return (recent[-1][1] - recent[0][1]) / max(elapsed, 1e-3)

    @property
    def left(self) -> float | None:
        """Seconds until the end at the rate so far; None before it is known."""
        if self.begun is None or not self.done:
            return None
        elapsed = time.monotonic() - self.begun
        rest = max(0, self.planned - self._spared - self.done)
        return elapsed * rest / self.done
