"""The same episodes before and after a change."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from agentgym.reliability.beta import t_quantile
from agentgym.reliability.intervals import CONFIDENCE


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
    n = len(before)
    if not n or n != len(after):
        raise ValueError(f"{n} episodes before and {len(after)} after are no pairs")
    fixed = sum(a and not b for b, a in zip(before, after, strict=True))
    broken = sum(b and not a for b, a in zip(before, after, strict=True))
    more, less, size = fixed + 0.5, broken + 0.5, n + 2
    middle = (more - less) / size
    half = _z(confidence) * math.sqrt((more + less) - (more - less) ** 2 / size) / size
    value = (fixed - broken) / n
    low, high = min(middle - half, value), max(middle + half, value)
    return value, max(low, -1.0), min(high, 1.0)


Pair = tuple[bool, bool]
"""Whether an episode passed before, and after."""


def paired_over_cases(
    strata: Collection[Collection[Sequence[Pair]]], confidence: float = CONFIDENCE
) -> tuple[float, float, float]:
    """The same where cases are repeated, for other cases of their kind.

    The shares of the fixed and of the broken episodes have Wilson's intervals, at the
    number of independent pairs that these are worth, and are subtracted as G. Zou and
    A. Donner do, Construction of confidence limits about effect measures, Statistics
    in Medicine 27 (2008) 1693-1702. Unlike Wald's it covers where few cases changed.

    Args:
        strata: Of each scenario the pairs of each case.
        confidence: Of the two-sided interval.

    Returns:
        The difference and both ends of its interval, in [-1, 1].

    Raises:
        ValueError: There are no pairs.
    """
    pairs = [pair for cases in strata for case in cases for pair in case]
    if not pairs:
        raise ValueError("there are no pairs")
    gains = [[[float(a) - b for b, a in case] for case in cases] for cases in strata]
    size = effective_size(gains, confidence)
    fixed = sum(after and not before for before, after in pairs) / len(pairs)
    broken = sum(before and not after for before, after in pairs) / len(pairs)
    fixed_low, fixed_high = _wilson(fixed, size, confidence)
    broken_low, broken_high = _wilson(broken, size, confidence)
    # The more are fixed, the fewer are left to be broken.
    odds = fixed * broken / ((1 - fixed) * (1 - broken)) if fixed * broken else 0.0
    value, together = fixed - broken, 2 * math.sqrt(odds)

    def reach(one: float, other: float) -> float:
        return math.sqrt(one * one + other * other + together * one * other)

    low = value - reach(fixed - fixed_low, broken_high - broken)
    high = value + reach(fixed_high - fixed, broken - broken_low)
    return value, max(-1.0, low), min(1.0, high)


def effective_size(
    strata: Collection[Collection[Sequence[float]]], confidence: float = CONFIDENCE
) -> float:
    """How many independent values say as much of a mean as repeated cases do.

    The variance between cases over that of independent values (J. Rao and A. Scott,
    Biometrics 48 (1992) 577-585), with Student's quantile for a variance of few cases
    (F. Satterthwaite, Biometrics Bulletin 2 (1946) 110-114, over the scenarios). The
    only case of a scenario has no other cases: its repeats are independent. Where all
    values are alike, nothing is known of the cases, and each counts as one value.

    Args:
        strata: Of each scenario the values of each case.
        confidence: Of the interval that the number is for.
    """
    independent, parts, alike, number = 0.0, [], 0, 0
    for cases in strata:
        n = sum(map(len, cases))
        number += n
        alike += len(cases) if len(cases) > 1 else n
        if n < 2:
            continue
        alone, between = _variances(cases, n)
        independent += alone
        parts.append((between, (len(cases) if len(cases) > 1 else n) - 1))
    if not independent:
        return float(alike)
    total = sum(between for between, _ in parts)
    wider = 1.0
    if total:
        freedom = total**2 / sum(between**2 / own for between, own in parts)
        wider = t_quantile((1 + confidence) / 2, freedom) / _z(confidence)
    effect = max(1.0, total / independent)
    return min(float(number), max(1.0, number / effect / wider**2))


def _variances(cases: Collection[Sequence[float]], n: int) -> tuple[float, float]:
    """Of the sum of a scenario's values: if they are independent, and if cases are."""
    mean = sum(map(sum, cases)) / n
    alone = sum((value - mean) ** 2 for case in cases for value in case) * n / (n - 1)
    count = len(cases)
    if count == 1:
        return alone, alone
    sums = (sum(value - mean for value in case) for case in cases)
    return alone, count / (count - 1) * sum(one * one for one in sums)


def _wilson(share: float, n: float, confidence: float) -> tuple[float, float]:
    """E. Wilson, Probable inference, JASA 22 (1927) 209-212; n may be a fraction."""
    z = _z(confidence)
    scale = 1 + z * z / n
    middle = (share + z * z / (2 * n)) / scale
    half = z / scale * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return min(share, max(0.0, middle - half)), max(share, min(1.0, middle + half))


def _z(confidence: float) -> float:
    from statistics import NormalDist  # slow to import, and seldom needed

    return NormalDist().inv_cdf((1 + confidence) / 2)
