"""How often the interval of a difference holds the truth, where cases are repeated."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from random import Random

from agentgym.reliability.paired import Pair, paired_difference, paired_over_cases
from agentgym.reliability.verdicts import ALPHA

MOST_RUNS = 1000
"""An interval takes far longer than a verdict."""
SIZES = ((8, 16), (8, 4), (12, 8), (16, 8), (32, 4))
"""Cases, and episodes of each."""
MISSES = 0.07
"""Share of intervals that may leave out the truth: they are no exact ones."""
_STANDARD_ERRORS = 3.5

Kind = Callable[[Random], tuple[float, float]]
"""Draws the reliability of a case before and after."""


def _better(random: Random) -> tuple[float, float]:
    """Every case is four times as likely to pass as to fail than it was."""
    before = random.betavariate(1.0, 0.7)
    return before, 4 * before / (1 + 3 * before)


def _learned(random: Random) -> tuple[float, float]:
    """Most cases are learned, the others stay as they are."""
    before = random.betavariate(0.5, 0.5)
    return before, 0.97 if random.random() < 0.8 else before


def _fixed(random: Random) -> tuple[float, float]:
    """A case always passes, or never; a third of those that never do are fixed."""
    if random.random() < 0.6:
        return 1.0, 1.0
    return 0.0, float(random.random() < 1 / 3)


def _same(random: Random) -> tuple[float, float]:
    """Nothing was learned."""
    before = random.betavariate(1.0, 0.7)
    return before, before


KINDS: dict[str, tuple[Kind, float]] = {
    "every case a little better": (_better, 0.189426),
    "most cases learned": (_learned, 0.8 * 0.47),
    "a case passes always or never": (_fixed, 0.4 / 3),
    "nothing learned": (_same, 0.0),
}
"""What a training did to the cases, and by how much they are better on average."""


def before_after(runs: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """Tries the interval of a training's difference.

    Args:
        runs: Simulated trainings per size and kind; 1,000 at most.
        seed: The same one gives the same report.

    Returns:
        Lines to print, and the promises that were broken.
    """
    random = Random(seed)  # noqa: S311 - chance, no secret
    runs = min(runs, MOST_RUNS)
    found = {
        name: [_missed(kind, truth, size, runs, random) for size in SIZES]
        for name, (kind, truth) in KINDS.items()
    }
    return list(_report(found, runs)), list(_broken(found, runs))


def _missed(
    kind: Kind, truth: float, size: tuple[int, int], runs: int, random: Random
) -> tuple[float, float]:
    """Shares of wrong intervals: that of pairs, and that of repeated cases."""
    cases, repeats = size
    wrong = [0, 0]
    for _ in range(runs):
        drawn = [_case(kind(random), repeats, random) for _ in range(cases)]
        pairs = [pair for case in drawn for pair in case]
        naive = paired_difference([b for b, _ in pairs], [a for _, a in pairs])
        for place, (_, low, high) in enumerate((naive, paired_over_cases([drawn]))):
            wrong[place] += not low <= truth <= high
    return wrong[0] / runs, wrong[1] / runs


def _case(shares: tuple[float, float], repeats: int, random: Random) -> list[Pair]:
    before, after = shares
    draw = random.random
    return [(draw() < before, draw() < after) for _ in range(repeats)]


def _broken(found: dict[str, list[tuple[float, float]]], runs: int) -> Iterator[str]:
    margin = _STANDARD_ERRORS * math.sqrt(ALPHA * (1 - ALPHA) / runs)
    for name, row in found.items():
        for (cases, repeats), (_, missed) in zip(SIZES, row, strict=True):
            if missed > MISSES + margin:
                yield (
                    f"BROKEN: before and after, {name}: a wrong interval in "
                    f"{missed:.1%} of trainings of {cases} cases x {repeats}, promised "
                    f"{MISSES:.0%}"
                )


def _report(found: dict[str, list[tuple[float, float]]], runs: int) -> Iterator[str]:
    yield ""
    yield f"difference of a training without the truth, {runs:,} simulated trainings"
    sizes = "".join(f"{f'{cases} x {n}':>8}" for cases, n in SIZES)
    yield f"  {'cases x episodes':<32}{sizes}"
    for name, row in found.items():
        yield f"  {name:<32}{''.join(f'{missed:>8.1%}' for _, missed in row)}"
    for name, row in found.items():
        cells = "".join(f"{missed:>8.1%}" for missed, _ in row)
        yield f"  {'  as independent pairs':<32}{cells}  (no promise): {name}"
