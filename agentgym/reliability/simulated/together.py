"""Several scenarios that are judged together, and whether a plan keeps its promise."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import lru_cache
from random import Random
from typing import Literal

from agentgym.reliability.grouped import GroupedTest, grouped_test
from agentgym.reliability.run_lengths import (
    episodes_for_all,
    grouped_episodes,
    sequential_episodes,
)
from agentgym.reliability.sequential import p_values, sequential_test
from agentgym.reliability.sequential_verdicts import certified_by_scenarios, judge_mean
from agentgym.reliability.simulated.simulated_runs import (
    SimulatedEnd,
    binomial_weights,
    run_grouped,
    run_until_decided,
)
from agentgym.reliability.verdicts import ALPHA, Reliability, Verdict, holm, judge

THRESHOLD = 0.95
PLANNED = (1, 2, 5, 18)
"""Numbers of scenarios that are planned for."""
TRULY = (0.98, 0.99)
POWER = 0.8
_FEWER = 10
"""One in so many of the runs of other promises: a run has up to 18 scenarios."""
_STANDARD_ERRORS = 3.5

EarlyOrFixed = Literal["fixed", "sequential", "grouped"]
STOPS: tuple[EarlyOrFixed, ...] = ("fixed", "sequential", "grouped")


def play_together(
    stop: EarlyOrFixed, reliability: float, gates: int, planned: int, random: Random
) -> list[Reliability]:
    """What is certain of each of a run's scenarios, by itself.

    Args:
        stop: When a scenario ends.
        reliability: The true one of each.
        gates: How many scenarios there are.
        planned: Episodes of each, at most.
        random: The generator of chance.
    """
    if stop == "fixed":
        weights = _weights(planned, reliability)
        drawn = random.choices(range(planned + 1), cum_weights=weights, k=gates)
        return [_exact(passed, planned) for passed in drawn]
    alpha = ALPHA / gates
    if stop == "sequential":
        test = sequential_test(THRESHOLD, alpha)
        ends = [
            run_until_decided(reliability, test, planned, random)[0]
            for _ in range(gates)
        ]
        return [_sequential(end.passed, end.episodes) for end in ends]
    looks = grouped_test(planned, THRESHOLD, alpha)
    return [
        _grouped(looks, run_grouped(reliability, looks, random)) for _ in range(gates)
    ]


def all_certified(stop: EarlyOrFixed, judged: list[Reliability]) -> bool:
    """Whether a run and each of its scenarios are RELIABLE, as the gate asks.

    Args:
        stop: When its scenarios ended.
        judged: What is certain of each, by itself.
    """
    if set(holm(judged)) != {Verdict.reliable}:
        return False
    counts = [(one.passed, one.counted) for one in judged]
    if len(judged) == 1:
        return True
    if stop == "fixed":
        passed, counted = (sum(column) for column in zip(*counts, strict=True))
        return _exact(passed, counted).verdict is Verdict.reliable
    mean = judge_mean(counts, THRESHOLD)
    if stop == "grouped":
        mean = certified_by_scenarios(mean, judged)
    return mean.verdict is Verdict.reliable


def planned_runs(runs: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """Tries whether a plan's numbers certify all scenarios as often as it says.

    Args:
        runs: Simulated runs of other promises; these get a tenth of them.
        seed: The same one gives the same report.

    Returns:
        Lines to print, and the promises that were broken.
    """
    random = Random(seed)  # noqa: S311 - chance, no secret
    runs = max(100, runs // _FEWER)
    shares = {
        (stop, true, gates): _share(stop, true, gates, runs, random)
        for stop in STOPS
        for true in TRULY
        for gates in PLANNED
    }
    return list(_report(shares, runs)), list(_broken(shares, runs))


_Shares = dict[tuple[EarlyOrFixed, float, int], float]


def _share(
    stop: EarlyOrFixed, true: float, gates: int, runs: int, random: Random
) -> float:
    planned = _PLANS[stop](true, gates)
    certified = (
        all_certified(stop, play_together(stop, true, gates, planned, random))
        for _ in range(runs)
    )
    return sum(certified) / runs


def _fixed(true: float, gates: int) -> int:
    return episodes_for_all(true, THRESHOLD, gates=gates, power=POWER) or 1


def _at_most(true: float, gates: int) -> int:
    found = sequential_episodes(true, THRESHOLD, gates=gates, power=POWER)
    return found[0] if found else 1


def _in_groups(true: float, gates: int) -> int:
    found = grouped_episodes(true, THRESHOLD, gates=gates, power=POWER)
    return found[0] if found else 1


_PLANS: dict[EarlyOrFixed, Callable[[float, int], int]] = {
    "fixed": _fixed,
    "sequential": _at_most,
    "grouped": _in_groups,
}


def _report(shares: _Shares, runs: int) -> Iterator[str]:
    yield ""
    yield (
        "run and scenarios certified, with the planned episodes "
        f"({runs:,} runs; promised: {POWER:.0%} or more)"
    )
    columns = [(true, gates) for true in TRULY for gates in PLANNED]
    titles = (f"{gates} at {true:.0%}" for true, gates in columns)
    yield f"  {'scenarios, true reliability':<32}" + "".join(
        f"{title:>11}" for title in titles
    )
    for stop in STOPS:
        cells = (f"{shares[stop, true, gates]:>11.1%}" for true, gates in columns)
        yield f"  {stop:<32}{''.join(cells)}"


def _broken(shares: _Shares, runs: int) -> Iterator[str]:
    least = POWER - _STANDARD_ERRORS * math.sqrt(POWER * (1 - POWER) / runs)
    for (stop, true, gates), share in shares.items():
        if share < least:
            yield (
                f"BROKEN: plan, {stop}: {gates} scenarios certified in {share:.1%} of "
                f"runs at {true:.0%}, promised {POWER:.0%}"
            )


@lru_cache(maxsize=256)
def _weights(n: int, reliability: float) -> list[float]:
    return binomial_weights(n, reliability)


@lru_cache(maxsize=10_000)
def _exact(passed: int, counted: int) -> Reliability:
    return judge(passed, counted, THRESHOLD)


@lru_cache(maxsize=100_000)
def _sequential(passed: int, counted: int) -> Reliability:
    return _of(passed, counted, p_values(passed, counted - passed, THRESHOLD))


def _grouped(test: GroupedTest, end: SimulatedEnd) -> Reliability:
    return _at_look(test, end.verdict, end.passed, end.episodes)


@lru_cache(maxsize=100_000)
def _at_look(
    test: GroupedTest, verdict: Verdict, passed: int, counted: int
) -> Reliability:
    above, below = test.p_values(passed, counted - passed)
    above = 1.0 if verdict is Verdict.unreliable else above
    below = 1.0 if verdict is Verdict.reliable else below
    return _of(passed, counted, (above, below))


def _of(passed: int, counted: int, both: tuple[float, float]) -> Reliability:
    """Without intervals, for which nobody asks."""
    return Reliability.of(
        (passed, counted),
        THRESHOLD,
        value=passed / counted,
        interval=(0.0, 1.0),
        one_sided=(0.0, 1.0),
        p_values=both,
    )
