"""What one forward pass needs to know about the rows that it runs.

Axes are those of `agentgym.policy.engine.kv_cache`.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor
from transformers import Cache

from agentgym.policy.engine.sequence import SampledRow, SharedPrefix


class StepRows:
    """The rows of one forward pass as one flat list of tokens.

    Args:
        rows: The rows of the batch, by slot.
        counts: How many tokens [R] of each row run, or 0.
        device: Where the model is.

    Attributes:
        batch: The first so many rows decode one token each.
        segments: Of each other row that runs: slot, where its tokens start and end
            among those of the step, length of its suffix, mask [T, S].
        positions: Where [batch] in its slot each decoding row's new token goes.
        slots: The slots [batch] of the decoding rows.
        span: Positions of a slot that the decoding rows look at.
        mask: For the decoding rows [batch, 1, 1, span], unless all are equally long.
        prefixes: Each shared prefix, with the tokens of the step that look at it; None:
            all.
        input_ids: Token ids [1, N].
        position_ids: Positions [1, N] in their sequences.
        last: The last token [R] of each row among those of the step.
    """

    def __init__(self, rows: list[SampledRow], counts: list[int], device: Any) -> None:
        starts = [0, *itertools.accumulate(counts)]
        # Decoding rows stand first and are attended as one batch.
        self.batch = next(
            (i for i, count in enumerate(counts) if count != 1), len(rows)
        )
        self.segments: list[tuple[int, int, int, int, Tensor]] = []
        for row, start, count in list(zip(rows, starts, counts, strict=False))[
            self.batch :
        ]:
            if not count:
                continue
            first = row.computed - row.prefix_length
            mask = torch.ones(count, first + count, device=device).triu_(first + 1)
            mask = torch.where(mask > 0, -torch.inf, 0.0)
            self.segments.append((row.slot, start, start + count, first, mask))
        lengths = [row.computed - row.prefix_length for row in rows[: self.batch]]
        self.positions = torch.tensor(lengths, dtype=torch.long, device=device)
        self.slots = torch.arange(self.batch, device=device)
        self.span = max(lengths, default=0) + 1
        self.mask = self._mask(lengths, device)
        self.prefixes = _prefixes(rows, starts, counts, device)
        self.input_ids = torch.tensor(
            [[t for row, n in zip(rows, counts, strict=True) for t in row.tokens(n)]],
            device=device,
        )
        self.position_ids = torch.tensor(
            [
                [
                    p
                    for row, n in zip(rows, counts, strict=True)
                    for p in range(row.computed, row.computed + n)
                ]
            ],
            device=device,
        )
        self.last = torch.tensor([start - 1 for start in starts[1:]], device=device)

    def _mask(self, lengths: list[int], device: Any) -> Tensor | None:
        if len(set(lengths)) < 2:
            return None
        past = torch.arange(self.span, device=device) > self.positions[:, None]
        mask = torch.zeros(past.shape, device=device)
        return mask.masked_fill_(past, -torch.inf)[:, None, None]


def _prefixes(
    rows: list[SampledRow], starts: list[int], counts: list[int], device: Any
) -> list[tuple[SharedPrefix, Tensor | None]]:
    by_prefix: dict[SharedPrefix | None, list[int]] = {}
    for row, start, count in zip(rows, starts, counts, strict=False):
        if count:
            by_prefix.setdefault(row.prefix, []).extend(range(start, start + count))
    return [
        (prefix, None if len(by_prefix) == 1 else torch.tensor(at, device=device))
        for prefix, at in by_prefix.items()
        if prefix is not None
    ]


class LayerCounter(Cache):
    """Says to the attention function which layer it is in; keeps nothing itself."""

    is_compileable = False

    def __init__(self) -> None:
        super().__init__(layers=[])
        self.layer = 0

    def update(
        self,
        key_states: Tensor,
        value_states: Tensor,
        layer_idx: int,
        *_: Any,
        **__: Any,
    ) -> tuple[Tensor, Tensor]:
        """Takes note of the layer.

        Args:
            key_states: Returned as they are.
            value_states: Returned as they are.
            layer_idx: The layer that asks.
        """
        self.layer = layer_idx
        return key_states, value_states

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Tokens of the past that transformers has to know of: none."""
        return 0
