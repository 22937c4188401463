"""Two sides of a comparison: how a scenario was played before, and how it is now.

Signs compare passed episodes with passed ones. Where calling nothing is right, those
that passed called nothing before, too; a way to pass that only training has brought is
what needs a look.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from agentgym.reliability.clusters import ClusteredRate, clustered_rate
from agentgym.training.job.traits import Traits
from agentgym.training.signs.seen_episode import SeenEpisode

MOST = 0.9
"""Share that is nearly all: sampling at temperature 1 slips at times."""
FEW = 0.3
"""Share that is few. What rises from there to `MOST` is another habit."""
HALF = 0.5
"""What the first train episodes may have of it at most: they are few."""
LEAST_BEFORE, LEAST_NOW = 8, 5
"""Cases: of fewer nobody knows what was usual, or whether all are of one kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """What is compared of a scenario.

    Attributes:
        before: Held-out episodes before training.
        first: The first train episodes, where `now` are train ones: what was so of them
            at once is a difference between the splits, and was not learned.
        now: Later episodes.
        now_are: What these are called.
    """

    before: Sequence[SeenEpisode]
    first: Sequence[SeenEpisode]
    now: Sequence[SeenEpisode]
    now_are: str

    @property
    def passed(self) -> Sides:
        """The episodes that passed."""
        return replace(
            self,
            before=[each for each in self.before if each.passed],
            first=[each for each in self.first if each.passed],
            now=[each for each in self.now if each.passed],
            now_are=f"passed {self.now_are}",
        )


def share_of(
    played: Sequence[SeenEpisode], hit: Callable[[Traits], bool]
) -> ClusteredRate:
    """How many of the episodes are such ones; a case is a cluster.

    Args:
        played: Episodes; those without traits are left out.
        hit: Whether one is such a one.
    """
    cases: dict[str, list[bool]] = defaultdict(list)
    for each in played:
        if each.traits is not None:
            cases[each.case].append(hit(each.traits))
    return clustered_rate([(sum(hits), len(hits)) for hits in cases.values()])


def risen(before: ClusteredRate, first: ClusteredRate, now: ClusteredRate) -> bool:
    """Whether something that few did is what nearly all do, for certain.

    Args:
        before: Share of the held-out episodes before training.
        first: Share of the first train episodes; without any, nothing is held against
            them.
        now: Share of the later episodes.
    """
    if before.value is None or now.value is None:
        return False
    if before.clusters < LEAST_BEFORE or now.clusters < LEAST_NOW:
        return False
    if before.value > FEW or now.value < MOST or (first.value or 0.0) > HALF:
        return False
    return now.interval()[0] > before.interval()[1]


def in_words(rate: ClusteredRate) -> str:
    """As "31 of 32"."""
    return f"{rate.hits} of {rate.size}"
