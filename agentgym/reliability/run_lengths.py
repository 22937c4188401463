"""How many episodes verdicts take, computed exactly: of one scenario, or of all."""

from __future__ import annotations

import math
from functools import lru_cache

from agentgym.reliability.grouped import LOOKS, GroupedTest
from agentgym.reliability.sequential import SequentialTest
from agentgym.reliability.sizing import (
    MOST_EPISODES,
    chance_of_at_most,
    least_episodes,
)
from agentgym.reliability.verdicts import ALPHA, exact_p_values

_NEGLIGIBLE = 1e-16
_FINER = 100


def chance_of_all(
    n: int, reliability: float, threshold: float, gates: int, alpha: float = ALPHA
) -> float:
    """The chance that scenarios of n episodes are all RELIABLE together (`holm`).

    The smallest p-value has to be alpha / k or less, the next one alpha / (k - 1), and
    so on: as many p-values as steps have to be below each step.

    Args:
        n: Episodes of each, fixed beforehand.
        reliability: The true one of each.
        threshold: What is to be certified.
        gates: Scenarios whose verdicts shall be right together.
        alpha: Probability that any of the verdicts is wrong, at most.
    """
    below = [_chance_of_one(n, reliability, threshold, alpha / gates)]
    counts = [
        math.comb(gates, c) * below[0] ** c * (1 - below[0]) ** (gates - c)
        for c in range(gates + 1)
    ]
    counts[0] = 0.0
    for left in range(gates - 1, 0, -1):
        now = _chance_of_one(n, reliability, threshold, alpha / left)
        share = (now - below[-1]) / (1 - below[-1]) if below[-1] < 1 else 0.0
        below.append(now)
        following = [0.0] * (gates + 1)
        for c, chance in enumerate(counts):
            for more in range(gates - c + 1 if chance else 0):
                ways = math.comb(gates - c, more) * share**more
                following[c + more] += chance * ways * (1 - share) ** (gates - c - more)
        needed = gates - left + 1
        counts = [0.0] * needed + following[needed:]
    return math.fsum(counts)


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
    test = SequentialTest(threshold, ALPHA / gates)
    wanted = power ** (1 / gates)
    least, chances, certain, mean = 0, [1.0], 0.0, 0.0
    for n in range(1, most + 1):
        mean += math.fsum(chances)
        chances = [
            a * reliability + b * (1 - reliability)
            for a, b in zip([*chances, 0.0], [0.0, *chances], strict=True)
        ]
        while chances and n - least >= test.enough(least):
            certain += chances.pop(0)
            least += 1
        while chances and n - least - len(chances) + 1 <= test.few(
            least + len(chances) - 1
        ):
            chances.pop()
        while chances and chances[-1] < _NEGLIGIBLE:
            chances.pop()
        while chances and chances[0] < _NEGLIGIBLE:
            chances.pop(0)
            least += 1
        if certain >= wanted - 1e-12:
            return n, mean
        if not chances:
            break
    return None


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
    wanted = power ** (1 / gates)
    alpha = ALPHA / gates
    n = _first_fixed(reliability, threshold, alpha, wanted, most)
    while n is not None and n <= most:
        certain, mean = GroupedTest(n, threshold, alpha).lengths(reliability)
        if certain >= wanted - 1e-12:
            return n, mean
        step = max(1, n // _FINER)
        n += step if n < LOOKS * LOOKS else max(LOOKS, step) - n % LOOKS
    return None


def _first_fixed(
    reliability: float, threshold: float, alpha: float, power: float, most: int
) -> int | None:
    """No fewer episodes than these are enough if they are looked at more often."""
    failures, n = 0, 1
    while n <= most:
        n = least_episodes(n, failures, threshold, alpha)
        if chance_of_at_most(failures, n, reliability) >= power:
            return n
        failures += max(1, failures // 20)
    return None
