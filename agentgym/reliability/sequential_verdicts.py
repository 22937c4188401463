"""Verdicts on episodes that were stopped as soon as enough was known."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

from agentgym.reliability.intervals import CONFIDENCE
from agentgym.reliability.scenario_stop import ScenarioStop
from agentgym.reliability.sequential import (
    confidence_sequence,
    log_capital_above,
    log_capital_below,
    p_values,
    sequential_bounds,
    sequential_test,
)
from agentgym.reliability.verdicts import ALPHA, Reliability, Verdict, verdict_of

_STEPS = 32
_FEW = 4
_GOLDEN = (math.sqrt(5) - 1) / 2
_GRID = [0.0, *(1 / (1 + math.exp(-x / 10)) for x in range(-100, 101)), 1.0]
"""Fine at both ends, where reliabilities and unreliabilities are."""


def judge_sequence(
    outcomes: Sequence[bool | None], threshold: float, alpha: float = ALPHA
) -> Reliability:
    """Judges episodes that were played until a verdict was certain.

    Args:
        outcomes: Whether each episode passed, in the order of the indices, those that
            finished after the decision included; None where it does not count.
        threshold: Reliability that is asked for.
        alpha: Of the decision that stopped them: smaller than 5 % where several
            verdicts are given together.
    """
    stop = ScenarioStop(sequential_test(threshold, alpha))
    for index, outcome in enumerate(outcomes):
        stop.add(index, outcome)
    passed, counted = outcomes.count(True), len(outcomes) - outcomes.count(None)
    # Capital may be looked at whenever one likes: then, and now.
    looks = [(passed, counted - passed)] if counted else []
    if stop.decision is not None:
        looks.append((stop.decision.passed, stop.decision.failed))
    p_above = min((p_values(*look, threshold)[0] for look in looks), default=1.0)
    p_below = min((p_values(*look, threshold)[1] for look in looks), default=1.0)
    known = [sequential_bounds(yes, yes + no) for yes, no in looks]
    at_least = max((bound for bound, _ in known), default=0.0)
    at_most = min((bound for _, bound in known), default=1.0)
    return Reliability.of(
        (passed, counted),
        threshold,
        value=passed / counted if counted else None,
        interval=confidence_sequence(passed, counted),
        one_sided=(at_least, at_most),
        p_values=(p_above, p_below),
    )


def judge_mean(
    counts: Sequence[tuple[int, int]], threshold: float, unseen: int = 0
) -> Reliability:
    """Judges the mean reliability of scenarios that were each stopped when certain.

    All episodes in one heap would not do: a scenario that fails is stopped after a few
    of them, and the others would outweigh it. Each way to spread a mean over the
    scenarios is refuted by the product of the scenarios' wagers (J. Spertus and P.
    Stark, Sweeter than SUITE: supermartingale stratified union-intersection tests of
    elections, arXiv:2207.03379, 2022); what some spread explains is not refuted.

    Args:
        counts: Passed and counted episodes of each scenario.
        threshold: Reliability that is asked for.
        unseen: More scenarios, of which nothing is known: what is certain of the mean
            holds whether they never pass or never fail. `value` is that of the others.
    """
    counts = [(passed, n) for passed, n in counts if n]
    value = None
    if counts:
        value = math.fsum(passed / n for passed, n in counts) / len(counts)
    above = _Mean([_curve_above(passed, n - passed) for passed, n in counts], unseen)
    below = _Mean([_curve_below(passed, n - passed) for passed, n in counts], unseen)
    p_above, p_below = above.p_value(threshold), below.p_value(1 - threshold)
    passed, counted = sum(yes for yes, _ in counts), sum(n for _, n in counts)
    if counts and not 0 < threshold < 1:
        p_above, p_below = p_values(passed, counted - passed, threshold)
    alpha = 1 - CONFIDENCE
    return Reliability.of(
        (passed, counted),
        threshold,
        value=value,
        interval=(above.bound(alpha / 2), 1 - below.bound(alpha / 2)),
        one_sided=(above.bound(alpha), 1 - below.bound(alpha)),
        p_values=(p_above, p_below),
    )


def mean_verdict(
    counts: Sequence[tuple[int, int]],
    threshold: float,
    unseen: int = 0,
    alpha: float = ALPHA,
) -> Verdict:
    """The verdict of `judge_mean`, which looks closer only where that can matter.

    Args:
        counts: Passed and counted episodes of each scenario.
        threshold: Reliability that is asked for.
        unseen: More scenarios, of which nothing is known.
        alpha: Probability of error, at most.
    """
    sides = [(passed, n - passed) for passed, n in counts if n]
    if not sides:
        return Verdict.undecided
    if not 0 < threshold < 1:
        return judge_mean(counts, threshold, unseen).verdict

    def p_value(side: _Side, share: float) -> float:
        # The same share in each scenario is one of the spreads that must be refuted.
        each = share * (len(sides) + unseen) / len(sides)
        needed = -math.log(alpha) - 1e-6
        if each >= 1 or sum(side.capital(*one, each) for one in sides) < needed:
            return 1.0
        curves = [side.curve(*one) for one in sides]
        return _Mean(curves, unseen).p_value(share, alpha)

    above, below = p_value(_ABOVE, threshold), p_value(_BELOW, 1 - threshold)
    return verdict_of(above, below, alpha)


def certified_by_scenarios(
    mean: Reliability, scenarios: Sequence[Reliability]
) -> Reliability:
    """The verdict on a mean, which is also certain where each scenario is.

    A mean below the threshold has a scenario that is, too: to refute this of each by
    itself refutes it of the mean (R. Berger, Multiparameter hypothesis testing and
    acceptance sampling, Technometrics 24 (1982) 295-300). With few scenarios this is
    the only way: their wagers together hardly have the evidence that ten looks need.
    With more, either way gets half of the chance of error, and the mean can be certain
    though one scenario is not.

    Args:
        mean: What `judge_mean` says.
        scenarios: What is certain of each.
    """
    p_each = max((one.p_above for one in scenarios), default=1.0)
    p_above = p_each
    if len(scenarios) > _FEW:
        p_above = min(1.0, 2 * min(mean.p_above, p_each))
    if any(one.threshold < mean.threshold for one in scenarios):
        return mean
    verdict = verdict_of(p_above, mean.p_below)
    at_least = mean.at_least
    if verdict is Verdict.reliable:
        at_least = max(at_least, min(mean.threshold, mean.at_most))
    return replace(mean, p_above=p_above, verdict=verdict, at_least=at_least)


@dataclass(frozen=True, slots=True)
class _Curve:
    """The log capital against a share, for every share in (0, 1).

    Attributes:
        shares: Lower ends of cells, and `capitals` their least capitals, of those cells
            that are the best ones at some price: the corners of the convex hull.
        prices: Price of capital at which a corner becomes better than the one before.
    """

    shares: list[float]
    capitals: list[float]
    prices: list[float]

    @classmethod
    def of(cls, capitals: Sequence[float]) -> _Curve:
        """The curve of the least capitals of all cells of the grid."""
        corners: list[tuple[float, float]] = []
        prices: list[float] = []
        for share, capital in zip(_GRID, capitals, strict=False):
            while corners:
                x, y = corners[-1]
                price = (share - x) / (y - capital) if capital < y else math.inf
                if prices and price <= prices[-1]:
                    corners.pop()
                    prices.pop()
                else:
                    break
            if not corners:
                corners.append((share, capital))
            elif price < math.inf:
                corners.append((share, capital))
                prices.append(price)
        shares, least = zip(*corners, strict=True)
        return cls(list(shares), list(least), prices)

    def least(self, price: float) -> float:
        """The least sum of a share and its priced capital."""
        corner = bisect_left(self.prices, price)
        return self.shares[corner] + price * self.capitals[corner]


class _Mean:
    """What the scenarios' curves say of the mean of their shares.

    The least mean that is not refuted is min sum(m) / k with sum(g(m)) <= log 1/alpha.
    It is bounded from below by its Lagrangian dual, so that neither a coarse grid nor
    an early end of the search can make it too large.
    """

    def __init__(self, curves: Sequence[_Curve], unseen: int = 0) -> None:
        self._curves = curves
        # A share of 0 explains a scenario of which nothing is known.
        self._scenarios = len(curves) + unseen

    def bound(self, alpha: float) -> float:
        """The mean is at least this, but with probability alpha."""
        if not self._curves:
            return 0.0
        needed = -math.log(alpha)
        return max(0.0, self._best(lambda price: self._least(price) - price * needed))

    def p_value(self, mean: float, alpha: float = 0.0) -> float:
        """Against a mean of this or less; no more exact than to be `alpha` or less."""
        if not self._curves:
            return 1.0
        enough = -math.log(alpha) if alpha else math.inf
        capital = self._best(
            lambda price: (self._least(price) - mean) / price, enough=enough
        )
        return math.exp(-max(0.0, capital))

    def _least(self, price: float) -> float:
        """Least sum of mean and priced capital; each scenario finds its own."""
        k = self._scenarios
        each = k * price
        return sum([curve.least(each) for curve in self._curves]) / k

    def _best(self, value: Callable[[float], float], enough: float = math.inf) -> float:
        """The greatest value over all prices, or one that is `enough`.

        It rises to the greatest one and falls again: golden-section search (J. Kiefer,
        Sequential minimax search for a maximum, Proceedings of the American
        Mathematical Society 4 (1953) 502-506).
        """
        low, high = math.log(1e-9), math.log(10.0)
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        first, second = value(math.exp(left)), value(math.exp(right))
        best = max(first, second)
        for _ in range(_STEPS):
            if best >= enough:
                break
            if first < second:
                low, left, first = left, right, second
                right = low + _GOLDEN * (high - low)
                second = value(math.exp(right))
            else:
                high, right, second = right, left, first
                left = high - _GOLDEN * (high - low)
                first = value(math.exp(left))
            best = max(best, first, second)
        return best


@lru_cache(maxsize=1024)
def _curve_above(passed: int, failed: int) -> _Curve:
    """Capital against a reliability of so much or less."""
    ends = [log_capital_above(passed, failed, m) for m in _GRID[1:-1]]
    return _Curve.of([*ends, -math.log(2 * failed + 1)])


@lru_cache(maxsize=1024)
def _curve_below(passed: int, failed: int) -> _Curve:
    """Capital against an unreliability of so much or less."""
    ends = [log_capital_below(passed, failed, 1 - q) for q in _GRID[1:-1]]
    return _Curve.of([*ends, -math.log(passed + 1)])


def _log_capital_of_failures(passed: int, failed: int, q: float) -> float:
    """Evidence against an unreliability of q or less."""
    return log_capital_below(passed, failed, 1 - q)


class _Side(NamedTuple):
    """What is refuted: shares of passed, or of failed, episodes.

    Attributes:
        capital: Evidence against a share of so much or less.
        curve: The same for all shares.
    """

    capital: Callable[[int, int, float], float]
    curve: Callable[[int, int], _Curve]


_ABOVE = _Side(lru_cache(maxsize=4096)(log_capital_above), _curve_above)
_BELOW = _Side(lru_cache(maxsize=4096)(_log_capital_of_failures), _curve_below)
