"""Replies, or calls, of one form: the same for different cases, which before differed.

Entropy cannot tell this: it falls in good trainings, too (Cui et al.,
arXiv:2505.22617), and an agent may well thank everyone in the same words. What counts
is the dependence on the case (Wang et al., arXiv:2604.06268, who call its loss template
collapse): a reply depends on it by the ids and numbers that it names, calls do by their
arguments.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

from agentgym.reliability.clusters import ClusteredRate
from agentgym.training.job.traits import Traits
from agentgym.training.signs.seen_episode import SeenEpisode
from agentgym.training.signs.sides import Sides, in_words, risen, share_of

Form = Callable[[Traits], str]


def one_form(sides: Sides) -> str | None:
    """What there is to say, if nearly all cases get the same reply or calls."""
    return _one_reply(sides.passed) or _same_calls(sides.passed)


def _one_reply(sides: Sides) -> str | None:
    found = _collapsed(sides, lambda traits: traits.values, lambda traits: traits.said)
    if found is None:
        return None
    before, now, common = found
    return (
        f"{in_words(now)} {sides.now_are}, of {now.clusters} cases, have the same "
        f'reply, "{common.excerpt}"; before training {_own(before)} named an id or a '
        "number of their own case: add a check of what the reply must say of the case"
    )


def _same_calls(sides: Sides) -> str | None:
    found = _collapsed(sides, lambda traits: traits.did, lambda traits: traits.did)
    if found is None or not found[2].calls:
        return None
    before, now, _ = found
    return (
        f"{in_words(now)} {sides.now_are}, of {now.clusters} cases, made the same "
        f"calls with the same arguments; before training {_own(before)} made calls of "
        "their own case: add a check of the arguments"
    )


def _collapsed(
    sides: Sides, depends: Form, form: Form
) -> tuple[ClusteredRate, ClusteredRate, Traits] | None:
    """What was not of its own case before, the one form now, and one that has it.

    Args:
        sides: Passed episodes.
        depends: What of an episode depended on its case, if it did; empty for nothing.
        form: What is the same now.
    """
    seen = [each.traits for each in sides.now if each.traits is not None]
    if not seen:
        return None
    common, _ = Counter(map(form, seen)).most_common(1)[0]
    now = share_of(sides.now, lambda traits: form(traits) == common)
    before, first = (_alike(side, depends) for side in (sides.before, sides.first))
    if not risen(before, first, now):
        return None
    return before, now, next(traits for traits in seen if form(traits) == common)


def _alike(played: Sequence[SeenEpisode], depends: Form) -> ClusteredRate:
    """Share of the episodes that do not show which case they are of."""
    cases: dict[str, set[str]] = defaultdict(set)
    for each in played:
        if each.traits is not None:
            cases[depends(each.traits)].add(each.case)
    return share_of(
        played,
        lambda traits: not depends(traits) or len(cases[depends(traits)]) > 1,
    )


def _own(alike: ClusteredRate) -> str:
    return f"{alike.size - alike.hits} of {alike.size} passed ones"
