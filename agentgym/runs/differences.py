"""How much the reliability of one set of episodes differs from another's.

Episodes on the same case are compared pair by pair where enough of them have a
partner: what makes a case hard then cancels out. Otherwise the two sets are compared
as they are.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from agentgym.reliability import CONFIDENCE, paired_difference, paired_over_cases
from agentgym.reliability.paired import Pair
from agentgym.runs.summary_json import DifferenceJson


class EpisodeKey(NamedTuple):
    """Which episode it is, the same in all runs with the same seed.

    Attributes:
        scenario: Node id.
        case: The case, with its seed and value; None if nothing is known of it.
        repeat: Number among the episodes of the same case.
    """

    scenario: str
    case: str | None
    repeat: int


Outcomes = Mapping[EpisodeKey, bool]
"""Whether each counted episode passed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Two shares in [0, 1], and how much the later one is above the earlier one.

    Attributes:
        before: Share of the earlier episodes.
        after: Share of the later ones.
        low: Lower end of the two-sided interval of `after - before`.
        high: Its upper end.
        paired: Whether it is made of pairs.
        episodes: Pairs, or the later episodes that were compared without.
    """

    before: float
    after: float
    low: float
    high: float
    paired: bool
    episodes: int

    @property
    def value(self) -> float:
        """`after - before`."""
        return self.after - self.before

    def to_json(self) -> DifferenceJson:
        """The form in `summary.json`."""
        return {
            "before": round(self.before, 6),
            "after": round(self.after, 6),
            "value": round(self.value, 6),
            "low": round(self.low, 6),
            "high": round(self.high, 6),
            "paired": self.paired,
            "episodes": self.episodes,
        }


def compare_outcomes(
    before: Outcomes,
    after: Outcomes,
    confidence: float = CONFIDENCE,
    *,
    other_cases: bool = False,
) -> Difference | None:
    """The difference on the scenarios that both have.

    Args:
        before: The earlier episodes.
        after: The later ones.
        confidence: Of the two-sided interval.
        other_cases: Whether it is about other cases of their kind also where all pairs
            are alike, which says nothing of how much cases differ.

    Returns:
        None if they have no scenario in common.
    """
    shared = {key.scenario for key in before} & {key.scenario for key in after}
    if not shared:
        return None
    before = {key: passed for key, passed in before.items() if key.scenario in shared}
    after = {key: passed for key, passed in after.items() if key.scenario in shared}
    pairs = partners(before, after)
    if pairs is not None:
        found = {key: (before[key], after[key]) for key in pairs}
        return _paired(found, confidence, other_cases)
    return _unpaired(before, after, confidence)


def by_scenario(
    before: Outcomes, after: Outcomes
) -> dict[str, tuple[dict[EpisodeKey, bool], dict[EpisodeKey, bool]]]:
    """Both sides of each scenario, by name.

    Args:
        before: The earlier episodes.
        after: The later ones.

    Returns:
        By node id: the earlier and the later episodes, of which either may be none.
    """
    found: dict[str, tuple[dict[EpisodeKey, bool], dict[EpisodeKey, bool]]] = {}
    for place, outcomes in enumerate((before, after)):
        for key, passed in outcomes.items():
            found.setdefault(key.scenario, ({}, {}))[place][key] = passed
    return dict(sorted(found.items()))


def partners(before: Outcomes, after: Outcomes) -> list[EpisodeKey] | None:
    """The episodes that both have.

    Args:
        before: The earlier episodes.
        after: The later ones.

    Returns:
        None where pairs would leave out too much: in some scenario, more than half of
        the episodes of the side that has fewer.
    """
    pairs = [key for key in before if key.case is not None and key in after]
    found, first, second = (_per_scenario(keys) for keys in (pairs, before, after))
    enough = all(2 * found[name] >= min(n, second[name]) for name, n in first.items())
    return pairs if enough else None


def unpaired_difference(
    before: tuple[float, float],
    after: tuple[float, float],
    confidence: float = CONFIDENCE,
) -> tuple[float, float, float]:
    """How much the passed share grew from one set of episodes to another.

    The interval is Wald's with one episode added to each of the four counts: A. Agresti
    and B. Caffo, Simple and effective confidence intervals for proportions and
    differences of proportions, The American Statistician 54 (2000) 280-288.

    Args:
        before: Passed and counted episodes, also effective ones.
        after: The same of the later set.
        confidence: Of the two-sided interval.

    Returns:
        The difference and both ends of its interval, in [-1, 1].
    """
    shares = [(passed + 1) / (n + 2) for passed, n in (before, after)]
    spread = sum(
        p * (1 - p) / (n + 2) for p, (_, n) in zip(shares, (before, after), strict=True)
    )
    half = _z(confidence) * math.sqrt(spread)
    middle = shares[1] - shares[0]
    value = after[0] / after[1] - before[0] / before[1]
    low, high = min(middle - half, value), max(middle + half, value)
    return value, max(-1.0, low), min(1.0, high)


def _paired(
    pairs: Mapping[EpisodeKey, Pair], confidence: float, other_cases: bool
) -> Difference:
    first = [before for before, _ in pairs.values()]
    second = [after for _, after in pairs.values()]
    strata = [list(cases.values()) for cases in _by_case(pairs).values()]
    repeated = sum(map(len, strata)) < len(pairs)
    alike = len({after - before for before, after in pairs.values()}) == 1
    if repeated and (other_cases or not alike):
        _, low, high = paired_over_cases(strata, confidence)
    else:
        _, low, high = paired_difference(first, second, confidence)
    return Difference(
        before=sum(first) / len(pairs),
        after=sum(second) / len(pairs),
        low=low,
        high=high,
        paired=True,
        episodes=len(pairs),
    )


def _by_case(
    pairs: Mapping[EpisodeKey, Pair],
) -> Mapping[str, Mapping[str | None, list[Pair]]]:
    """The pairs of each case of each scenario."""
    found: dict[str, dict[str | None, list[Pair]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for key, pair in pairs.items():
        found[key.scenario][key.case].append(pair)
    return found


def _unpaired(before: Outcomes, after: Outcomes, confidence: float) -> Difference:
    """With the same weight of a scenario on both sides.

    Otherwise a run that plays a hard scenario more often would look worse.
    """
    numbers = _per_scenario([*before, *after])
    total = len(before) + len(after)
    weights = {name: n / total for name, n in numbers.items()}
    first, second = (_weighted(side, weights) for side in (before, after))
    _, low, high = unpaired_difference(
        (first[0] * first[1], first[1]), (second[0] * second[1], second[1]), confidence
    )
    return Difference(
        before=first[0],
        after=second[0],
        low=low,
        high=high,
        paired=False,
        episodes=len(after),
    )


def _weighted(side: Outcomes, weights: Mapping[str, float]) -> tuple[float, float]:
    """The share, and how many independent episodes are worth as much.

    L. Kish, Survey Sampling (1965): unequal weights cost `sum(w^2 / n)`.
    """
    counted = _per_scenario(side)
    passed = _per_scenario([key for key, ok in side.items() if ok])
    share = sum(weights[name] * passed[name] / n for name, n in counted.items())
    cost = sum(weights[name] ** 2 / n for name, n in counted.items())
    return share, 1 / (cost * design_effect(side.items()))


def design_effect(values: Iterable[tuple[EpisodeKey, float]]) -> float:
    """How much more a mean varies because cases are repeated; at least 1.

    The variance of a mean over whole cases, by that of independent episodes: J. Rao and
    A. Scott, A simple method for the analysis of clustered binary data, Biometrics 48
    (1992) 577-585. The scenarios are strata.
    """
    found = list(values)
    sums: dict[str, float] = defaultdict(float)
    for key, value in found:
        sums[key.scenario] += value
    numbers = _per_scenario(key for key, _ in found)
    clusters: dict[object, float] = defaultdict(float)
    independent = 0.0
    for key, value in found:
        rest = value - sums[key.scenario] / numbers[key.scenario]
        # Of an episode whose case is not known, nothing but itself is known.
        clusters[key[:2] if key.case is not None else key] += rest
        independent += rest * rest
    n, count = len(found), len(clusters)
    if count in (1, n) or not independent:
        return 1.0
    clustered = count / (count - 1) * sum(rest * rest for rest in clusters.values())
    return max(1.0, clustered / (n / (n - 1) * independent))


def _per_scenario(keys: Iterable[EpisodeKey]) -> dict[str, int]:
    found: dict[str, int] = defaultdict(int)
    for key in keys:
        found[key.scenario] += 1
    return found


def _z(confidence: float) -> float:
    from statistics import NormalDist  # slow to import, and seldom needed

    return NormalDist().inv_cdf((1 + confidence) / 2)
