"""Is a drop in reliability larger than the one that is allowed?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from agentgym.reliability import CONFIDENCE
from agentgym.runs.differences import (
    Difference,
    Outcomes,
    by_scenario,
    compare_outcomes,
)
from agentgym.runs.lines import SURE, listed, percentage_points
from agentgym.runs.summary_json import MaxDropJson

MOST_NAMES = 5


class Drop(StrEnum):
    """What is certain about a drop, against the largest one that is allowed."""

    within = "WITHIN"
    exceeded = "EXCEEDED"
    undecided = "UNDECIDED"
    unknown = "UNKNOWN"
    """Nothing can be judged: nothing is shared, or too many episodes were lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """The drop that is allowed, and what is certain about the measured one.

    Attributes:
        limit: In [0, 1].
        run: Whether the drop of the run exceeds it.
        scenarios: Names of those whose own drop does.
        episodes: About how many episodes of a run would decide, if nothing is decided.
    """

    limit: float
    verdict: Drop
    run: bool = False
    scenarios: tuple[str, ...] = ()
    episodes: int | None = None

    def to_json(self) -> MaxDropJson:
        """The form in `summary.json`."""
        return {
            "limit": self.limit,
            "verdict": self.verdict.value,
            "run": self.run,
            "scenarios": list(self.scenarios),
        }

    def __str__(self) -> str:
        limit = percentage_points(self.limit)
        if self.verdict is Drop.unknown:
            return f"the drop cannot be compared with {limit}"
        if self.verdict is Drop.within:
            return f"the run did not drop by {limit} or more, at {SURE} confidence"
        if self.verdict is Drop.exceeded:
            names = ["the run"] if self.run else []
            where = listed([*names, *self.scenarios], MOST_NAMES + len(names))
            return f"more than {limit}, at {SURE} confidence: {where}"
        text = f"these episodes cannot tell whether it is more than {limit}"
        if self.episodes is None:
            return text
        return f"{text}; about {self.episodes} in each run would, at this rate"


def judge_drop(
    limit: float, before: Outcomes, after: Outcomes, *, judgeable: bool = True
) -> Allowance:
    """Judges the run and each scenario.

    Half of the 5 % chance of a false alarm is the run's: its verdict is what the shown
    two-sided interval says. The scenarios share the other half (Bonferroni). That the
    run did not drop by the limit is non-inferiority, shown by the lower end: G. Piaggio
    et al., Reporting of noninferiority and equivalence randomized trials, JAMA 308
    (2012) 2594-2604.

    Args:
        limit: The largest drop that is allowed, in [0, 1].
        before: The earlier episodes.
        after: The later ones.
        judgeable: Whether enough of the episodes of both count.
    """
    difference = compare_outcomes(before, after)
    if difference is None or not judgeable:
        return Allowance(limit=limit, verdict=Drop.unknown)
    scenarios = by_scenario(before, after)
    exceeded = []
    if len(scenarios) > 1:
        sure = 1 - (1 - CONFIDENCE) / len(scenarios)
        for name, sides in scenarios.items():
            found = compare_outcomes(*sides, sure)
            if found is not None and found.high < -limit:
                exceeded.append(name)
    run = difference.high < -limit
    verdict = Drop.undecided
    if exceeded or run:
        verdict = Drop.exceeded
    elif difference.low > -limit:
        verdict = Drop.within
    return Allowance(
        limit=limit,
        verdict=verdict,
        run=run,
        scenarios=tuple(exceeded),
        episodes=_needed(difference, limit) if verdict is Drop.undecided else None,
    )


def _needed(difference: Difference, limit: float) -> int | None:
    """Episodes that would decide if the difference stays: intervals go as 1/sqrt(n)."""
    room = difference.value + limit
    side = difference.value - difference.low
    if room < 0:
        side = difference.high - difference.value
    if abs(room) < 1e-3:
        return None
    return math.ceil(difference.episodes * (side / room) ** 2)
