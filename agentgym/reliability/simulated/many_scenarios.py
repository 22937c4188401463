"""What the gates of measured shares do with many scenarios, by simulation."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from random import Random
from typing import NamedTuple

from agentgym.reliability.gate_odds import point_alarm, tolerant_alpha
from agentgym.reliability.simulated.simulated_runs import binomial_weights
from agentgym.reliability.verdicts import ALPHA, Reliability, Verdict, holm, judge

THRESHOLD = 0.95
SCENARIOS, EPISODES = 18, 32
ALIKE = (0.85, 0.90, 0.93, 0.95, 0.96, 0.97, 0.98, 0.99)
"""True reliabilities of all scenarios."""
ONE_BAD = (0.50, 0.60, 0.70, 0.80, 0.85, 0.90)
"""True reliabilities of one scenario, of which the others have `GOOD`."""
GOOD = 0.99
_STANDARD_ERRORS = 3.5


class Missed(NamedTuple):
    """Shares of runs that end with exit code 1."""

    point: float
    tolerant: float


def many_scenarios(runs: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """Tries the point gate and the tolerant one on runs of many scenarios.

    Args:
        runs: Simulated runs per true reliability.
        seed: The same one gives the same report.

    Returns:
        Lines to print, and the promises that were broken.
    """
    random = Random(seed)  # noqa: S311 - chance, no secret
    alike = {true: _missed([true] * SCENARIOS, runs, random) for true in ALIKE}
    others = [GOOD] * (SCENARIOS - 1)
    bad = {true: _missed([true, *others], runs, random) for true in ONE_BAD}
    return list(_report(alike, bad)), list(_broken(alike, runs))


def _missed(trues: Sequence[float], runs: int, random: Random) -> Missed:
    weights = {true: binomial_weights(EPISODES, true) for true in set(trues)}
    columns = [
        random.choices(range(EPISODES + 1), cum_weights=weights[true], k=runs)
        for true in trues
    ]
    point = tolerant = 0
    for drawn in zip(*columns, strict=True):
        point += min(drawn) / EPISODES < THRESHOLD
        tolerant += tolerant_misses(drawn, EPISODES)
    return Missed(point / runs, tolerant / runs)


def tolerant_misses(passed: Sequence[int], episodes: int) -> bool:
    """Whether the tolerant gate fails a run, as the gate of a run decides it.

    Args:
        passed: Passed episodes of each scenario.
        episodes: Of each scenario.
    """
    alpha = tolerant_alpha(len(passed))
    total = _judged(sum(passed), episodes * len(passed), round(ALPHA / alpha))
    given = holm([_judged(one, episodes) for one in passed], alpha)
    return Verdict.unreliable in (total.verdict, *given)


@lru_cache(maxsize=10_000)
def _judged(passed: int, counted: int, gates: int = 1) -> Reliability:
    return judge(passed, counted, THRESHOLD, gates=gates)


def _broken(alike: dict[float, Missed], runs: int) -> Iterator[str]:
    def margin(share: float) -> float:
        return _STANDARD_ERRORS * math.sqrt(share * (1 - share) / runs) + 1 / runs

    for true, missed in alike.items():
        if true >= THRESHOLD and missed.tolerant > ALPHA + margin(ALPHA):
            yield (
                f"BROKEN: tolerant gate, {SCENARIOS} scenarios: exit 1 in "
                f"{missed.tolerant:.2%} of runs at {true:.1%}, promised {ALPHA:.0%}"
            )
        said = point_alarm([(EPISODES, THRESHOLD)] * SCENARIOS, true)
        if abs(missed.point - said) > margin(said):
            yield (
                f"BROKEN: point gate, {SCENARIOS} scenarios: exit 1 in "
                f"{missed.point:.2%} of runs at {true:.1%}, computed {said:.2%}"
            )


def _report(alike: dict[float, Missed], bad: dict[float, Missed]) -> Iterator[str]:
    size = f"{SCENARIOS} scenarios of {EPISODES} episodes"
    for title, found in (
        (f"exit 1, in a run of {size}", alike),
        (f"exit 1, in the same where all but one are at {GOOD:.0%}", bad),
    ):
        yield ""
        yield title
        what = "true reliability" if found is alike else "that of the one"
        yield f"  {what:<32}" + "".join(f"{true:>7.1%}" for true in found)
        for name, promise in (("point", "  (no promise)"), ("tolerant", "")):
            cells = (f"{getattr(missed, name):>7.1%}" for missed in found.values())
            yield f"  {name:<32}{''.join(cells)}{promise}"
