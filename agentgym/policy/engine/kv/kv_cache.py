"""Keys and values of the running batch, with prompt prefixes shared.

A *row* is one sequence being sampled. Its keys and values are in two parts: a *shared
prefix*, read-only and used by every row whose prompt begins with the same tokens (the
system prompt with its tools), and its own *suffix* in a slot
(`agentgym.policy.engine.kv.slots`).
Attention over the prefix is one matrix product for all rows, attention over the
suffixes another, and the two are joined by their log-sum-exp. So a prefix is computed
once, kept once and, unlike with plain batching, also read once a step.

Rows of any length stand in one flat list of tokens, a row that is decoding with one
token and a row that is still reading its prompt with many, so nothing is padded but the
suffixes.

Axes: L layers, R slots, H key/value heads, G query heads per key/value head, C capacity
of a slot, P length of a shared prefix, N tokens of a step, T tokens of one row, S
suffix length, D head size, V vocabulary.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AttentionInterface, PreTrainedModel

from agentgym.policy.engine.free_memory import free_memory
from agentgym.policy.engine.kv.attention import attend, attend_shared, join
from agentgym.policy.engine.kv.prefix_index import MIN_PREFIX, PrefixIndex, Source
from agentgym.policy.engine.kv.slots import Slots
from agentgym.policy.engine.kv.step_rows import LayerCounter, SlabRows, StepRows
from agentgym.policy.engine.sequence import SampledRow, SharedPrefix, common_prefix

_counter = itertools.count()
_KEPT = 512 << 20
_ROOM = 64
"""Tokens that a slot has more than its row's prompt, for the reply."""


