"""What can be said about a reliability from a number of episodes; pure functions.

Two different questions are asked of the same numbers. The *gate* decides the exit code:
does the measured share reach the threshold? The *verdict* says what is certain: is the
true reliability above (or below) the threshold at 95 % confidence? That claim is
one-sided, so a one-sided exact bound answers it, and 59 clean episodes certify 95 %
(0.95 ** 59 < 0.05). The interval that is shown is the two-sided one: 94-100 % there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

CONFIDENCE = 0.95
ATTRITION_LIMIT = 0.05
"""Share of episodes that may not count; above it nothing is judged."""


class Verdict(StrEnum):
    """What is certain about a reliability, against a threshold."""

    reliable = "RELIABLE"
    unreliable = "UNRELIABLE"
    undecided = "UNDECIDED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """A measured reliability against a threshold.

    Attributes:
        value: Passed share of the counted episodes, None without any.
        low: Lower end of the two-sided 95 % Clopper-Pearson interval.
        high: Its upper end.
        verdict: What a one-sided bound certifies.
        met: Whether the gate is met: `value` reaches the threshold.
    """

    passed: int
    counted: int
    value: float | None
    low: float
    high: float
    threshold: float
    verdict: Verdict
    met: bool

    def to_json(self) -> dict[str, Any]:
        """The form in `summary.json`."""
        return {
            "value": self.value,
            "low": self.low,
            "high": self.high,
            "threshold": self.threshold,
            "verdict": self.verdict.value,
        }


def judge(
    passed: int, counted: int, threshold: float, *, gates: int = 1
) -> Reliability:
    """Judges `passed` of `counted` independent episodes against a threshold.

    Args:
        passed: Episodes that passed.
        counted: Episodes that passed or failed.
        threshold: Reliability that is asked for.
        gates: Verdicts that are given together. Their chance of error is shared among
            them (Bonferroni), so that all of them are right at 95 % confidence.

    Raises:
        ValueError: `passed` is not within [0, counted].
    """
    low, high = clopper_pearson(passed, counted)
    alpha = (1 - CONFIDENCE) / gates
    verdict = Verdict.undecided
    if counted and _at_least(passed, counted, threshold, alpha):
        verdict = Verdict.reliable
    elif counted and _below(passed, counted, threshold, alpha):
        verdict = Verdict.unreliable
    value = passed / counted if counted else None
    return Reliability(
        passed=passed,
        counted=counted,
        value=value,
        low=low,
        high=high,
        threshold=threshold,
        verdict=verdict,
        met=value is not None and value >= threshold,
    )


def attrition_exceeded(counted: int, total: int) -> bool:
    """Whether too few of the episodes count to judge anything."""
    return counted == 0 or (total - counted) / total > ATTRITION_LIMIT


def clopper_pearson(
    passed: int, n: int, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """The exact two-sided interval of a binomial share.

    C. Clopper and E. Pearson, The use of confidence or fiducial limits illustrated in
    the case of the binomial, Biometrika 26 (1934) 404-413, in its beta form.

    Returns:
        Both ends, in [0, 1].

    Raises:
        ValueError: `passed` is not within [0, n].
    """
    if not 0 <= passed <= n:
        raise ValueError(f"{passed} of {n} episodes cannot have passed")
    tail = (1 - confidence) / 2
    low = 0.0 if passed == 0 else beta_quantile(tail, passed, n - passed + 1)
    high = 1.0 if passed == n else beta_quantile(1 - tail, passed + 1, n - passed)
    return low, high


def bounds(passed: int, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The exact one-sided bounds: "at least" and "at most", each at `confidence`."""
    return clopper_pearson(passed, n, 2 * confidence - 1)


def episodes_to_certify(threshold: float, confidence: float = CONFIDENCE) -> int | None:
    """Episodes which, all passed, certify the threshold: n with threshold^n <= 1 - c.

    Returns:
        For example 59 for 0.95 at 95 % confidence; None where no number is enough.
    """
    alpha = 1 - confidence
    if threshold >= 1:
        return None
    if threshold <= alpha:
        return 1
    n = max(1, math.floor(math.log(alpha) / math.log(threshold)) - 1)
    while not _at_least(n, n, threshold, alpha):
        n += 1
    return n


