"""Train episodes pass more often than at first, and episodes on other cases do not.

The gap between what is optimized and what is meant (Goodhart's law; Gao et al.,
arXiv:2210.10760, measured it for learned rewards): the one goes on rising when the
other has stopped, or falls.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from agentgym.runs.differences import Difference, EpisodeKey, compare_outcomes
from agentgym.runs.lines import percent
from agentgym.training.signs.scenario_evidence import Evidence, Look
from agentgym.training.signs.seen_episode import SeenEpisode

RISE = 0.1
"""What train episodes must have gained for certain: less is nothing to carry over."""


def not_carried_over(scenarios: Mapping[str, Evidence]) -> str | None:
    """What there is to say, if other cases do not gain what train cases do.

    Args:
        scenarios: One, or those of a training together.
    """

    def outcomes(
        of: Callable[[Evidence], Sequence[SeenEpisode]],
    ) -> dict[EpisodeKey, bool]:
        found: dict[EpisodeKey, bool] = {}
        for name, evidence in scenarios.items():
            found |= _outcomes(name, of(evidence))
        return found

    def compared(
        which: str,
        look: Callable[[Evidence], Look],
        start: Callable[[Evidence], Sequence[SeenEpisode]],
    ) -> str | None:
        first = outcomes(lambda evidence: evidence.first)
        trained = outcomes(lambda evidence: look(evidence).trained)
        unseen = outcomes(lambda evidence: look(evidence).unseen)
        learned = compare_outcomes(first, trained)
        carried = compare_outcomes(outcomes(start), unseen, other_cases=True)
        if learned is None or carried is None or not _apart(learned, carried):
            return None
        return _sentence(which, learned, carried)

    # Validation cases are train cases that nothing is learned from.
    return compared(
        "held-out", lambda evidence: evidence.after, lambda evidence: evidence.before
    ) or compared(
        "validation",
        lambda evidence: evidence.validation,
        lambda evidence: evidence.first,
    )


def _apart(learned: Difference, carried: Difference) -> bool:
    """Whether the one has certainly risen, and the other, if at all, certainly less."""
    return learned.low >= RISE and carried.low <= 0 and carried.high < learned.low


def _sentence(which: str, learned: Difference, carried: Difference) -> str:
    return (
        f"{percent(learned.after)} of the latest train episodes passed, "
        f"{percent(learned.before)} of the first ones, but {percent(carried.after)} of "
        f"the {which} ones, {percent(carried.before)} before: what was learned holds "
        "for the train cases only; give it more of them, of more kinds, and look for "
        "what gives their answers away"
    )


def _outcomes(scenario: str, played: Sequence[SeenEpisode]) -> dict[EpisodeKey, bool]:
    numbers: Counter[str] = Counter()
    found: dict[EpisodeKey, bool] = {}
    for each in played:
        found[EpisodeKey(scenario, each.case, numbers[each.case])] = each.passed
        numbers[each.case] += 1
    return found
