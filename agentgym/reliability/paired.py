"""The same episodes before and after a change."""

from __future__ import annotations

import math
from collections.abc import Sequence

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
