"""How many episodes verdicts take, computed exactly: of one scenario, or of all."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache

from agentgym.reliability.grouped import LOOKS, FailureChances, GroupedTest
from agentgym.reliability.sequential import (
    SequentialTest,
    log_capital_above,
    sequential_test,
)
from agentgym.reliability.sizing import (
    MOST_EPISODES,
    chance_of_at_most,
    least_episodes,
)
from agentgym.reliability.verdicts import ALPHA, exact_p_values

_NEGLIGIBLE = 1e-16
_FINER = 100


def all_together(below: Sequence[float]) -> float:
    """The chance that scenarios are all RELIABLE together (`holm`).

    The smallest p-value has to be alpha / k or less, the next one alpha / (k - 1), and
    so on: as many p-values as steps have to be below each step.

    Args:
        below: The chance that a scenario's p-value is below alpha / k, alpha / (k - 1),
            ..., alpha.
    """
    gates = len(below)
    counts = [1.0] + [0.0] * gates
    before = 0.0
    for needed, now in enumerate(below, 1):
        share = min(1.0, (now - before) / (1 - before)) if before < 1 else 0.0
        following = [0.0] * (gates + 1)
        for c, chance in enumerate(counts):
            for more in range(gates - c + 1 if chance else 0):
                ways = math.comb(gates - c, more) * share**more
                following[c + more] += chance * ways * (1 - share) ** (gates - c - more)
        counts = [0.0] * needed + following[needed:]
        before = now
    return math.fsum(counts)


def chance_of_all(n: int, reliability: float, threshold: float, gates: int) -> float:
    """The chance that scenarios of n episodes, fixed beforehand, are all RELIABLE.

    Args:
        n: Episodes of each.
        reliability: The true one of each.
        threshold: What is to be certified.
        gates: Scenarios whose verdicts shall be right together.
    """
    return all_together(
        [
            _chance_of_one(n, reliability, threshold, ALPHA / left)
            for left in range(gates, 0, -1)
        ]
    )


def _chance_of_one(n: int, reliability: float, threshold: float, alpha: float) -> float:
    """That the exact test certifies a scenario of n episodes."""
    allowed = _most_failures(n, threshold, alpha)
    return chance_of_at_most(allowed, n, reliability) if allowed >= 0 else 0.0


@lru_cache(maxsize=10_000)
def _most_failures(n: int, threshold: float, alpha: float) -> int:
    """The most failures with which n episodes are certified; -1 for none."""

    def certified(failed: int) -> bool:
        return exact_p_values(n - failed, failed, threshold)[0] <= alpha

    low, high = -1, n
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if certified(middle) else (low, middle)
    return low


def episodes_for_all(
    reliability: float,
    threshold: float,
    *,
    gates: int,
    power: float = 0.8,
    most: int = MOST_EPISODES,
) -> int | None:
    """Episodes of each scenario, fixed beforehand, that certify all often enough.

    Args:
        reliability: The true one of each.
        threshold: What is to be certified.
        gates: Scenarios whose verdicts shall be right together.
        power: How often all of them shall be certified.
        most: Where to give up.

    Returns:
        The first number that is enough, stepping from one number of failures that a
        scenario may have to the next; None where `most` are too few.
    """
    if reliability <= threshold:
        return None

    @lru_cache
    def episodes(failures: int) -> int:
        return least_episodes(1, failures, threshold, ALPHA / gates)

    def enough(failures: int) -> bool:
        n = episodes(failures)
        return n > most or chance_of_all(n, reliability, threshold, gates) >= power

    step = 1
    while not enough(step - 1):
        step *= 2
    low, high = step // 2 - 1, step - 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return episodes(high) if episodes(high) <= most else None


def sequential_episodes(
    reliability: float,
    threshold: float,
    *,
    gates: int,
    power: float = 0.8,
    most: int = MOST_EPISODES,
) -> tuple[int, float] | None:
    """Episodes at most, and their mean, until all scenarios are certified often enough.

    The chances of all numbers of failures, from one episode to the next.

    Args:
        reliability: The true one of each.
        threshold: What is to be certified.
        gates: Scenarios whose verdicts shall be right together.
        power: How often all of them shall be certified.
        most: Where to give up.
    """
    test = sequential_test(threshold, ALPHA / gates)
    least, chances, certain, mean, look = 0, [1.0], 0.0, 0.0, 1
    for n in range(1, most + 1):
        mean += math.fsum(chances)
        chances = [
            a * reliability + b * (1 - reliability)
            for a, b in zip([*chances, 0.0], [0.0, *chances], strict=True)
        ]
        while chances and n - least >= test.enough(least):
            certain += chances.pop(0)
            least += 1
        while chances and _refuted(test, n, least + len(chances) - 1):
            chances.pop()
        while chances and chances[-1] < _NEGLIGIBLE:
            chances.pop()
        if certain**gates >= power - 1e-12:
            return n, mean
        if gates == 1 or n < look:
            continue
        look = n + max(1, n // _FINER)
        going_on = FailureChances(least, chances)
        if (certain + _late(n, threshold, ALPHA, going_on)) ** gates < power - 1e-12:
            continue
        late = (
            _late(n, threshold, ALPHA / left, going_on)
            for left in range(gates - 1, 0, -1)
        )
        if all_together([certain, *(certain + one for one in late)]) >= power - 1e-12:
            return n, mean
    return None


def _refuted(test: SequentialTest, n: int, failed: int) -> bool:
    return n - failed <= test.few(failed)


def _late(n: int, threshold: float, alpha: float, going_on: FailureChances) -> float:
    """The chance that the last look certifies, at a chance of error that `holm` has."""
    needed = -math.log(alpha)

    def certified(place: int) -> bool:
        failed = going_on.least + place
        return log_capital_above(n - failed, failed, threshold) >= needed

    enough = bisect_left(
        range(len(going_on.chances)), True, key=lambda place: not certified(place)
    )
    return math.fsum(going_on.chances[:enough])


def grouped_episodes(
    reliability: float,
    threshold: float,
    *,
    gates: int,
    power: float = 0.8,
    most: int = MOST_EPISODES,
) -> tuple[int, float] | None:
    """The same for looks at each tenth of the episodes.

    Args:
        reliability: The true one of each.
        threshold: What is to be certified.
        gates: Scenarios whose verdicts shall be right together.
        power: How often all of them shall be certified.
        most: Where to give up.

    Returns:
        A number within 1 % of the least one that is enough.
    """
    alphas = [ALPHA / left for left in range(gates, 0, -1)]
    n = episodes_for_all(reliability, threshold, gates=gates, power=power, most=most)
    while n is not None and n <= most:
        test = GroupedTest(n, threshold, alphas[0])
        found = test.chances(reliability, alphas)
        if all_together(found.p_values) >= power - 1e-12:
            return n, found.episodes
        step = max(1, n // _FINER)
        n += step if n < LOOKS * LOOKS else max(LOOKS, step) - n % LOOKS
    return None
