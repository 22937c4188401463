"""How many episodes a verdict takes."""

from __future__ import annotations

import math
from collections.abc import Callable

from agentgym.reliability.beta import beta_cdf
from agentgym.reliability.intervals import CONFIDENCE
from agentgym.reliability.verdicts import Verdict, exact_p_values, judge

MOST_EPISODES = 100_000


def episodes_to_certify(threshold: float, confidence: float = CONFIDENCE) -> int | None:
    """Episodes which, all passed, certify the threshold: n with threshold^n <= 1 - c.

    Args:
        threshold: Reliability that is asked for.
        confidence: Of the one-sided claim that it is reached.

    Returns:
        For example 59 for 0.95 at 95 % confidence; None where no number is enough.
    """
    alpha = 1 - confidence
    if threshold >= 1:
        return None
    if threshold <= alpha:
        return 1
    n = max(1, math.floor(math.log(alpha) / math.log(threshold)) - 1)
    while threshold**n > alpha:
        n += 1
    return n


def exact_verdict(passed: int, counted: int, threshold: float) -> Verdict:
    """The verdict of `judge`.

    Args:
        passed: Episodes that passed.
        counted: Episodes that passed or failed.
        threshold: Reliability that is asked for.
    """
    return judge(passed, counted, threshold).verdict


def episodes_to_decide(
    passed: int,
    counted: int,
    threshold: float,
    *,
    most: int = MOST_EPISODES,
    verdict: Callable[[int, int, float], Verdict] = exact_verdict,
) -> int | None:
    """About how many episodes give a verdict if the measured share stays as it is.

    Args:
        passed: Episodes that passed.
        counted: Episodes that passed or failed.
        threshold: Reliability that is asked for.
        most: Where to give up.
        verdict: Of so many passed, of so many counted episodes, at a threshold.

    Returns:
        At least `counted`; None where `most` are too few, because the share is so near
        to the threshold.
    """

    def decided(n: int) -> bool:
        likely = round(passed / counted * n)
        return verdict(likely, n, threshold) is not Verdict.undecided

    low = high = max(1, counted)
    while not decided(high):
        low, high = high, 2 * high
        if high > most:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if decided(middle) else (middle, high)
    return high


def episodes_for_power(
    reliability: float,
    threshold: float,
    *,
    alpha: float,
    power: float = 0.8,
    most: int = MOST_EPISODES,
) -> int | None:
    """Episodes, fixed beforehand, that certify a better agent often enough.

    Args:
        reliability: The true one.
        threshold: What is to be certified.
        alpha: Probability of error of the exact test, at most.
        power: How often it shall certify.
        most: Where to give up.

    Returns:
        The least number, stepping from one number of failures that is allowed to the
        next; None where `most` are too few.
    """
    if reliability <= threshold:
        return None
    n, failures = 1, 0
    while n <= most:
        # With this many failures, so many episodes are needed.
        n = least_episodes(n, failures, threshold, alpha)
        if chance_of_at_most(failures, n, reliability) >= power:
            return n
        failures += 1
    return None


def least_episodes(n: int, failures: int, threshold: float, alpha: float) -> int:
    """The first number of episodes from n on that is certified with these failures.

    Args:
        n: Where the search begins.
        failures: Episodes that fail, however many there are.
        threshold: Reliability that is asked for.
        alpha: Probability of error of the exact test, at most.
    """

    def certified(n: int) -> bool:
        return exact_p_values(n - failures, failures, threshold)[0] <= alpha

    low, step = max(n, failures + 1) - 1, 1
    while not certified(low + step):
        step *= 2
    high, low = low + step, low + step // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if certified(middle) else (middle, high)
    return high


def chance_of_at_most(failures: int, n: int, reliability: float) -> float:
    """Probability of no more failures than these in n episodes.

    Args:
        failures: The most that are allowed.
        n: Episodes.
        reliability: The true one.
    """
    if failures >= n or reliability >= 1:
        return 1.0
    return beta_cdf(reliability, n - failures, failures + 1)
