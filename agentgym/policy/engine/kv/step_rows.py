"""What one forward pass needs to know about the rows that it runs.

Axes are those of `agentgym.policy.engine.kv.kv_cache`.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor
from transformers import Cache

from agentgym.policy.engine.kv.slots import Slab, Slots
from agentgym.policy.engine.sequence import SampledRow, SharedPrefix


class SlabRows:
    """The rows of one slab in a forward pass.

    Args:
        slab: It has a row at least.
        starts: Where each row's tokens start among those of the step.
        counts: How many tokens each row runs, or 0.
        device: Where the model is.

    Attributes:
        slab: Where the rows' suffixes are.
        start: Its first token among those of the step.
        batch: The first so many rows decode one token each.
        segments: Of each other row that runs: slot, where its tokens start and end
            among those of the step, length of its suffix, mask [T, S].
        positions: Where [batch] in its slot each decoding row's new token goes.
        slots: The slots [batch] of the decoding rows.
        span: Positions of a slot that the decoding rows look at.
        mask: For the decoding rows [batch, 1, 1, span], unless all are equally long.
    """

    def __init__(
        self, slab: Slab, starts: list[int], counts: list[int], device: Any
    ) -> None:
        rows = slab.rows
        self.slab = slab
        self.start = starts[0]
        # Decoding rows stand first and are attended as one batch.
        self.batch = next(
            (i for i, count in enumerate(counts) if count != 1), len(rows)
        )
        self.segments: list[tuple[int, int, int, int, Tensor]] = []
        for row, start, count in list(zip(rows, starts, counts, strict=True))[
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

    def _mask(self, lengths: list[int], device: Any) -> Tensor | None:
        if len(set(lengths)) < 2:
            return None
        past = torch.arange(self.span, device=device) > self.positions[:, None]
        mask = torch.zeros(past.shape, device=device)
        return mask.masked_fill_(past, -torch.inf)[:, None, None]


class StepRows:
    """The rows of one forward pass as one flat list of tokens, slab by slab.

    Args:
        rows: The rows of the batch.
        counts: How many tokens [R] of each row run, or 0.
        slots: Where the rows are.
        device: Where the model is.

    Attributes:
        slabs: The slabs that have rows.
        prefixes: Each shared prefix, with the tokens of the step that look at it; None:
            all.
        input_ids: Token ids [1, N].
        position_ids: Positions [1, N] in their sequences.
        last: Of each row [R], in the order of `rows`, its last token among those of the
            step.
    """

    def __init__(
        self, rows: list[SampledRow], counts: list[int], slots: Slots, device: Any
    ) -> None:
        taken = dict(zip(rows, counts, strict=True))
        placed = list(slots)
        counts = [taken[row] for row in placed]
        starts = [0, *itertools.accumulate(counts)]
        self.slabs: list[SlabRows] = []
        at = 0
        for slab in slots.slabs:
            if slab.rows:
                end = at + len(slab.rows)
                self.slabs.append(
                    SlabRows(slab, starts[at:end], counts[at:end], device)
                )
                at = end
        self.prefixes = _prefixes(placed, starts, counts, device)
        self.input_ids = torch.tensor(
            [[t for row, n in zip(placed, counts, strict=True) for t in row.tokens(n)]],
            device=device,
        )
        self.position_ids = torch.tensor(
            [
                [
                    p
                    for row, n in zip(placed, counts, strict=True)
                    for p in range(row.computed, row.computed + n)
                ]
            ],
            device=device,
        )
        ends = dict(zip(placed, starts[1:], strict=True))
        self.last = torch.tensor([ends[row] - 1 for row in rows], device=device)


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
