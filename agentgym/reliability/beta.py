"""The beta distribution, which exact statements on shares are made of; stdlib only."""

from __future__ import annotations

import math


def beta_quantile(probability: float, a: float, b: float) -> float:
    """The x with `beta_cdf(x, a, b) == probability`.

    By Newton's method, and by bisection where that would leave what is known of x.

    Args:
        probability: In (0, 1).
        a: First shape parameter, above 0.
        b: Second shape parameter, above 0.
    """
    low, high = 0.0, 1.0
    x = a / (a + b)
    while high - low > 1e-14 * high:
        excess = beta_cdf(x, a, b) - probability
        low, high = (x, high) if excess < 0 else (low, x)
        log_density = (a - 1) * math.log(x) + (b - 1) * math.log1p(-x) - log_beta(a, b)
        step = excess * math.exp(-log_density) if log_density > -600 else math.inf
        following = x - step
        if not low < following < high:
            following = (low + high) / 2
        if abs(following - x) <= 1e-15 * x or not low < following < high:
            return x
        x = following
    return x


def beta_cdf(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I_x(a, b).

    By its continued fraction (NIST Digital Library of Mathematical Functions, 8.17.22),
    evaluated by Lentz's method.

    Args:
        x: Any number; the function is 0 below 0 and 1 above 1.
        a: First shape parameter, above 0.
        b: Second shape parameter, above 0.
    """
    if x <= 0:
        return 0.0
    if x >= 1:
        return 1.0
    if x > (a + 1) / (a + b + 2):
        # The fraction converges fast on the other side only.
        return 1 - beta_cdf(1 - x, b, a)
    return math.exp(_log_lower(x, a, b))


def log_beta_cdf(x: float, a: float, b: float) -> float:
    """Its logarithm, also where it is smaller than floating-point numbers can be.

    Args:
        x: In (0, 1).
        a: Above 0.
        b: Above 0.
    """
    if x > (a + 1) / (a + b + 2):
        return math.log1p(-beta_cdf(1 - x, b, a))
    return _log_lower(x, a, b)


def log_beta(a: float, b: float) -> float:
    """The logarithm of the beta function.

    Args:
        a: Above 0.
        b: Above 0.
    """
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def t_quantile(probability: float, freedom: float) -> float:
    """Quantile above the median of Student's t distribution (DLMF 8.17.ii).

    Args:
        probability: In (0.5, 1).
        freedom: Degrees of freedom, above 0.
    """
    x = beta_quantile(2 * (1 - probability), freedom / 2, 0.5)
    return math.sqrt(freedom * (1 - x) / x)


def _log_lower(x: float, a: float, b: float) -> float:
    front = a * math.log(x) + b * math.log1p(-x) - log_beta(a, b)
    return front - math.log(a * _continued_fraction(x, a, b))


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
