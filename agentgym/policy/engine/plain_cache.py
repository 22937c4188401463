"""Keys and values kept the model's own way, one row at a time.

For architectures whose attention cannot be shared: sliding windows, linear attention,
soft caps. Slow, and right for every causal LM.
"""

from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from agentgym.policy.engine.kv_cache import SharedPrefixCache
from agentgym.policy.engine.sequence import Row


class PlainCache:
    """Runs each row by itself; shares nothing between requests."""

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model
        self._caches: dict[Row, Any] = {}
        self.rows: list[Row] = []

    def blocked(self, row: Row) -> bool:
        """Never: there is no prefix to wait for."""
        return False

    def admit(self, row: Row) -> int:
        """Give a row an empty cache."""
        self.rows.append(row)
        self._caches[row] = DynamicCache(config=self._model.config)
        return 0

    def release(self, row: Row, *, keep: bool = True) -> None:
        """Drop a row and its cache."""
        self.rows.remove(row)
        del self._caches[row]

    def clear(self) -> None:
        """Nothing is kept of rows that have left."""
        assert not self.rows, "rows are running"

    def forward(self, counts: list[int]) -> Tensor:
        """Run the next ``counts[i]`` tokens of each row; return its last logits."""
        outputs: list[Tensor | None] = []
        for row, count in zip(self.rows, counts, strict=True):
            if not count:
                outputs.append(None)
                continue
            device = self._model.device
            ids = torch.tensor([row.tokens(count)], device=device)
            at = torch.arange(row.computed, row.computed + count, device=device)
            logits = self._model(
                input_ids=ids,
                position_ids=at[None],
                past_key_values=self._caches[row],
                use_cache=True,
            ).logits
            outputs.append(logits[0, -1])
            row.computed += count
        some = next(output for output in outputs if output is not None)
        blank = torch.zeros_like(some)
        return torch.stack([blank if out is None else out for out in outputs])


def agrees(
    plain: PlainCache, shared: SharedPrefixCache, model: PreTrainedModel
) -> bool:
    """Whether both give a model the same logits, tried on a few random tokens."""
    width = int(model.config.vocab_size)
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(width, (24,), generator=generator).tolist()
    seen = []
    for cache in (plain, shared):
        model.set_attn_implementation(
            "sdpa" if cache is plain else shared.implementation
        )
        row = Row(ids)
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
    if expected.shape != got.shape:
        return False
    tolerance = 1e-3 if model.dtype == torch.float32 else 0.1
    scale = max(1.0, float(expected.abs().max()))
    return bool((expected - got).abs().max() <= tolerance * scale)
