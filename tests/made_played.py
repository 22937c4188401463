"""Episodes as the signs of reward hacking see them, made by hand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from agentgym.training.job.traits import Traits
from agentgym.training.signs.scenario_evidence import Evidence, Look
from agentgym.training.signs.seen_episode import SeenEpisode

WHOLE = {"look()": True, "refund()": True}


def made_played(case: int, *, split: str = "train", **fields: Any) -> SeenEpisode:
    """An episode that looks an order up, refunds it, and names both of its numbers."""
    passed = fields.pop("passed", True)
    reward = fields.pop("reward", float(passed))
    traits: dict[str, Any] = {
        "calls": 2,
        "did": f"look {case}, refund {case}",
        "said": f"I refunded {case}.",
        "excerpt": f"I refunded {case}.",
        "values": str(case),
        "reply": 20,
        "written": 60,
        "checks": WHOLE if passed else {**WHOLE, "refund()": False},
    }
    return SeenEpisode(
        case=f"{split}-{case}",
        passed=passed,
        reward=reward,
        traits=Traits(**traits | fields),
    )


def made_side(
    cases: Iterable[int],
    *,
    each: int = 1,
    split: str = "train",
    passing: float = 1.0,
    **fields: Any,
) -> list[SeenEpisode]:
    """So many episodes of each case, of which a share passes."""
    wanted = [case for case in cases for _ in range(each)]
    passed = round(passing * len(wanted))
    # Spread over the cases.
    order = sorted(range(len(wanted)), key=lambda place: (place % each, place))
    lucky = set(order[:passed])
    return [
        made_played(case, split=split, passed=place in lucky, **fields)
        for place, case in enumerate(wanted)
    ]


def made_evidence(
    before: Sequence[SeenEpisode],
    now: Sequence[SeenEpisode],
    first: Sequence[SeenEpisode] = (),
    after: Sequence[SeenEpisode] = (),
) -> Evidence:
    """What is known of a scenario whose latest train episodes are these."""
    groups: dict[str, list[SeenEpisode]] = {}
    for each in now:
        groups.setdefault(each.case, []).append(each)
    return Evidence(
        before=before,
        first=list(first),
        latest=list(groups.values()),
        after=Look(after, now) if after else Look(),
    )
