"""Verdicts and intervals that hold at any stopping time.

A fixed-n interval that is looked at after every episode is wrong far more often than it
says. What is computed here may be looked at as often as one likes: a wager against "the
reliability is at most m", whose capital never grows on average if that is true, ever
exceeds 1 / alpha with probability alpha at most (J. Ville, Etude critique de la notion
de collectif, 1939). The wager is a mixture over all alternatives: H. Robbins,
Statistical methods related to the law of the iterated logarithm, Annals of Mathematical
Statistics 41 (1970) 1397-1409; S. Howard et al., Time-uniform, nonparametric,
nonasymptotic confidence sequences, Annals of Statistics 49 (2021) 1055-1080; as bets:
I. Waudby-Smith and A. Ramdas, Estimating means of bounded random variables by betting,
JRSS B 86 (2024) 1-27.

The capital is the mean of the likelihood of p over that of m, over alternatives p whose
unreliability q = 1 - p has the density of q^(b - 1):

- p above m, with b = 1/2: agents that hardly ever fail weigh most, so that 74 clean
  episodes certify 95 %. With u = q / (1 - m) a pass multiplies the capital by
  u + (1 - u) / m and a failure by u.
- p below m, with b = 1/8: nearly all orders of magnitude of unreliability alike.

For each alternative, counted as a quantile of its distribution, both factors fall with
m (rise with m for p below it): the capital is monotone in m, and the m that are not
refuted are an interval. Its limits, for m near 1 and near 0, are 1 / (2 failed + 1)
and 1 / (passed + 1).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

from agentgym.reliability.beta import log_beta, log_beta_cdf
from agentgym.reliability.intervals import CONFIDENCE, check_counts
from agentgym.reliability.verdicts import Verdict

_ABOVE, _BELOW = 1 / 2, 1 / 8
_PRECISION = 1e-9


def log_capital_above(passed: int, failed: int, m: float) -> float:
    """Evidence against a reliability of m or less: the logarithm of a wager's capital.

    Args:
        passed: Episodes that passed.
        failed: Episodes that failed.
        m: In (0, 1).
    """
    b = _ABOVE
    scale = b * (1 - m) ** -b
    part = log_beta_cdf(1 - m, failed + b, passed + 1)
    return part + _log_ratio(passed, failed, m, b, scale)


def log_capital_below(passed: int, failed: int, m: float) -> float:
    """Evidence against a reliability of m or more; see `log_capital_above`.

    Args:
        passed: Episodes that passed.
        failed: Episodes that failed.
        m: In (0, 1).
    """
    b = _BELOW
    scale = b / (1 - (1 - m) ** b)
    part = log_beta_cdf(m, passed + 1, failed + b)
    return part + _log_ratio(passed, failed, m, b, scale)


def _log_ratio(passed: int, failed: int, m: float, b: float, scale: float) -> float:
    """All alternatives' likelihood, of whichever side of m, over that of m."""
    alternatives = log_beta(passed + 1, failed + b) + math.log(scale)
    return alternatives - passed * math.log(m) - failed * math.log1p(-m)


@lru_cache(maxsize=4096)
def p_values(passed: int, failed: int, threshold: float) -> tuple[float, float]:
    """Anytime-valid p-values: against "below the threshold", and "reaches it".

    Args:
        passed: Episodes that passed.
        failed: Episodes that failed.
        threshold: Reliability that is asked for.
    """
    if threshold <= 0:
        return 0.0, 1.0
    if threshold >= 1:
        return 1.0, 0.0 if failed else 1.0
    above = log_capital_above(passed, failed, threshold)
    below = log_capital_below(passed, failed, threshold)
    return math.exp(-max(above, 0.0)), math.exp(-max(below, 0.0))


@lru_cache(maxsize=4096)
def sequential_bounds(
    passed: int, n: int, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """One-sided bounds at any stopping time: "at least", "at most".

    Args:
        passed: Episodes that passed.
        n: Episodes that passed or failed.
        confidence: Of each bound by itself.

    Returns:
        Both bounds in [0, 1], each of them right at all times together at `confidence`.

    Raises:
        ValueError: `passed` is not within [0, n].
    """
    check_counts(passed, n)
    failed = n - passed
    needed = -math.log1p(-confidence)
    low, high = 0.0, 1.0
    if passed:
        low = _edge(lambda m: log_capital_above(passed, failed, m) >= needed)
    if failed:
        # Mirrored: refuted are the reliabilities near 1.
        high = 1 - _edge(lambda q: log_capital_below(passed, failed, 1 - q) >= needed)
    return low, high


def confidence_sequence(
    passed: int, n: int, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """The two-sided interval at any stopping time.

    Args:
        passed: Episodes that passed.
        n: Episodes that passed or failed.
        confidence: Of the interval, at all times together.
    """
    return sequential_bounds(passed, n, (1 + confidence) / 2)


def _edge(refuted: Callable[[float], bool]) -> float:
    """Where the refuted numbers, which begin at 0, end; 0 where there are none."""
    low, high = 0.0, 1.0
    while high - low > _PRECISION:
        middle = (low + high) / 2
        low, high = (middle, high) if refuted(middle) else (low, middle)
    return low


class SequentialTest:
    """Looks up at which counts a reliability is certified above or below a threshold.

    Args:
        threshold: Reliability that is asked for.
        alpha: Probability that the wrong one of the two is ever certified, at most.
    """

    def __init__(self, threshold: float, alpha: float = 1 - CONFIDENCE) -> None:
        self.threshold = threshold
        self.needed = -math.log(alpha)
        self._enough: list[int] = []
        self._few: list[int] = []

    def verdict(self, passed: int, failed: int) -> Verdict:
        """What these counts certify.

        Args:
            passed: Episodes that passed.
            failed: Episodes that failed.
        """
        if passed >= self.enough(failed):
            return Verdict.reliable
        if passed <= self.few(failed):
            return Verdict.unreliable
        return Verdict.undecided

    def enough(self, failed: int) -> float:
        """The least number of passed episodes that certifies RELIABLE."""
        if not 0 < self.threshold < 1:
            return math.inf if self.threshold else 1 - failed
        while len(self._enough) <= failed:
            self._enough.append(self._next_enough(len(self._enough)))
        return self._enough[failed]

    def few(self, failed: int) -> float:
        """The greatest number of passed episodes that certifies UNRELIABLE, or -1."""
        if not 0 < self.threshold < 1:
            return math.inf if self.threshold and failed else -1
        while len(self._few) <= failed:
            passed = self._few[-1] if self._few else -1
            while self._below(passed + 1, len(self._few)):
                passed += 1
            self._few.append(passed)
        return self._few[failed]

    def _next_enough(self, failed: int) -> int:
        low = self._enough[-1] - 1 if self._enough else 0
        step = 1
        while not self._above(low + step, failed):
            step *= 2
        high, low = low + step, low + step // 2
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self._above(middle, failed) else (middle, high)
        return high

    def _above(self, passed: int, failed: int) -> bool:
        return log_capital_above(passed, failed, self.threshold) >= self.needed

    def _below(self, passed: int, failed: int) -> bool:
        return log_capital_below(passed, failed, self.threshold) >= self.needed


@lru_cache(maxsize=64)
def sequential_test(threshold: float, alpha: float) -> SequentialTest:
    """The test, with what it has looked up before.

    Args:
        threshold: Reliability that is asked for.
        alpha: Probability of error, at most.
    """
    return SequentialTest(threshold, alpha)
