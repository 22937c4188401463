"""Rewards of a group -> advantages; pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

_EPSILON = 1e-6


def advantages(rewards_G: Sequence[float], kind: str) -> list[float]:
    """How much better each episode of a case did than the others.

    Args:
        rewards_G: Rewards of the G episodes of one case, played by one policy.
        kind: "mean": r - mean (Liu et al., Dr. GRPO, arXiv:2503.20783). "std": that
            over the standard deviation (Shao et al., GRPO, arXiv:2402.03300).
            "rloo": r less the mean of the others (Ahmadian et al., arXiv:2402.14740),
            which is G / (G - 1) times the first.

    Returns:
        One number each; all are 0 where the rewards do not differ.
    """
    size = len(rewards_G)
    mean = math.fsum(rewards_G) / size
    centred = [reward - mean for reward in rewards_G]
    if not varies(rewards_G):
        return [0.0] * size
    if kind == "std":
        scale = math.sqrt(math.fsum(a * a for a in centred) / size) + _EPSILON
        return [a / scale for a in centred]
    if kind == "rloo":
        return [a * size / (size - 1) for a in centred]
    return centred


def varies(rewards_G: Sequence[float]) -> bool:
    """Whether a group has something to teach."""
    return max(rewards_G) - min(rewards_G) > _EPSILON
