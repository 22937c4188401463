"""Keys and values of the running batch, with prompt prefixes shared.

A *row* is one sequence being sampled. Its keys and values are in two parts: a *shared
prefix*, read-only and used by every row whose prompt begins with the same tokens (the
system prompt with its tools), and its own *suffix* in a slot of one big tensor.
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
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AttentionInterface, PreTrainedModel

from agentgym.policy.engine.attention import attend, attend_shared, join
from agentgym.policy.engine.prefix_index import MIN_PREFIX, PrefixIndex, Source
from agentgym.policy.engine.sequence import SampledRow, SharedPrefix, common_prefix
from agentgym.policy.engine.step_rows import LayerCounter, StepRows

_counter = itertools.count()


class SharedPrefixCache:
    """Runs rows through a model together, keeping and sharing what was computed."""

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        boundaries: frozenset[int] = frozenset(),
        keep_bytes: int = 512 << 20,
    ) -> None:
        """Takes over the attention of `model`.

        Args:
            model: Any causal LM that takes its attention from transformers' registry.
            boundaries: Token ids at which a shared prefix may end: the template's
                special tokens. Without them it ends where the prompts differ.
            keep_bytes: Memory for finished rows, so that the next turn of their
                conversation goes on where they ended.
        """
        self._model = model
        self._device = model.device
        self._keep_bytes = keep_bytes
        self._cache = LayerCounter()
        self._step: StepRows
        self._index = PrefixIndex(boundaries)
        self._kept: OrderedDict[int, SampledRow] = OrderedDict()
        self._kept_bytes = 0
        self._kv: Tensor | None = None
        self.rows: list[SampledRow] = []
        self.implementation = f"agentgym_{next(_counter)}"
        AttentionInterface.register(self.implementation, self._attention)
        model.set_attn_implementation(self.implementation)

    # Admission and release of rows.

    def blocked(self, row: SampledRow) -> bool:
        """Whether a row being read now computes a prefix that this one can share."""
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
        row.slot = len(self.rows)
        self.rows.append(row)
        self._reserve(len(self.rows), row.length - row.prefix_length + 1)
        if source is not None and known > row.prefix_length:
            kv = self._read(source, row.prefix_length, known)
            self._slot(row)[..., : known - row.prefix_length, :] = kv
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
        if keep and size > 0 and self._kv is not None:
            row.kept_L2HSD = self._slot(row)[..., :size, :].clone()
            row.ids = np.concatenate(
                [row.ids, np.asarray(row.sampled, dtype=np.int32)]
            )[: row.computed]
            self._index.register(row, row.prefix_length)
            self._kept[id(row)] = row
            self._kept_bytes += row.kept_L2HSD.nbytes
        last = self.rows.pop()
        if last is not row:
            size = last.computed - last.prefix_length
            assert self._kv is not None
            self._kv[:, :, row.slot, :, :size] = self._kv[:, :, last.slot, :, :size]
            last.slot = row.slot
            self.rows[last.slot] = last
        row.slot = -1
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

    def _slot(self, row: SampledRow) -> Tensor:
        assert self._kv is not None
        return self._kv[:, :, row.slot]

    def _read(self, source: Source, start: int, end: int) -> Tensor:
        """The keys and values of positions `start` to `end`, as [L, 2, H, S, D]."""
        if isinstance(source, SharedPrefix):
            return source.kv_L2HPD[..., start:end, :]
        base = source.prefix_length
        own = source.kept_L2HSD if source.slot < 0 else self._slot(source)
        assert own is not None
        parts = [own[..., max(start - base, 0) : max(end - base, 0), :]]
        if source.prefix is not None and start < base:
            parts.insert(0, source.prefix.kv_L2HPD[..., start : min(end, base), :])
        return torch.cat(parts, dim=-2) if len(parts) > 1 else parts[0].clone()

    def _reserve(self, rows: int, capacity: int) -> None:
        if self._kv is None:
            return
        layers, two, slots, heads, room, size = self._kv.shape
        if rows <= slots and capacity <= room:
            return
        if rows > slots:
            slots = max(rows, 2 * slots)
        if capacity > room:
            room = max(capacity + 64, room * 3 // 2)
        grown = self._kv.new_zeros(layers, two, slots, heads, room, size)
        old = self._kv
        grown[:, :, : old.shape[2], :, : old.shape[4]] = old
        self._kv = grown

    def _allocate(self, keys: Tensor, layers: int) -> None:
        heads, size = keys.shape[1], keys.shape[3]
        rows = max(4, len(self.rows))
        capacity = max(row.length - row.prefix_length for row in self.rows) + 64
        self._kv = keys.new_zeros(layers, 2, rows, heads, capacity, size)

    # The forward pass.

    def forward(self, counts: list[int]) -> Tensor:
        """Runs the next `counts[i]` tokens (or none) of each row.

        Args:
            counts: One number [R] for each row of the batch.

        Returns:
            Logits [R, V] after the last token of each row; undefined for 0 tokens.
        """
        rows = self.rows
        self._reserve(
            len(rows),
            max(
                r.computed + n - r.prefix_length
                for r, n in zip(rows, counts, strict=True)
            ),
        )
        self._step = StepRows(rows, counts, self._device)
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
        if self._kv is None:
            self._allocate(key, self._model.config.num_hidden_layers)
            assert self._kv is not None
        heads = key.shape[1]
        count, size = query.shape[2], query.shape[3]
        query_NHGD = query[0].transpose(0, 1).reshape(count, heads, -1, size)
        kv_2RHCD = self._kv[self._cache.layer]
        out, lse = self._attend_suffixes(
            query_NHGD, key[0], value[0], kv_2RHCD, scaling
        )
        out = self._attend_prefixes(query_NHGD, out, lse, scaling)
        return out.reshape(1, count, -1, size), None

    def _attend_suffixes(
        self,
        query_NHGD: Tensor,
        key_HND: Tensor,
        value_HND: Tensor,
        kv_2RHCD: Tensor,
        scaling: float | None,
    ) -> tuple[Tensor, Tensor]:
        """Each row's tokens to its own slot, which gets their keys and values."""
        step = self._step
        keys_RHCD, values_RHCD = kv_2RHCD[0], kv_2RHCD[1]
        outputs, sums = [], []
        if batch := step.batch:
            at = (step.slots, slice(None), step.positions)
            keys_RHCD[at] = key_HND[:, :batch].transpose(0, 1)
            values_RHCD[at] = value_HND[:, :batch].transpose(0, 1)
            out, lse = attend(
                query_NHGD[:batch],
                keys_RHCD[:batch, :, : step.span],
                values_RHCD[:batch, :, : step.span],
                step.mask,
                scaling,
            )
            outputs.append(out)
            sums.append(lse)
        for slot, start, end, first, mask_TS in step.segments:
            span = first + end - start
            keys_RHCD[slot, :, first:span] = key_HND[:, start:end]
            values_RHCD[slot, :, first:span] = value_HND[:, start:end]
            out, lse = attend_shared(
                query_NHGD[start:end],
                keys_RHCD[slot, None, :, :span],
                values_RHCD[slot, None, :, :span],
                mask_TS,
                scaling,
            )
            outputs.append(out)
            sums.append(lse)
        if len(outputs) == 1:
            return outputs[0], sums[0]
        return torch.cat(outputs), torch.cat(sums)

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
