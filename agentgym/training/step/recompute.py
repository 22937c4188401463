"""Activations kept for the backward pass, or computed again in it.

Common prefixes stay shared: their keys and values are kept, and a layer that is
computed again finds what it found before.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.checkpoint import checkpoint
from transformers import DynamicCache
from transformers.modeling_layers import GradientCheckpointingLayer


class PrefixKeys(DynamicCache):
    """Keys and values of a prefix, which nothing is added to once they are there.

    A cache that grew at each call would grow again when a layer is computed again.
    """

    def __init__(self) -> None:
        super().__init__()
        self.shared = False
        """Whether rows are behind it; else the prefix itself is being computed."""

    def update(
        self,
        key_states: Tensor,
        value_states: Tensor,
        layer_idx: int,
        *rest: Any,
        **named: Any,
    ) -> tuple[Tensor, Tensor]:
        """What a layer attends to.

        Args:
            key_states: Its new keys [B, H, S, D].
            value_states: Its new values.
            layer_idx: Which layer it is.
            rest: Passed on.
            named: Passed on.
        """
        if self.shared:
            known: Any = self.layers[layer_idx]
            return _behind(known.keys, key_states), _behind(known.values, value_states)
        if layer_idx < len(self.layers):
            return key_states, value_states
        kept: tuple[Tensor, Tensor] = super().update(
            key_states, value_states, layer_idx, *rest, **named
        )
        return kept


def _behind(prefix: Tensor, states: Tensor) -> Tensor:
    return torch.cat([prefix.expand(len(states), *prefix.shape[1:]), states], dim=-2)


class Recompute:
    """Has a model's layers compute their activations again.

    Args:
        model: A Hugging Face causal LM.
    """

    def __init__(self, model: Any) -> None:
        self._layers = [
            module
            for module in model.modules()
            if isinstance(module, GradientCheckpointingLayer)
        ]

    @contextmanager
    def __call__(self, wanted: bool) -> Iterator[None]:
        """For the forward passes within; their backward passes may come later."""
        if not wanted or not torch.is_grad_enabled():
            yield
            return
        for layer in self._layers:
            layer.forward = _again(layer.forward)
        try:
            yield
        finally:
            for layer in self._layers:
                # What stays is the class's.
                del layer.forward


def _again(forward: Any) -> Any:
    def checkpointed(*given: Any, **named: Any) -> Any:
        return checkpoint(
            forward, *given, use_reentrant=False, preserve_rng_state=False, **named
        )

    return checkpointed


def kept_bytes(model: Any, ids_1T: Tensor) -> int:
    """Bytes that a forward pass keeps for the backward pass.

    Args:
        model: Its body, without the output layer.
        ids_1T: Token ids.
    """
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.enable_grad(), saved_tensors_hooks(note, lambda tensor: tensor):
        # Held to the end: what is freed early would have its place taken by others.
        hidden = model(input_ids=ids_1T, use_cache=False)
    del hidden
    return sum(kept.values())
