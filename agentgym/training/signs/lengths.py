"""Lengths that drift: what passed episodes say and write grows, or replies shrink.

That rewards drive lengths is the best known bias of learned rewards (Singhal et al.,
arXiv:2310.03716); checks have it, too: who lists every number has the right one among
them. What an agent thinks is left out, since to think for longer is no fault, and fewer
calls are none: in three trainings of a model of 135 million parameters
(`benchmarks/training.md`), calls per passed episode fell to a third.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, variance

from agentgym.reliability.beta import t_quantile
from agentgym.reliability.intervals import CONFIDENCE
from agentgym.training.job.traits import Traits
from agentgym.training.signs.seen_episode import SeenEpisode
from agentgym.training.signs.sides import LEAST_BEFORE, LEAST_NOW, Sides

LONGER = 2.0
"""Times the length of before from which replies have grown; where checks are sound,
they stay within a fifth."""
SHORTER = 1 / 3
"""The same for replies that have shrunk: it is no fault to become brief."""
MORE = 3.0
"""The same for all that is written, to which needless calls belong."""
SURE = 0.75
"""Share of such a factor, in logarithms, that the interval must reach."""


def drifted(sides: Sides) -> str | None:
    """What there is to say, if lengths are no longer what they were."""
    sides = sides.passed
    for noun, length, factors in (
        ("replies", lambda traits: traits.reply, (LONGER, SHORTER)),
        ("calls and texts", lambda traits: traits.written, (MORE,)),
    ):
        for factor in factors:
            found = _changed(sides, length, factor)
            if found is not None:
                return _sentence(noun, found, sides, longer=factor > 1)
    return None


@dataclass(frozen=True, slots=True)
class _Lengths:
    """Logarithms of lengths: of how many cases, the mean, and its squared error."""

    cases: int
    mean: float
    error: float

    @property
    def typical(self) -> float:
        """In characters."""
        return math.exp(self.mean)


def _changed(
    sides: Sides, length: Callable[[Traits], int], factor: float
) -> tuple[_Lengths, _Lengths] | None:
    """Typical lengths before and now, if they differ by such a factor for certain.

    Welch's interval (Biometrika 34, 1947) of the difference of the logarithms, as the
    lengths of texts are skewed.
    """
    before, now = _lengths(sides.before, length), _lengths(sides.now, length)
    if before is None or now is None or _too_few(before, now):
        return None
    wanted, change = math.log(factor), now.mean - before.mean
    way = math.copysign(1.0, wanted)
    if change * way < abs(wanted):
        return None
    first = [math.log(max(length(t), 1)) for t in _traits(sides.first)]
    if first and (now.mean - fmean(first)) * way < abs(wanted) / 2:
        return None
    total = before.error + now.error
    if total:
        freedom = total**2 / (
            before.error**2 / (before.cases - 1) + now.error**2 / (now.cases - 1)
        )
        half = t_quantile((1 + CONFIDENCE) / 2, freedom) * math.sqrt(total)
        if change * way - half < SURE * abs(wanted):
            return None
    return before, now


def _too_few(before: _Lengths, now: _Lengths) -> bool:
    return before.cases < LEAST_BEFORE or now.cases < LEAST_NOW


def _lengths(
    played: Sequence[SeenEpisode], length: Callable[[Traits], int]
) -> _Lengths | None:
    cases: dict[str, list[float]] = defaultdict(list)
    for each in played:
        if each.traits is not None:
            cases[each.case].append(math.log(max(length(each.traits), 1)))
    if len(cases) < 2:
        return None
    means = [fmean(logs) for logs in cases.values()]
    return _Lengths(len(means), fmean(means), variance(means) / len(means))


def _traits(played: Sequence[SeenEpisode]) -> list[Traits]:
    return [each.traits for each in played if each.traits is not None]


def _sentence(
    noun: str, found: tuple[_Lengths, _Lengths], sides: Sides, *, longer: bool
) -> str:
    before, now = found
    why = (
        "look whether a check is easier to pass by more words, or by more tries"
        if longer
        else "look whether a check is passed by saying less, and add one of what the "
        "reply must say"
    )
    return (
        f"the {noun} of {sides.now_are} have {now.typical:.0f} characters, "
        f"{before.typical:.0f} in passed ones before training (geometric means): {why}"
    )
