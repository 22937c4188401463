"""How often a gate is wrong, or sees what it should, before anything is played.

Exact: the number of passed episodes of a scenario is binomial.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from agentgym.reliability.sizing import chance_of_at_most
from agentgym.reliability.verdicts import ALPHA, exact_p_values

POWER = 0.8
"""Share of runs in which a gate shall see what it is said to see."""


def tolerant_alpha(scenarios: int) -> float:
    """The chance of error of the run's verdict with the tolerant gate, at most.

    The run takes half of the 5 %, its scenarios share the other half (Holm).

    Args:
        scenarios: How many the gate judges; only one is the run.
    """
    return ALPHA if scenarios < 2 else ALPHA / 2


def chance_to_reach(episodes: int, threshold: float, true: float) -> float:
    """The chance that the measured share of a scenario reaches a threshold.

    Args:
        episodes: Of the scenario.
        threshold: In [0, 1].
        true: Its true reliability.
    """
    allowed = episodes - _least(episodes, threshold)
    return chance_of_at_most(allowed, episodes, true) if allowed >= 0 else 0.0


def point_alarm(scenarios: Iterable[tuple[int, float]], true: float) -> float:
    """The chance that some measured share misses its threshold.

    Args:
        scenarios: Episodes and threshold of each.
        true: The true reliability of all.
    """
    return 1 - math.prod(chance_to_reach(n, limit, true) for n, limit in scenarios)


def noticed(episodes: int, threshold: float, alpha: float) -> float | None:
    """The best reliability that is certain to be below in 80 % of runs, or more.

    Args:
        episodes: Of the scenario, or of the run.
        threshold: That it is compared with.
        alpha: Probability that the verdict is wrong, at most.

    Returns:
        None if so few episodes are never certain.
    """
    failed = _convicting(episodes, threshold, alpha)
    if failed is None:
        return None
    low, high = 0.0, threshold
    while high - low > 1e-6:
        middle = (low + high) / 2
        seen = 1 - chance_of_at_most(failed - 1, episodes, middle)
        low, high = (middle, high) if seen >= POWER else (low, middle)
    return low


def _convicting(episodes: int, threshold: float, alpha: float) -> int | None:
    """The least number of failures that are certain to be below the threshold."""
    low, high = 0, episodes
    if not episodes or exact_p_values(0, episodes, threshold)[1] > alpha:
        return None
    while low < high:
        middle = (low + high) // 2
        certain = exact_p_values(episodes - middle, middle, threshold)[1] <= alpha
        low, high = (low, middle) if certain else (middle + 1, high)
    return low


def _least(episodes: int, threshold: float) -> int:
    """The least number of passed episodes whose share reaches the threshold."""
    passed = math.ceil(threshold * episodes)
    # 0.95 * 20 is a little more than 19 in binary.
    while passed and (passed - 1) / episodes >= threshold:
        passed -= 1
    return passed
