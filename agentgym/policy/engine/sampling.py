"""Choosing the next token of every row of a batch at once."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from agentgym.policy.engine.generation import SamplingParams


@dataclass(frozen=True, slots=True)
class Draw:
    """One row's next token, with the model's log-probability of it."""

    token: int
    logprob: float
    top: list[tuple[int, float]] = field(default_factory=list)


def sample(
    logits_BV: Tensor,
    params: Sequence[SamplingParams],
    generators: Sequence[random.Random],
    forbidden_V: Tensor | None = None,
    allowed: Sequence[Tensor | None] = (),
    reshaped: Mapping[int, Tensor] | None = None,
) -> list[Draw]:
    """Draws the next token of each row.

    Args:
        logits_BV: Raw logits of B rows over V tokens.
        params: Each row's wishes.
        generators: Each row's own, so that what it draws does not depend on the rest
            of the batch: one random number a token; a greedy row uses none.
        forbidden_V: True for tokens that are never drawn.
        allowed: For each row that is constrained, True [V] for the tokens it may draw;
            empty if no row is.
        reshaped: Logits [V] of the rows that are drawn by other ones than the model's.

    Returns:
        One draw a row, with log-probabilities in nats.
    """
    logits_BV = logits_BV.float()
    norm_B = logits_BV.logsumexp(-1)
    allowed_BV = logits_BV
    if reshaped:
        allowed_BV = logits_BV.clone()
        for i, logits_V in reshaped.items():
            allowed_BV[i] = logits_V
    if forbidden_V is not None:
        allowed_BV = allowed_BV.masked_fill(forbidden_V, -torch.inf)
    constraints = {i: mask_V for i, mask_V in enumerate(allowed) if mask_V is not None}
    if constraints:
        open_BV = torch.ones_like(logits_BV, dtype=torch.bool)
        for i, mask_V in constraints.items():
            open_BV[i] = mask_V
        allowed_BV = allowed_BV.masked_fill(~open_BV, -torch.inf)
    drawn = [i for i, p in enumerate(params) if p.temperature > 0]
    if len(drawn) == len(params):
        tokens_B = _draw(allowed_BV, params, generators)
    else:
        tokens_B = allowed_BV.argmax(-1)
        if drawn:
            tokens_B[drawn] = _draw(
                allowed_BV[drawn],
                [params[i] for i in drawn],
                [generators[i] for i in drawn],
            )
    chosen_B = logits_BV.gather(-1, tokens_B[:, None])[:, 0] - norm_B
    tokens, chosen = tokens_B.tolist(), chosen_B.tolist()
    most = max(p.top_logprobs for p in params)
    if not most:
        return [Draw(t, p) for t, p in zip(tokens, chosen, strict=True)]
    values, ids = logits_BV.topk(min(most, logits_BV.shape[-1]))
    rows = zip(ids.tolist(), (values - norm_B[:, None]).tolist(), strict=True)
    top = [list(zip(*row, strict=True)) for row in rows]
    return [
        Draw(t, p, alternatives[: wish.top_logprobs])
        for t, p, alternatives, wish in zip(tokens, chosen, top, params, strict=True)
    ]


def _draw(
    logits_BV: Tensor,
    params: Sequence[SamplingParams],
    generators: Sequence[random.Random],
) -> Tensor:
    if any(p.temperature != 1 for p in params):
        heat_B = logits_BV.new_tensor([max(p.temperature, 1e-4) for p in params])
        logits_BV = logits_BV / heat_B[:, None]
    probs_BV = logits_BV.softmax(-1)
    for i, wish in enumerate(params):
        if wish.top_k:
            least = probs_BV[i].topk(min(wish.top_k, probs_BV.shape[-1])).values[-1]
            probs_BV[i] = probs_BV[i].masked_fill(probs_BV[i] < least, 0.0)
        if wish.min_p:
            least = probs_BV[i].max() * wish.min_p
            probs_BV[i] = probs_BV[i].masked_fill(probs_BV[i] < least, 0.0)
    cut = [i for i, p in enumerate(params) if p.top_p < 1]
    if cut:
        probs_BV[cut] = _nucleus(probs_BV[cut], [params[i].top_p for i in cut])
    # Inverse of the cumulated distribution: one random number a token and not V.
    cumulated_BV = probs_BV.cumsum(-1, dtype=torch.float64)
    uniform_B = cumulated_BV.new_tensor([g.random() for g in generators])
    targets_B = uniform_B * cumulated_BV[:, -1]
    tokens_B = torch.searchsorted(cumulated_BV, targets_B[:, None], right=True)[:, 0]
    return tokens_B.clamp_(max=logits_BV.shape[-1] - 1)


def _nucleus(probs_BV: Tensor, top_p: list[float]) -> Tensor:
    """Zeroes all but the likeliest tokens that together reach `top_p`."""
    ordered_BV, order_BV = probs_BV.sort(-1, descending=True)
    before_BV = ordered_BV.cumsum(-1) - ordered_BV
    limit_B = probs_BV.new_tensor(top_p)
    ordered_BV = ordered_BV.masked_fill(before_BV >= limit_B[:, None], 0.0)
    # The likeliest token stays, whatever top_p is.
    ordered_BV[:, 0] = probs_BV.amax(-1)
    return torch.zeros_like(probs_BV).scatter_(-1, order_BV, ordered_BV)
