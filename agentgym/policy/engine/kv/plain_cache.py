"""Keys and values kept the model's own way, one row at a time.

For architectures whose attention cannot be shared: sliding windows, linear attention,
soft caps. Slow, and right for every causal LM.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from agentgym.policy.engine.sequence import SampledRow


class PlainCache:
    """Runs each row by itself; shares nothing between requests.

    Args:
        model: Any causal LM.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model
        # Of a long prompt, the logits of all tokens are more than the model.
        takes = inspect.signature(model.forward).parameters
        self._last_only = {"logits_to_keep": 1} if "logits_to_keep" in takes else {}
        self._caches: dict[SampledRow, Any] = {}
        self.rows: list[SampledRow] = []

    def blocked(self, row: SampledRow) -> bool:
        """Never: there is no prefix to wait for."""
        return False

    def admit(self, row: SampledRow) -> int:
        """Gives a row an empty cache; no token of it is known."""
        self.rows.append(row)
        self._caches[row] = DynamicCache(config=self._model.config)
        return 0

    def release(self, row: SampledRow, *, keep: bool = True) -> None:
        """Drops a row and its cache.

        Args:
            row: It is in the batch.
            keep: Has no effect here: nothing is kept.
        """
        self.rows.remove(row)
        del self._caches[row]

    def clear(self) -> None:
        """Nothing is kept of rows that have left."""
        assert not self.rows, "rows are running"

    def forward(self, counts: list[int]) -> Tensor:
        """Runs the next `counts[i]` tokens of each row.

        Returns:
            Logits [R, V] after the last token of each row; 0 where none is run.
        """
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
                **self._last_only,
            ).logits
            outputs.append(logits[0, -1])
            row.computed += count
        some = next(output for output in outputs if output is not None)
        blank = torch.zeros_like(some)
        return torch.stack([blank if out is None else out for out in outputs])