def episodes_to_decide(
    passed: int, counted: int, threshold: float, *, most: int = 100_000
) -> int | None:
    """About how many episodes give a verdict if the measured share stays as it is.

    Returns:
        At least `counted`; None where `most` are too few, because the share is so near
        to the threshold.
    """

    def decided(n: int) -> bool:
        likely = round(passed / counted * n)
        return judge(likely, n, threshold).verdict is not Verdict.undecided

    low = high = max(1, counted)
    while not decided(high):
        low, high = high, 2 * high
        if high > most:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if decided(middle) else (middle, high)
    return high


def paired_difference(
    before: Sequence[bool], after: Sequence[bool], confidence: float = CONFIDENCE
) -> tuple[float, float, float]:
    """How much more often `after` passes than `before`, on the same episodes.

    The interval is Wald's, computed with half an episode added to each of the four
    pairs of outcomes: A. Agresti and Y. Min, Simple improved confidence intervals for
    comparing matched proportions, Statistics in Medicine 24 (2005) 729-740.

    Args:
        before: Outcome of each episode.
        after: Outcome of the same episodes, in the same order.
        confidence: Of the two-sided interval.

    Returns:
        The difference and both ends of its interval, in [-1, 1].

    Raises:
        ValueError: There are no episodes, or not as many of both.
    """
    from statistics import NormalDist  # slow to import, and seldom needed

    n = len(before)
    if not n or n != len(after):
        raise ValueError(f"{n} episodes before and {len(after)} after are no pairs")
    fixed = sum(a and not b for b, a in zip(before, after, strict=True))
    broken = sum(b and not a for b, a in zip(before, after, strict=True))
    more, less, size = fixed + 0.5, broken + 0.5, n + 2
    middle = (more - less) / size
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    half = z * math.sqrt((more + less) - (more - less) ** 2 / size) / size
    value = (fixed - broken) / n
    low, high = min(middle - half, value), max(middle + half, value)
    return value, max(low, -1.0), min(high, 1.0)


def pass_hat_k(passed: int, n: int, k: int) -> float:
    """Probability that k independent episodes all pass: C(passed, k) / C(n, k).

    The unbiased estimate of Yao et al., tau-bench, arXiv:2406.12045 (2024).

    Raises:
        ValueError: There are fewer than k episodes.
    """
    if not 0 < k <= n:
        raise ValueError(f"pass^{k} needs at least {k} episodes, there are {n}")
    return math.comb(passed, k) / math.comb(n, k)


def beta_quantile(probability: float, a: float, b: float) -> float:
    """The x with `beta_cdf(x, a, b) == probability`, by bisection."""
    low, high = 0.0, 1.0
    while low < (middle := (low + high) / 2) < high:
        if beta_cdf(middle, a, b) < probability:
            low = middle
        else:
            high = middle
        if high - low < 1e-14 * high:
            break
    return (low + high) / 2


def beta_cdf(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I_x(a, b).

    By its continued fraction (NIST Digital Library of Mathematical Functions, 8.17.22),
    evaluated by Lentz's method.
    """
    if x <= 0:
        return 0.0
    if x >= 1:
        return 1.0
    if x > (a + 1) / (a + b + 2):
        # The fraction converges fast on the other side only.
        return 1 - beta_cdf(1 - x, b, a)
    log_front = (
        math.lgamma(a + b)
        - math.lgamma(a)
        - math.lgamma(b)
        + a * math.log(x)
        + b * math.log1p(-x)
    )
    return math.exp(log_front) / (a * _continued_fraction(x, a, b))


def _continued_fraction(x: float, a: float, b: float) -> float:
    tiny = 1e-300
    value, c, d = 1.0, 1.0, 0.0
    # About sqrt(max(a, b)) steps are needed.
    for step in range(1, 100_000):
        m = step // 2
        if step % 2:
            factor = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            factor = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1 / (1 + factor * d or tiny)
        c = 1 + factor / c or tiny
        value *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return value


def _at_least(passed: int, n: int, threshold: float, alpha: float) -> bool:
    """Whether the lower bound reaches the threshold: P(X >= passed) <= alpha there."""
    if passed == 0 or threshold <= 0:
        return threshold <= 0
    if passed == n:
        return threshold**n <= alpha
    return beta_cdf(threshold, passed, n - passed + 1) <= alpha


def _below(passed: int, n: int, threshold: float, alpha: float) -> bool:
    """Whether the upper bound is below the threshold: P(X <= passed) < alpha there."""
    if passed == n:
        return False
    if threshold >= 1:
        return True
    return beta_cdf(1 - threshold, n - passed, passed + 1) < alpha
