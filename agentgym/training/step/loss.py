"""The policy-gradient loss of each trained token. Axes: N tokens."""

from __future__ import annotations

import torch
from torch import Tensor

LOW, HIGH = 0.2, 0.2
"""Clip range of the ratio (Schulman et al., PPO, arXiv:1707.06347)."""
HIGHER = 0.28
"""Upper range of clip-higher (Yu et al., DAPO, arXiv:2503.14476)."""
TRUNCATED = 2.0
"""The most that a truncated importance weight counts (Yao et al., 2025, "Your efficient
RL framework secretly brings you off-policy RL training")."""
CISPO_HIGH = 2.0
"""Upper end of CISPO's weight, 1 + epsilon (MiniMax-M1, arXiv:2506.13585)."""


def policy_loss(
    logprobs_N: Tensor, recorded_N: Tensor, advantages_N: Tensor, kind: str
) -> tuple[Tensor, Tensor]:
    """Loss per token, whose gradient moves the policy towards better episodes.

    The ratio is that of the policy's probability now to the one recorded when the token
    was sampled; it is 1 at the first pass over an on-policy batch, where all kinds have
    the plain policy gradient.

    Args:
        logprobs_N: Log-probabilities of the tokens now, with gradient.
        recorded_N: Those recorded at sampling.
        advantages_N: One number per token.
        kind: "cispo", "tis" (detached, clamped weight), "grpo" or "clip_higher"
            (clipped surrogate).

    Returns:
        The loss [N], and where the clamp or clip was active [N], as booleans.
    """
    ratio_N = (logprobs_N - recorded_N).exp()
    if kind in ("cispo", "tis"):
        most = CISPO_HIGH if kind == "cispo" else TRUNCATED
        least = 1 - LOW if kind == "cispo" else 0.0
        weight_N = ratio_N.detach().clamp(least, most)
        clipped_N = (ratio_N < least) | (ratio_N > most)
        return -weight_N * advantages_N * logprobs_N, clipped_N
    high = HIGHER if kind == "clip_higher" else HIGH
    bounded_N = ratio_N.clamp(1 - LOW, 1 + high)
    plain_N, clipped_loss_N = ratio_N * advantages_N, bounded_N * advantages_N
    clipped_N = clipped_loss_N < plain_N
    return -torch.minimum(plain_N, clipped_loss_N), clipped_N


def kl_to_start(logprobs_N: Tensor, start_N: Tensor) -> Tensor:
    """KL divergence from the starting policy, estimated on each sampled token.

    Schulman's k2 estimator, d^2 / 2 with d = start - now
    (joschu.net/blog/kl-approx.html, 2020). Its gradient is, in expectation, that of the
    KL itself. That of k3 grows with exp(d), so that a single token which has become
    unlikely upsets a whole update.

    Args:
        logprobs_N: Log-probabilities now.
        start_N: Those of the starting policy, without gradient.
    """
    return (start_N - logprobs_N).square() / 2
