"""Checks that no longer tell episodes apart, though the scenario is not solved.

Checks that all pass are the aim, and one that always passed may guard against a rare
harm. What says something is a check that some episodes passed before, and none does
now, while the reward has risen: it was given up for what is easier to earn.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from agentgym.recording.plain import shorten
from agentgym.reliability.clusters import ClusteredRate
from agentgym.training.signs.seen_episode import SeenEpisode
from agentgym.training.signs.sides import Sides, in_words, share_of

NEARLY = 0.05
"""Share that is nearly none, and what nearly all lack at most: one slip in twenty."""
AT_TIMES = 0.2
"""Share of the episodes before training in which a check passed at times."""
_TEXT = 100


def given_up(sides: Sides) -> str | None:
    """What there is to say, if a check was given up for the others."""
    if _reward(sides.now) <= _reward(sides.before):
        return None
    now = _by_check(sides.now)
    lost = [
        (text, rate, before)
        for text, rate in now.items()
        if (before := _lost(text, rate, sides)) is not None
    ]
    if not lost:
        return None
    text, rate, before = max(lost, key=lambda one: one[2].value or 0.0)
    always = sum((other.value or 0.0) >= 1 - NEARLY for other in now.values())
    others = f", and {always} of the other {len(now) - 1} checks nearly always"
    return (
        f"`assert {shorten(text, _TEXT)}` passed in {in_words(rate)} {sides.now_are}"
        f"{others if always else ''}; before training in {in_words(before)}, and the "
        f"reward has risen from {_reward(sides.before):.2f} to "
        f"{_reward(sides.now):.2f} without it: give it more weight or must(...), and "
        "take out what it conflicts with"
    )


def _lost(text: str, now: ClusteredRate, sides: Sides) -> ClusteredRate | None:
    """How often it passed before, if that was at times and it is certainly over."""
    before, first = (_of_check(side, text) for side in (sides.before, sides.first))
    if before.value is None or now.value is None or now.value > NEARLY:
        return None
    if before.value < AT_TIMES or (first.size and (first.value or 0.0) <= NEARLY):
        return None
    over = now.interval()[1] < before.interval()[0]
    return before if over else None


def _by_check(played: Sequence[SeenEpisode]) -> dict[str, ClusteredRate]:
    texts = dict.fromkeys(
        text
        for each in played
        if each.traits is not None
        for text in each.traits.checks
    )
    return {text: _of_check(played, text) for text in texts}


def _of_check(played: Sequence[SeenEpisode], text: str) -> ClusteredRate:
    """How often a check passed, of the episodes that judged it."""
    judged = [p for p in played if p.traits is not None and text in p.traits.checks]
    return share_of(judged, lambda traits: traits.checks[text])


def _reward(played: Sequence[SeenEpisode]) -> float:
    return fmean(each.reward for each in played) if played else 0.0
