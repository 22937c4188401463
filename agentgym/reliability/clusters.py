"""Shares of what is not independent: repeats of a case, or calls in an episode."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

from agentgym.reliability.beta import t_quantile
from agentgym.reliability.intervals import CONFIDENCE, clopper_pearson


@dataclass(slots=True)
class ClusteredRate:
    """A share of things that come in clusters, added up one cluster at a time.

    Attributes:
        clusters: Clusters with at least one thing in them.
        hits: Things that count as successes.
        size: All things.
    """

    clusters: int = 0
    hits: int = 0
    size: int = 0
    _hits_squared: int = 0
    _size_squared: int = 0
    _product: int = 0

    def add(self, hits: int, size: int) -> None:
        """Adds one cluster.

        Args:
            hits: Things in it that count as successes.
            size: All things in it; a cluster of none is left out.
        """
        if not size:
            return
        self.clusters += 1
        self.hits += hits
        self.size += size
        self._hits_squared += hits * hits
        self._size_squared += size * size
        self._product += hits * size

    @property
    def value(self) -> float | None:
        """The share."""
        return self.hits / self.size if self.size else None

    @property
    def mean_square(self) -> float:
        """Sum over the clusters of (hits - share * size)^2."""
        share = self.value or 0.0
        total = self._hits_squared - 2 * share * self._product
        return max(0.0, total + share * share * self._size_squared)

    @property
    def size_squared(self) -> int:
        """Sum of the clusters' squared sizes."""
        return self._size_squared

    def interval(self, confidence: float = CONFIDENCE) -> tuple[float, float]:
        """The two-sided interval, for clusters like these.

        Clopper-Pearson's at the effective number of independent things: E. Korn and B.
        Graubard, Confidence intervals for proportions with small expected number of
        positive counts estimated from survey data, Survey Methodology 24 (1998)
        193-201, with the variance between clusters. Where all things are alike, nothing
        is known of that variance, and a cluster counts as one thing.

        Returns:
            Both ends, in [0, 1].
        """
        if self.clusters < 2 or self.value is None:
            return 0.0, 1.0
        effective = min(float(self.size), max(self._effective(confidence), 1.0))
        return clopper_pearson(self.value * effective, effective, confidence)

    def _effective(self, confidence: float) -> float:
        if self.clusters == self.size:
            return float(self.size)
        share = self.hits / self.size
        spread = self.mean_square / self.size**2
        spread *= self.clusters / (self.clusters - 1)
        if self.hits in (0, self.size):
            return float(self.clusters)
        if not spread:
            return float(self.size)
        tail = (1 + confidence) / 2
        wider = t_quantile(tail, self.clusters - 1) / t_quantile(tail, self.size - 1)
        return share * (1 - share) / spread / wider**2


def clustered_rate(clusters: Collection[tuple[int, int]]) -> ClusteredRate:
    """The share over clusters, each given as its hits and its size."""
    rate = ClusteredRate()
    for hits, size in clusters:
        rate.add(hits, size)
    return rate


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseSpread:
    """How much of a scenario's spread lies between its cases.

    Attributes:
        cases: Cases that were played.
        repeats: Counted episodes of one case, on average.
        low: Lower end of the 95 % interval for cases like these.
        high: Its upper end.
        correlation: Of two episodes of the same case, in [0, 1]: 0 where the case does
            not matter, 1 where it alone decides; None where nobody can say because
            all episodes are alike.
        by_cases: Share of the variance of the reliability that remains however often
            these cases are repeated; None as before.
    """

    cases: int
    repeats: float
    low: float
    high: float
    correlation: float | None
    by_cases: float | None

    @property
    def more_cases(self) -> bool | None:
        """Whether only more cases would help much; None where nobody can say."""
        return None if self.by_cases is None else self.by_cases > 0.5


def case_spread(cases: Collection[tuple[int, int]]) -> CaseSpread | None:
    """What repeated cases say of other cases.

    The intra-case correlation is the analysis-of-variance estimate: M. Ridout, C.
    Demetrio and D. Firth, Estimating intraclass correlation for binary data, Biometrics
    55 (1999) 137-148.

    Args:
        cases: Passed and counted episodes of each case.

    Returns:
        None where there are not at least two cases, some of them repeated.
    """
    rate = clustered_rate(cases)
    if rate.clusters < 2 or rate.size <= rate.clusters:
        return None
    low, high = rate.interval()
    correlation = _correlation(cases, rate)
    repeats = rate.size / rate.clusters
    remains = None
    if correlation is not None:
        remains = correlation * repeats / (1 + (repeats - 1) * correlation)
    return CaseSpread(
        cases=rate.clusters,
        repeats=repeats,
        low=low,
        high=high,
        correlation=correlation,
        by_cases=remains,
    )


def _correlation(
    cases: Collection[tuple[int, int]], rate: ClusteredRate
) -> float | None:
    if rate.hits in (0, rate.size):
        return None
    squares = sum(hits * hits / size for hits, size in cases if size)
    between = squares - rate.hits**2 / rate.size
    between /= rate.clusters - 1
    within = (rate.hits - squares) / (rate.size - rate.clusters)
    typical = (rate.size - rate.size_squared / rate.size) / (rate.clusters - 1)
    whole = between + (typical - 1) * within
    if math.isclose(whole, 0.0, abs_tol=1e-12):
        return 0.0
    return min(1.0, max(0.0, (between - within) / whole))
