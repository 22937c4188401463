"""Log-probabilities from hidden states, with few logits in memory at a time.

Axes: N sampled tokens, C tokens of a chunk, D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

CHUNK_BYTES = 64 << 20
"""The most that the logits of a chunk take; there are a few tensors of their size.
Chunks that are much smaller make the product with the output layer slower."""
_LEAST = 16

Head = Callable[[Tensor], Tensor]
"""Logits [C, V] of hidden states [C, D], each row by itself."""


def output_layer(model: Any) -> Head:
    """What a model makes logits of, with what it does to them where that is known.

    Whether it is all that the model does has to be tried.
    """
    layer, config = model.get_output_embeddings(), model.config
    factor = 1.0
    if scaling := getattr(config, "logits_scaling", None):  # Granite
        factor /= float(scaling)
    if scale := getattr(config, "logit_scale", None):  # Cohere
        factor *= float(scale)
    cap = getattr(config, "final_logit_softcapping", None)  # Gemma
    if factor == 1.0 and not cap:
        head: Head = layer
        return head

    def scaled(hidden: Tensor) -> Tensor:
        logits: Tensor = layer(hidden) * factor
        return (logits / cap).tanh() * cap if cap else logits

    return scaled


def token_logprobs(
    head: Head, hidden_ND: Tensor, targets_N: Tensor, *, width: int, frozen: bool
) -> tuple[Tensor, Tensor]:
    """Log-probabilities of tokens with gradient, and entropies without.

    Args:
        head: The output layer.
        hidden_ND: What it gets.
        targets_N: The tokens.
        width: Size of the vocabulary.
        frozen: Whether nothing in the output layer is trained.

    Returns:
        Log-probabilities [N] in nats, and entropies [N] of their distributions.
    """
    size = max(_LEAST, CHUNK_BYTES // (4 * width))
    with_gradient = torch.is_grad_enabled()
    logprobs, entropies = [], []
    for hidden_CD, targets_C in zip(
        torch.split(hidden_ND, size), torch.split(targets_N, size), strict=True
    ):
        if not (with_gradient and (hidden_CD.requires_grad or not frozen)):
            logprobs_C, entropies_C = _chunk(head, hidden_CD, targets_C)
        elif frozen:
            logprobs_C, entropies_C = _Frozen.apply(hidden_CD, targets_C, head)
        else:
            logprobs_C, entropies_C = checkpoint(
                _chunk, head, hidden_CD, targets_C, use_reentrant=False
            )
        logprobs.append(logprobs_C)
        entropies.append(entropies_C)
    return torch.cat(logprobs), torch.cat(entropies)


def _chunk(head: Head, hidden_CD: Tensor, targets_C: Tensor) -> tuple[Tensor, Tensor]:
    logits_CV = head(hidden_CD).float()
    norm_C = logits_CV.logsumexp(-1)
    chosen_C = logits_CV.gather(-1, targets_C[:, None])[:, 0]
    with torch.no_grad():
        probs_CV = logits_CV.softmax(-1)
        entropies_C = norm_C - torch.linalg.vecdot(probs_CV, logits_CV)
    return chosen_C - norm_C, entropies_C


class _Frozen(torch.autograd.Function):
    """The same for an output layer whose weights have no gradient.

    A token's log-probability depends on its own hidden state only. So the gradient of
    it, a row [D], is all that the backward pass needs: it is computed at once, while
    the logits are there, and these are neither kept nor computed again.
    """

    @staticmethod
    def forward(
        context: Any, hidden_CD: Tensor, targets_C: Tensor, head: Head
    ) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            leaf_CD = hidden_CD.detach().requires_grad_()
            made_CV = head(leaf_CD)
        logits_CV = made_CV.detach().float()
        norm_C = logits_CV.logsumexp(-1)
        at = targets_C[:, None]
        chosen_C = logits_CV.gather(-1, at)[:, 0]
        probs_CV = (logits_CV - norm_C[:, None]).exp_()
        entropies_C = norm_C - torch.linalg.vecdot(probs_CV, logits_CV)
        slope_CV = probs_CV.neg_()
        slope_CV.scatter_add_(1, at, torch.ones_like(at, dtype=slope_CV.dtype))
        (slopes_CD,) = torch.autograd.grad(made_CV, leaf_CD, slope_CV.to(made_CV.dtype))
        context.save_for_backward(slopes_CD)
        context.mark_non_differentiable(entropies_C)
        return chosen_C - norm_C, entropies_C

    @staticmethod
    def backward(context: Any, gradient_C: Tensor, _: Tensor) -> Any:
        (slopes_CD,) = context.saved_tensors
        return gradient_C.to(slopes_CD.dtype)[:, None] * slopes_CD, None, None
