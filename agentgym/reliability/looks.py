"""The confidence that several looks at the same held-out cases share.

A training looks at held-out cases before it, and whenever a version does well enough.
Which version that is may depend on all earlier looks, so each look has a part of the
5 % of its own, and all parts add up to it (Bonferroni): whatever is claimed at any
look is wrong in at most 5 % of trainings.
"""

from __future__ import annotations

from agentgym.reliability.intervals import bounds
from agentgym.reliability.sizing import episodes_to_certify, least_episodes
from agentgym.reliability.verdicts import ALPHA, exact_p_values

BEFORE = 0.1
"""The part of the measurement before training, which seldom has anything to claim."""


def alpha_of(look: int) -> float:
    """The chance of error of a look, at most.

    Args:
        look: 0 for the measurement before training, then 1, 2, ...; there may be as
            many as wanted, since the sum of 1/(i(i+1)) over all of them is 1.
    """
    if look == 0:
        return ALPHA * BEFORE
    return ALPHA * (1 - BEFORE) / (look * (look + 1))


def at_least(passed: int, counted: int, look: int) -> float:
    """What the reliability reaches, at 95 % confidence over all looks together.

    Args:
        passed: Episodes that passed.
        counted: Episodes that passed or failed.
        look: Which look it is.
    """
    return bounds(passed, counted, 1 - alpha_of(look))[0]


def is_certain(passed: int, counted: int, target: float, look: int) -> bool:
    """Whether a look certifies that the reliability reaches the target.

    Args:
        passed: Episodes that passed.
        counted: Episodes that passed or failed.
        target: In [0, 1].
        look: Which look it is.
    """
    return exact_p_values(passed, counted - passed, target)[0] <= alpha_of(look)


def clean_needed(target: float, look: int) -> int | None:
    """How many episodes, all passed, certify the target at a look.

    Args:
        target: In [0, 1].
        look: Which look it is.

    Returns:
        None where no number does.
    """
    return episodes_to_certify(target, 1 - alpha_of(look))


def share_needed(episodes: int, target: float, look: int) -> float | None:
    """The least share of a look's episodes that certifies the target.

    Args:
        episodes: Of the look.
        target: In [0, 1].
        look: Which look it is.

    Returns:
        None where not even all of them do.
    """
    clean = clean_needed(target, look)
    if clean is None or clean > episodes:
        return None
    failed, needed = 0, clean
    while (
        more := least_episodes(needed, failed + 1, target, alpha_of(look))
    ) <= episodes:
        failed, needed = failed + 1, more
    return 1 - failed / episodes
