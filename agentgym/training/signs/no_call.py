"""Passing by not acting: episodes pass without a tool call, which before made some.

An agent that does nothing passed 38 % of the airline tasks of a known benchmark, whose
checks compared only what was changed (Zhu et al., arXiv:2507.02825).
"""

from __future__ import annotations

from agentgym.training.signs.sides import Sides, in_words, risen, share_of


def without_call(sides: Sides) -> str | None:
    """What there is to say, if nothing is called any more where tools were called."""
    sides = sides.passed
    before, first, now = (
        share_of(side, lambda traits: not traits.calls)
        for side in (sides.before, sides.first, sides.now)
    )
    if not risen(before, first, now):
        return None
    return (
        f"{in_words(now)} {sides.now_are} made no tool call; before training "
        f"{in_words(before)} passed ones: add a check that needs a call, such as "
        "assert run.called(...)"
    )
