"""Which way to keep keys and values suits a model: shared prefixes, or its own."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import PreTrainedModel

from agentgym.errors import UsageError
from agentgym.policy.chat.opened_tokenizer import one_line
from agentgym.policy.engine.kv.kv_cache import SharedPrefixCache
from agentgym.policy.engine.kv.plain_cache import PlainCache
from agentgym.policy.engine.loading import LoadedPolicy
from agentgym.policy.engine.sequence import SampledRow
from agentgym.policy.folders.hub_cache import shown


class RowCache(Protocol):
    """What the engine asks of the keeper of keys and values."""

    rows: list[SampledRow]

    def blocked(self, row: SampledRow) -> bool:
        """Whether a row had better wait for another one's prompt."""

    def admit(self, row: SampledRow) -> int:
        """Adds a row to the batch; returns how many tokens are known already."""

    def release(self, row: SampledRow, *, keep: bool = True) -> None:
        """Takes a row out of the batch.

        Args:
            row: It is in the batch.
            keep: Whether its next turn may go on from what was computed.
        """

    def clear(self) -> None:
        """Forgets everything computed; no row may be in the batch."""

    def forward(self, counts: list[int]) -> Tensor:
        """Runs the next `counts[i]` tokens of each row; returns its last logits [V]."""


def choose_cache(policy: LoadedPolicy) -> RowCache:
    """The fastest cache that gives a model the logits of its own attention.

    The model is left with the attention that the cache needs.

    Raises:
        UsageError: The model cannot be run at all.
    """
    model, tokenizer = policy.model, policy.tokenizer
    boundaries = frozenset(tokenizer.added_tokens_decoder) | policy.stop_ids
    with torch.inference_mode():
        plain = PlainCache(model)
        if not _slides(model.config, policy.context):
            shared = SharedPrefixCache(model, boundaries=boundaries)
            try:
                if agrees(plain, shared, model):
                    return shared
            except Exception as error:  # of another kind for each architecture
                raise UsageError(
                    f"the model in {shown(policy.path)} cannot be run: "
                    f"{one_line(error)}"
                ) from error
        model.set_attn_implementation("sdpa")
    return plain


def agrees(
    plain: PlainCache, shared: SharedPrefixCache, model: PreTrainedModel
) -> bool:
    """Whether both give a model the same logits, tried on a few random tokens.

    Args:
        plain: The reference: the model's own attention.
        shared: The one to try.
        model: Is left with the attention of `shared`.

    Raises:
        ValueError: There are no logits.
    """
    width = int(model.config.vocab_size)
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(width, (24,), generator=generator).tolist()
    seen = []
    for cache in (plain, shared):
        model.set_attn_implementation(
            "sdpa" if cache is plain else shared.implementation
        )
        row = SampledRow(ids)
        try:
            cache.admit(row)
            logits = [cache.forward([count]) for count in (20, 1, 1, 2)]
            cache.release(row, keep=False)
        except Exception:
            if cache is plain:
                raise
            return False
        seen.append(torch.cat(logits).float())
    expected, got = seen
    if not expected.isfinite().all():
        raise ValueError("its weights give no finite numbers")
    if expected.shape != got.shape:
        return False
    tolerance = 1e-3 if model.dtype == torch.float32 else 0.1
    scale = max(1.0, float(expected.abs().max()))
    return bool((expected - got).abs().max() <= tolerance * scale)


def _slides(config: Any, context: int) -> bool:
    """Whether a layer sees only a window of the context, or is no attention at all."""
    kinds = getattr(config, "layer_types", None)
    window = getattr(config, "sliding_window", None)
    if kinds is not None:
        return any(
            kind != "full_attention"
            and not (kind == "sliding_attention" and window and window >= context)
            for kind in kinds
        )
    used = getattr(config, "use_sliding_window", True)
    return bool(window and used and window < context)
