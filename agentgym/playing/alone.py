"""Whether episodes that failed side by side pass when they are played alone; pure."""

from __future__ import annotations

from math import comb
from typing import NamedTuple

from agentgym.playing.episode import Episode
from agentgym.recording.blame import Outcome

MOST_ALONE = 16
"""Failed episodes of a scenario that are played again, one at a time."""
_MOST_FAILURES = 2
"""Where more fail alone, too, playing on costs more than it is likely to tell."""
_ONE_IN = 100
"""How often chance may make the difference that is told as a suspicion."""


class PlayedAlone(NamedTuple):
    """What came of the episodes that were played again alone.

    Attributes:
        played: Those that count.
        passed: Those that passed.
    """

    played: int = 0
    passed: int = 0

    def and_one(self, episode: Episode) -> PlayedAlone:
        """These and another one."""
        passed = episode.outcome is Outcome.passed
        return PlayedAlone(self.played + episode.counted, self.passed + passed)

    @property
    def failed(self) -> int:
        """Those that failed again."""
        return self.played - self.passed


def better_alone(alone: PlayedAlone, passed: int, counted: int) -> bool:
    """Whether more pass alone than chance explains.

    Fisher's exact test, one-sided (Fisher, Journal of the Royal Statistical Society 85,
    1922). Episodes that failed pass again no more often than those of all cases do, so
    that a difference of the cases accuses nobody.

    Args:
        alone: Episodes that had failed.
        passed: Episodes that passed side by side.
        counted: Episodes that count and were played side by side.
    """
    both = alone.passed + passed
    ways = sum(
        comb(alone.played, here) * comb(counted, both - here)
        for here in range(alone.passed, min(alone.played, both) + 1)
    )
    return _ONE_IN * ways <= comb(alone.played + counted, both)


def failures_allowed(played: int, passed: int, counted: int) -> int:
    """How many of the episodes played alone may fail for them to do better.

    Args:
        played: Episodes that are to be played alone.
        passed: Episodes that passed side by side.
        counted: Episodes that count and were played side by side.

    Returns:
        -1 where even without a failure they would not.
    """
    allowed = -1
    while allowed < min(played, _MOST_FAILURES) and better_alone(
        PlayedAlone(played, played - allowed - 1), passed, counted
    ):
        allowed += 1
    return allowed
