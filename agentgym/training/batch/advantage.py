"""Rewards of a group -> advantages; pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

_EPSILON = 1e-6


def advantages(
    rewards_G: Sequence[float], kind: str, spread_G: Sequence[float] | None = None
) -> list[float]:
    """How much better each episode of a case did than the others.

    Args:
        rewards_G: Rewards of the G episodes of one case, played by one policy.
        kind: "mean": r - mean (Liu et al., Dr. GRPO, arXiv:2503.20783). "std": that
            over the standard deviation (Shao et al., GRPO, arXiv:2402.03300).
            "rloo": r less the mean of the others (Ahmadian et al., arXiv:2402.14740),
            which is G / (G - 1) times the first. "optimal": r less the baseline of
            least variance, over the standard deviation (after Hao et al., OPO,
            arXiv:2505.23585): the mean of the rewards weighed by the squared length
            of each episode's gradient.
        spread_G: For "optimal": squared lengths of the G gradients, as far as they are
            known; without them all are taken to be alike.

    Returns:
        One number each; all are 0 where the rewards do not differ.
    """
    size = len(rewards_G)
    if not varies(rewards_G):
        return [0.0] * size
    mean = math.fsum(rewards_G) / size
    centred = [reward - mean for reward in rewards_G]
    if kind == "std":
        scale = math.sqrt(math.fsum(a * a for a in centred) / size) + _EPSILON
        return [a / scale for a in centred]
    if kind == "optimal":
        scale = math.sqrt(math.fsum(a * a for a in centred) / size) + _EPSILON
        weights_G = [weight + _EPSILON for weight in spread_G or [1.0] * size]
        weighed = math.fsum(w * r for w, r in zip(weights_G, rewards_G, strict=True))
        baseline = weighed / math.fsum(weights_G)
        return [(reward - baseline) / scale for reward in rewards_G]
    if kind == "rloo":
        return [a * size / (size - 1) for a in centred]
    return centred


def varies(rewards_G: Sequence[float]) -> bool:
    """Whether the rewards of a group differ; else it is a zero-variance group.

    Its advantages are all 0, so that no gradient comes of it (DAPO, arXiv:2503.14476,
    leaves such groups out as well).
    """
    return bool(rewards_G) and max(rewards_G) - min(rewards_G) > _EPSILON
