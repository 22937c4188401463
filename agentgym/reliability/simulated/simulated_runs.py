"""Simulated runs of an agent whose true reliability is known.

Only failures are drawn, and how many episodes pass before the next one: a verdict can
turn RELIABLE between two failures, and UNRELIABLE at one.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from functools import lru_cache
from itertools import accumulate
from random import Random
from typing import NamedTuple, Protocol

from agentgym.reliability.grouped import GroupedTest
from agentgym.reliability.sizing import least_episodes
from agentgym.reliability.verdicts import ALPHA, Verdict, exact_p_values

SLOW = 5
"""How much longer a failed episode takes than one that passed, in `run_in_flight`."""


class Boundary(Protocol):
    """At which counts an episode-by-episode gate gives a verdict."""

    def enough(self, failed: int) -> float:
        """The least number of passed episodes for RELIABLE."""

    def few(self, failed: int) -> float:
        """The greatest number of passed episodes for UNRELIABLE."""


class NaivePeeking:
    """What not to do: the exact fixed-n test, looked at after every episode."""

    def __init__(self, threshold: float, alpha: float = ALPHA) -> None:
        self._threshold = threshold
        self._alpha = alpha
        self._enough: list[int] = []
        self._few: list[int] = []

    def enough(self, failed: int) -> float:
        """See `Boundary`."""
        while len(self._enough) <= failed:
            failures = len(self._enough)
            n = self._enough[-1] + failures if failures else 1
            needed = least_episodes(n, failures, self._threshold, self._alpha)
            self._enough.append(needed - failures)
        return self._enough[failed]

    def few(self, failed: int) -> float:
        """See `Boundary`."""
        while len(self._few) <= failed:
            passed = self._few[-1] if self._few else -1
            failures = len(self._few)
            while self._below(passed + 1, failures):
                passed += 1
            self._few.append(passed)
        return self._few[failed]

    def _below(self, passed: int, failed: int) -> bool:
        return exact_p_values(passed, failed, self._threshold)[1] <= self._alpha


class SimulatedEnd(NamedTuple):
    """Where a simulated run ended."""

    verdict: Verdict
    episodes: int
    passed: int


def run_until_decided(
    reliability: float, boundary: Boundary, most: int, random: Random
) -> tuple[SimulatedEnd, list[int]]:
    """One run, looked at after every episode.

    Args:
        reliability: The true one.
        boundary: The gate.
        most: Episodes after which the run ends undecided.
        random: The generator of chance.

    Returns:
        Its end, and the indices of the episodes that failed.
    """
    failures: list[int] = []
    passed = 0
    for streak in _streaks(reliability, random):
        failed = len(failures)
        enough = boundary.enough(failed)
        if passed + streak >= enough and enough + failed <= most:
            end = SimulatedEnd(Verdict.reliable, int(enough) + failed, int(enough))
            return end, failures
        if passed + failed + streak >= most:
            return SimulatedEnd(Verdict.undecided, most, most - failed), failures
        passed += streak
        failures.append(passed + failed)
        if passed <= boundary.few(failed + 1):
            end = SimulatedEnd(Verdict.unreliable, passed + failed + 1, passed)
            return end, failures
    raise AssertionError("streaks never end")


def run_grouped(reliability: float, test: GroupedTest, random: Random) -> SimulatedEnd:
    """One run, looked at after each tenth of its episodes.

    Args:
        reliability: The true one.
        test: The gate.
        random: The generator of chance.
    """
    passed = before = 0
    verdict = Verdict.undecided
    for look in test.looks:
        weights = _group_weights(look - before, reliability)
        # One number of passed episodes, as `Random.choices` would draw it.
        passed += bisect_right(weights, random.random() * weights[-1])
        before = look
        verdict = test.verdict(passed, look - passed)
        if verdict is not Verdict.undecided:
            break
    return SimulatedEnd(verdict, before, passed)


@lru_cache(maxsize=256)
def _group_weights(n: int, reliability: float) -> list[float]:
    return binomial_weights(n, reliability)


def run_in_flight(
    reliability: float,
    boundary: Boundary,
    most: int,
    random: Random,
    *,
    concurrency: int = 64,
) -> tuple[SimulatedEnd, SimulatedEnd]:
    """One run with many episodes in flight, of which failures take longer.

    Args:
        reliability: The true one.
        boundary: The gate.
        most: Episodes after which the run ends undecided.
        random: The generator of chance.
        concurrency: Episodes in flight.

    Returns:
        The decision in the order of the indices, and the run's end, when what was in
        flight has finished, too.
    """
    decided, failures = run_until_decided(reliability, boundary, most, random)
    started = _started(decided, failures, most, concurrency)
    late = started - decided.episodes
    late_passed = late - _failures_of(late, reliability, random)
    return decided, SimulatedEnd(decided.verdict, started, decided.passed + late_passed)


def _started(
    end: SimulatedEnd, failures: list[int], most: int, concurrency: int
) -> int:
    """Episodes that have begun when the decision can be taken.

    Failures in flight are taken for failed where it is RELIABLE, which is what they
    are; for any other, they have to land. Episodes after the decision are taken to
    pass, which starts the most.
    """
    decided = end.episodes
    awaited = end.verdict is not Verdict.reliable
    begun = [min(concurrency, most)]
    failed: list[int] = []
    finish = 0
    time = 0
    while True:
        first = begun[time - 1] if time else 0
        slow = bisect_left(failures, begun[time]) - bisect_left(failures, first)
        failed.append(slow)
        if first < decided:
            own = failures[bisect_left(failures, first) :]
            slowest = awaited and own and own[0] < min(begun[time], decided)
            finish = max(finish, time + (SLOW if slowest else 1))
        if time + 1 >= finish and begun[time] >= decided:
            return begun[time]
        free = begun[time] - first - slow
        if time + 1 >= SLOW:
            free += failed[time + 1 - SLOW]
        begun.append(min(most, begun[time] + free))
        time += 1


def binomial_weights(n: int, reliability: float) -> list[float]:
    """Cumulative probabilities of 0..n passed episodes, for `Random.choices`.

    Args:
        n: Episodes.
        reliability: In (0, 1).
    """
    odds = math.log(reliability) - math.log1p(-reliability)
    start = n * math.log1p(-reliability) + math.lgamma(n + 1)
    return list(
        accumulate(
            math.exp(start + k * odds - math.lgamma(k + 1) - math.lgamma(n - k + 1))
            for k in range(n + 1)
        )
    )


def _streaks(reliability: float, random: Random) -> Iterator[int]:
    """How many episodes pass before each failure."""
    if reliability >= 1:
        while True:
            yield 1 << 60
    log, scale = math.log, math.log(reliability) if reliability > 0 else -math.inf
    draw = random.random
    while True:
        yield int(log(1 - draw()) / scale)


def _failures_of(n: int, reliability: float, random: Random) -> int:
    """Failures among n episodes."""
    index = -1
    for failed, streak in enumerate(_streaks(reliability, random)):
        index += streak + 1
        if index >= n:
            return failed
    raise AssertionError("streaks never end")