class SharedPrefixCache:
    """Runs rows through a model together, keeping and sharing what was computed."""

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        boundaries: frozenset[int] = frozenset(),
        keep_bytes: int | None = None,
    ) -> None:
        """Takes over the attention of `model`.

        Args:
            model: Any causal LM that takes its attention from transformers' registry.
            boundaries: Token ids at which a shared prefix may end: the template's
                special tokens. Without them it ends where the prompts differ.
            keep_bytes: Memory for finished rows, so that the next turn of their
                conversation goes on where they ended, and as much for shared prefixes;
                by default an eighth of what is free, and at most `_KEPT`.
        """
        self._model = model
        self._device = model.device
        if keep_bytes is None:
            keep_bytes = min(_KEPT, free_memory(model.device) // 8)
        self._keep_bytes = keep_bytes
        self._cache = LayerCounter()
        self._step: StepRows
        self._index = PrefixIndex(boundaries, keep_bytes)
        self._kept: OrderedDict[int, SampledRow] = OrderedDict()
        self._kept_bytes = 0
        self._slots = Slots(model.device)
        self._wants_memory: SampledRow | None = None
        self.rows: list[SampledRow] = []
        self.implementation = f"agentgym_{next(_counter)}"
        AttentionInterface.register(self.implementation, self._attention)
        model.set_attn_implementation(self.implementation)

    # Admission and release of rows.

    def blocked(self, row: SampledRow) -> bool:
        """Whether a row had better wait: for a prompt it shares, or for memory."""
        if not self.rows:
            # Nothing would become free by waiting.
            self._wants_memory = None
            return False
        if self._wants_memory not in (None, row) or not self._fits(row):
            # Whoever waits for memory goes first, or small rows would pass it for ever.
            self._wants_memory = self._wants_memory or row
            return True
        self._wants_memory = None
        reading = [other for other in self.rows if other.pending > 1]
        if not reading:
            return False
        known = self._index.match(row)[1]
        return any(
            common_prefix(row.ids, other.ids) > known + MIN_PREFIX for other in reading
        )

    def admit(self, row: SampledRow) -> int:
        """Gives a row a slot and what is known of its prompt; returns how much."""
        source, known = self._index.match(row)
        row.prefix = self._index.choose(row, source, known, self._read)
        self._slots.add(row, row.length - row.prefix_length + _ROOM)
        self.rows.append(row)
        if source is not None and known > row.prefix_length:
            kv = self._read(source, row.prefix_length, known)
            self._slots.of(row)[..., : known - row.prefix_length, :] = kv
        row.computed = max(known, row.prefix_length)
        if isinstance(source, SampledRow) and known == source.computed:
            self._forget(source)
        return row.computed

    def release(self, row: SampledRow, *, keep: bool = True) -> None:
        """Takes a row out of the batch.

        Args:
            row: It is in the batch.
            keep: Keeps what was computed, for the next turn of its conversation.
        """
        size = row.computed - row.prefix_length
        if keep and size > 0 and self._slots.sizes is not None:
            row.kept_L2HSD = self._slots.of(row)[..., :size, :].clone()
            row.ids = np.concatenate(
                [row.ids, np.asarray(row.sampled, dtype=np.int32)]
            )[: row.computed]
            self._index.register(row, row.prefix_length)
            self._kept[id(row)] = row
            self._kept_bytes += row.kept_L2HSD.nbytes
        self._slots.remove(row)
        self.rows.remove(row)
        while self._kept_bytes > self._keep_bytes:
            self._forget(next(iter(self._kept.values())))

    def clear(self) -> None:
        """Forgets all keys and values: they are of weights that are no more."""
        assert not self.rows, "rows are running"
        self._index.clear()
        self._kept.clear()
        self._kept_bytes = 0

    def _forget(self, row: SampledRow) -> None:
        if self._kept.pop(id(row), None) is not None and row.kept_L2HSD is not None:
            self._kept_bytes -= row.kept_L2HSD.nbytes

    # Storage.

    def _fits(self, row: SampledRow) -> bool:
        """Whether there is memory for a row, without what is only kept if need be."""
        tokens = row.length + _ROOM
        while not self._slots.fits(tokens):
            if not self._kept:
                return False
            self._forget(next(iter(self._kept.values())))
        return True

    def _read(self, source: Source, start: int, end: int) -> Tensor:
        """The keys and values of positions `start` to `end`, as [L, 2, H, S, D]."""
        if isinstance(source, SharedPrefix):
            return source.kv_L2HPD[..., start:end, :]
        base = source.prefix_length
        own = source.kept_L2HSD if source.slot < 0 else self._slots.of(source)
        assert own is not None
        parts = [own[..., max(start - base, 0) : max(end - base, 0), :]]
        if source.prefix is not None and start < base:
            parts.insert(0, source.prefix.kv_L2HPD[..., start : min(end, base), :])
        return torch.cat(parts, dim=-2) if len(parts) > 1 else parts[0].clone()

    # The forward pass.

    def forward(self, counts: list[int]) -> Tensor:
        """Runs the next `counts[i]` tokens (or none) of each row.

        Args:
            counts: One number [R] for each row of the batch.

        Returns:
            Logits [R, V] after the last token of each row; undefined for 0 tokens.
        """
        rows = self.rows
        for row, count in zip(rows, counts, strict=True):
            self._slots.ensure(row, row.computed + count - row.prefix_length)
        self._step = StepRows(rows, counts, self._slots, self._device)
        logits: Tensor = self._model(
            input_ids=self._step.input_ids,
            position_ids=self._step.position_ids,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=self._step.last,
        ).logits[0]
        for row, count in zip(rows, counts, strict=True):
            was_reading = row.computed < row.prompt_length
            row.computed += count
            if was_reading and row.computed >= row.prompt_length:
                self._index.register(row, row.prefix_length)
        return logits

    def _attention(
        self,
        module: torch.nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None,
        scaling: float | None = None,
        softcap: float | None = None,
        s_aux: Tensor | None = None,
        position_bias: Tensor | None = None,
        **_: Any,
    ) -> tuple[Tensor, None]:
        if softcap is not None or s_aux is not None or position_bias is not None:
            raise NotImplementedError(f"attention of {type(module).__name__}")
        if self._slots.sizes is None:
            self._slots.learn(key, self._model.config.num_hidden_layers)
        heads = key.shape[1]
        count, size = query.shape[2], query.shape[3]
        query_NHGD = query[0].transpose(0, 1).reshape(count, heads, -1, size)
        parts = [
            part
            for rows in self._step.slabs
            for part in self._attend_suffixes(
                rows, query_NHGD, key[0], value[0], scaling
            )
        ]
        if len(parts) == 1:
            out, lse = parts[0]
        else:
            out = torch.cat([part[0] for part in parts])
            lse = torch.cat([part[1] for part in parts])
        out = self._attend_prefixes(query_NHGD, out, lse, scaling)
        return out.reshape(1, count, -1, size), None

    def _attend_suffixes(
        self,
        rows: SlabRows,
        query_NHGD: Tensor,
        key_HND: Tensor,
        value_HND: Tensor,
        scaling: float | None,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Each row's tokens to its own slot, which gets their keys and values."""
        keys_RHCD, values_RHCD = rows.slab.kv_L2RHCD[self._cache.layer]
        if batch := rows.batch:
            first, last = rows.start, rows.start + batch
            at = (rows.slots, slice(None), rows.positions)
            keys_RHCD[at] = key_HND[:, first:last].transpose(0, 1)
            values_RHCD[at] = value_HND[:, first:last].transpose(0, 1)
            yield attend(
                query_NHGD[first:last],
                keys_RHCD[:batch, :, : rows.span],
                values_RHCD[:batch, :, : rows.span],
                rows.mask,
                scaling,
            )
        for slot, start, end, first, mask_TS in rows.segments:
            span = first + end - start
            keys_RHCD[slot, :, first:span] = key_HND[:, start:end]
            values_RHCD[slot, :, first:span] = value_HND[:, start:end]
            yield attend_shared(
                query_NHGD[start:end],
                keys_RHCD[slot, None, :, :span],
                values_RHCD[slot, None, :, :span],
                mask_TS,
                scaling,
            )

    def _attend_prefixes(
        self,
        query_NHGD: Tensor,
        out_NHGD: Tensor,
        lse_NHG: Tensor,
        scaling: float | None,
    ) -> Tensor:
        """Joins what the suffixes gave with attention to the shared prefixes."""
        for prefix, at in self._step.prefixes:
            kv_2HPD = prefix.kv_L2HPD[self._cache.layer]
            out, lse = attend_shared(
                query_NHGD if at is None else query_NHGD[at],
                kv_2HPD[0, None],
                kv_2HPD[1, None],
                None,
                scaling,
            )
            if at is None:
                out_NHGD = join(out_NHGD, lse_NHG, out, lse)
            else:
                out_NHGD[at] = join(out_NHGD[at], lse_NHG[at], out, lse)
        return out_NHGD
