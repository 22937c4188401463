"""Intervals of a share after a number of episodes that was fixed beforehand."""

from __future__ import annotations

from functools import lru_cache

from agentgym.reliability.beta import beta_quantile

CONFIDENCE = 0.95


@lru_cache(maxsize=4096)
def clopper_pearson(
    passed: float, n: float, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """The exact two-sided interval of a binomial share.

    C. Clopper and E. Pearson, The use of confidence or fiducial limits illustrated in
    the case of the binomial, Biometrika 26 (1934) 404-413, in its beta form, which is
    defined for an effective number of episodes, too.

    Args:
        passed: Episodes that passed; a fraction where episodes are not independent and
            their effective number is given.
        n: Episodes, likewise.
        confidence: Probability that the interval contains the true share, at least.

    Returns:
        Both ends, in [0, 1].

    Raises:
        ValueError: `passed` is not within [0, n].
    """
    check_counts(passed, n)
    tail = (1 - confidence) / 2
    low = 0.0 if passed == 0 else beta_quantile(tail, passed, n - passed + 1)
    high = 1.0 if passed == n else beta_quantile(1 - tail, passed + 1, n - passed)
    return low, high


@lru_cache(maxsize=4096)
def jeffreys(
    passed: float, n: float, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """The two-sided interval of Jeffreys's prior: shorter, right on average only.

    L. Brown, T. Cai and A. DasGupta, Interval estimation for a binomial proportion,
    Statistical Science 16 (2001) 101-133, with their ends 0 and 1.

    Args:
        passed: Episodes that passed.
        n: Episodes.
        confidence: Probability that the interval contains the true share, on average
            over all shares.

    Returns:
        Both ends, in [0, 1].

    Raises:
        ValueError: `passed` is not within [0, n].
    """
    check_counts(passed, n)
    tail, a, b = (1 - confidence) / 2, passed + 0.5, n - passed + 0.5
    low = 0.0 if passed == 0 else beta_quantile(tail, a, b)
    high = 1.0 if passed == n else beta_quantile(1 - tail, a, b)
    return low, high


def bounds(
    passed: float, n: float, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """The exact one-sided bounds: "at least" and "at most", each at `confidence`.

    Args:
        passed: Episodes that passed.
        n: Episodes.
        confidence: Of each bound by itself.
    """
    return clopper_pearson(passed, n, 2 * confidence - 1)


def check_counts(passed: float, n: float) -> None:
    """Refuses counts that no episodes can have.

    Args:
        passed: Episodes that passed.
        n: Episodes.

    Raises:
        ValueError: `passed` is not within [0, n].
    """
    if not 0 <= passed <= n:
        raise ValueError(f"{passed} of {n} episodes cannot have passed")
