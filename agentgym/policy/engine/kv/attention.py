"""Attention that also returns its log-sum-exp, so that parts of it can be joined.

Axes are those of `agentgym.policy.engine.kv.kv_cache`; a leading 1 stands for a batch.
"""

from __future__ import annotations

import torch
from torch import Tensor

SCORES = 1 << 26
"""The most scores of a piece where they are kept in memory."""


def attend(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float | None
) -> tuple[Tensor, Tensor]:
    """Attention with its log-sum-exp; on a CPU by torch's flash kernel.

    Args:
        query: [B, H, T, D], with as many heads as the keys have.
        key: [B, H, S, D].
        value: [B, H, S, D].
        mask: Added to the scores, broadcast to [B, H, T, S]; None: all keys are seen.
        scale: Factor of the scores; None: one over the square root of D.

    Returns:
        The output [B, H, T, D] and the log-sum-exp [B, H, T] of the scores.
    """
    if query.device.type != "cpu":
        return _in_pieces(query, key, value, mask, scale)
    out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        query, key, value, attn_mask=mask, scale=scale
    )
    return out, lse


def _in_pieces(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float | None
) -> tuple[Tensor, Tensor]:
    """Few tokens at a time: the scores of a long prompt are more than its keys."""
    batch, heads, tokens, _ = query.shape
    size = max(1, SCORES // (batch * heads * key.shape[2]))
    if size >= tokens:
        return _in_plain_torch(query, key, value, mask, scale)
    parts = []
    for start in range(0, tokens, size):
        of = slice(start, start + size)
        seen = mask if mask is None or mask.shape[2] == 1 else mask[:, :, of]
        parts.append(_in_plain_torch(query[:, :, of], key, value, seen, scale))
    return torch.cat([out for out, _ in parts], 2), torch.cat(
        [lse for _, lse in parts], 2
    )


def _in_plain_torch(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float | None
) -> tuple[Tensor, Tensor]:
    if scale is None:
        scale = query.shape[-1] ** -0.5
    scores = (query @ key.transpose(-1, -2)).float() * scale
    if mask is not None:
        scores = scores + mask
    out = scores.softmax(-1).to(value.dtype) @ value
    return out, scores.logsumexp(-1)


def attend_shared(
    query_THGD: Tensor,
    key_1HSD: Tensor,
    value_1HSD: Tensor,
    mask_TS: Tensor | None,
    scale: float | None,
) -> tuple[Tensor, Tensor]:
    """Attention of many tokens to the same keys: one matrix product per head.

    Args:
        query_THGD: Of T tokens, with G query heads per key/value head.
        key_1HSD: The keys that all of them see.
        value_1HSD: Their values.
        mask_TS: Added to the scores; None: every token sees every key.
        scale: Factor of the scores; None: one over the square root of D.

    Returns:
        The output [T, H, G, D] and the log-sum-exp [T, H, G] of the scores.
    """
    tokens, heads, group, size = query_THGD.shape
    query = query_THGD.transpose(0, 1).reshape(1, heads, tokens * group, size)
    if mask_TS is not None and group > 1:
        mask_TS = mask_TS.repeat_interleave(group, dim=0)
    mask = None if mask_TS is None else mask_TS[None, None]
    out, lse = attend(query, key_1HSD, value_1HSD, mask, scale)
    return (
        out.view(heads, tokens, group, size).transpose(0, 1),
        lse.view(heads, tokens, group).transpose(0, 1),
    )


def join(out: Tensor, lse: Tensor, other: Tensor, other_lse: Tensor) -> Tensor:
    """Attention over two sets of keys, from the attention over each.

    Args:
        out: Output [..., D] over the first set.
        lse: Log-sum-exp [...] of its scores.
        other: Output [..., D] over the second set.
        other_lse: Log-sum-exp [...] of its scores.
    """
    weight = torch.sigmoid(other_lse - lse).to(out.dtype)
    return torch.lerp(out, other, weight[..., None])
