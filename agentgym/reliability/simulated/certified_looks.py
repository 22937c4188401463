"""How often a training claims a target that it has not reached, whatever its looks.

Exact: the worst training has only versions a little below the target, each of which is
as good as independent of what was seen of the others.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from agentgym.reliability.looks import share_needed
from agentgym.reliability.sizing import chance_of_at_most, least_episodes
from agentgym.reliability.verdicts import ALPHA

TARGET = 0.95
EPISODES = (100, 320, 1000)
"""Held-out episodes of a look."""
LOOKS = (1, 2, 4, 8)
"""Looks after training began; there is always the one before it."""


def certified_looks() -> tuple[list[str], list[str]]:
    """Adds up the chances of a false claim over all looks.

    Returns:
        Lines to print, and the promises that were broken.
    """
    found = {n: [_claimed(n, looks) for looks in LOOKS] for n in EPISODES}
    broken = [
        f"BROKEN: certified training of {n} held-out episodes: a false certificate in "
        f"{claimed:.2%} of trainings of {looks} looks, promised {ALPHA:.0%}"
        for n, row in found.items()
        for looks, claimed in zip(LOOKS, row, strict=True)
        if claimed > ALPHA
    ]
    return list(_report(found)), broken


def _claimed(episodes: int, looks: int) -> float:
    """The chance that any look certifies a target which is just missed."""
    honest = 1.0
    for look in range(looks + 1):
        needed = share_needed(episodes, TARGET, look)
        if needed is not None:
            failed = round((1 - needed) * episodes)
            honest *= 1 - chance_of_at_most(failed, episodes, TARGET)
    return 1 - honest


def _uncorrected(episodes: int, looks: int, *, certified: bool) -> float:
    """The same where each look is judged as if it were the only one."""
    allowed = math.floor((1 - TARGET) * episodes + 1e-9)
    if certified:
        while least_episodes(1, allowed, TARGET, ALPHA) > episodes:
            allowed -= 1
    return 1 - (1 - chance_of_at_most(allowed, episodes, TARGET)) ** (looks + 1)


def _report(found: dict[int, list[float]]) -> Iterator[str]:
    yield ""
    yield f"training: {TARGET:.0%} claimed of versions that just miss it, exact"
    cells = "".join(f"{count:>7}" for count in LOOKS)
    yield f"  {'looks after training began':<32}{cells}"
    for n, row in found.items():
        cells = "".join(f"{claimed:>7.1%}" for claimed in row)
        yield f"  {f'certified, {n} episodes':<32}{cells}"
    for name, certified in (("95 % at each look", True), ("point", False)):
        shares = (_uncorrected(320, looks, certified=certified) for looks in LOOKS)
        cells = "".join(f"{share:>7.1%}" for share in shares)
        yield f"  {f'{name}, 320 episodes':<32}{cells}  (no promise)"
