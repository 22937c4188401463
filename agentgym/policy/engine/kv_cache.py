"""Keys and values of the running batch, with prompt prefixes shared.

A *row* is one sequence being sampled. Its keys and values are in two parts: a *trunk*,
read-only and shared by every row whose prompt begins with the same tokens (the system
prompt with its tools), and its own *suffix* in a slot of one big tensor. Attention over
the trunk is one matrix product for all rows, attention over the suffixes another, and
the two are joined by their log-sum-exp. So a trunk is computed once, kept once and,
unlike with plain batching, also read once a step.

Rows of any length stand in one flat list of tokens, a row that is decoding with one
token and a row that is still reading its prompt with many, so nothing is padded but the
suffixes.

Axes: L layers, R slots, H key/value heads, G query heads per key/value head, C capacity
of a slot, P trunk length, N tokens of a step, T tokens of one row, S suffix length,
D head size, V vocabulary.
"""

import itertools
from collections import OrderedDict
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import torch
from torch import Tensor
from transformers import AttentionInterface, Cache, PreTrainedModel

from agentgym.policy.engine.attention import (
    attend_anywhere,
    attend_on_cpu,
    attend_shared,
    join,
)
from agentgym.policy.engine.sequence import (
    BLOCK,
    Ids,
    Row,
    Trunk,
    block_keys,
    common_prefix,
)

MIN_TRUNK = 64
"""A shared prefix shorter than this is cheaper to compute again than to share."""

_counter = itertools.count()


class _Step:
    """What one forward pass needs to know about its rows."""

    def __init__(self, rows: list[Row], counts: list[int], device: Any) -> None:
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
            first = row.computed - row.trunk_length
            mask = torch.ones(count, first + count, device=device).triu_(first + 1)
            mask = torch.where(mask > 0, -torch.inf, 0.0)
            self.segments.append((row.slot, start, start + count, first, mask))
        if self.batch:
            lengths = [row.computed - row.trunk_length for row in rows[: self.batch]]
            self.positions = torch.tensor(lengths, device=device)
            self.slots = torch.arange(self.batch, device=device)
            self.span = max(lengths) + 1
            past = torch.arange(self.span, device=device) > self.positions[:, None]
            self.mask: Tensor | None = None
            if min(lengths) != max(lengths):
                mask = torch.zeros(past.shape, device=device)
                self.mask = mask.masked_fill_(past, -torch.inf)[:, None, None]
        by_trunk: dict[Trunk | None, list[int]] = {}
        for row, start, count in zip(rows, starts, counts, strict=False):
            if count:
                by_trunk.setdefault(row.trunk, []).extend(range(start, start + count))
        self.trunks: list[tuple[Trunk, Tensor | None]] = [
            (trunk, None if len(by_trunk) == 1 else torch.tensor(at, device=device))
            for trunk, at in by_trunk.items()
            if trunk is not None
        ]
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


class _LayerCounter(Cache):
    """Tells the attention function which layer it is in; keeps nothing itself."""

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
        self.layer = layer_idx
        return key_states, value_states

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return 0


class SharedPrefixCache:
    """Runs rows through a model together, keeping and sharing what was computed."""

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        boundaries: frozenset[int] = frozenset(),
        keep_bytes: int = 512 << 20,
    ) -> None:
        """Take over the attention of ``model``.

        Args:
            model: Any causal LM that takes its attention from transformers' registry.
            boundaries: Token ids at which a shared prefix may end: the template's
                special tokens. Without them it ends where the prompts differ.
            keep_bytes: Memory for finished rows, so that the next turn of their
                conversation goes on where they ended.
        """
        self._model = model
        self._device = model.device
        self._boundaries = np.array(sorted(boundaries), dtype=np.int32)
        self._keep_bytes = keep_bytes
        self._cache = _LayerCounter()
        self._step: _Step
        self._index: WeakValueDictionary[int, Row | Trunk] = WeakValueDictionary()
        self._kept: OrderedDict[int, Row] = OrderedDict()
        self._kept_bytes = 0
        self._trunks: OrderedDict[int, Trunk] = OrderedDict()
        self._kv: Tensor | None = None
        self.rows: list[Row] = []
        self._attend_part = (
            attend_on_cpu if self._device.type == "cpu" else attend_anywhere
        )
        self.implementation = f"agentgym_{next(_counter)}"
        AttentionInterface.register(self.implementation, self._attention)
        model.set_attn_implementation(self.implementation)

    # Admission and release of rows.

    def blocked(self, row: Row) -> bool:
        """Whether a row being read now computes a prefix that this one can share."""
        return any(
            other.pending > 1
            and common_prefix(row.ids, other.ids) > self._match(row)[1] + MIN_TRUNK
            for other in self.rows
        )

    def admit(self, row: Row) -> int:
        """Give a row a slot and all that is known of its prompt; return how much."""
        source, known = self._match(row)
        row.trunk = self._choose_trunk(row, source, known)
        row.slot = len(self.rows)
        self.rows.append(row)
        self._reserve(len(self.rows), row.length - row.trunk_length + 1)
        if source is not None and known > row.trunk_length:
            kv = self._read(source, row.trunk_length, known)
            self._slot(row)[..., : known - row.trunk_length, :] = kv
        row.computed = max(known, row.trunk_length)
        if isinstance(source, Row) and known == source.computed:
            self._forget(source)
        return row.computed

    def release(self, row: Row, *, keep: bool = True) -> None:
        """Take a row out of the batch, keeping what was computed for its next turn."""
        size = row.computed - row.trunk_length
        if keep and size > 0 and self._kv is not None:
            row.kept_L2HSD = self._slot(row)[..., :size, :].clone()
            row.ids = np.concatenate(
                [row.ids, np.asarray(row.sampled, dtype=np.int32)]
            )[: row.computed]
            self._register(row, row.trunk_length)
            self._kept[id(row)] = row
            self._kept_bytes += row.kept_L2HSD.nbytes
        last = self.rows.pop()
        if last is not row:
            size = last.computed - last.trunk_length
            assert self._kv is not None
            self._kv[:, :, row.slot, :, :size] = self._kv[:, :, last.slot, :, :size]
            last.slot = row.slot
            self.rows[last.slot] = last
        row.slot = -1
        while self._kept_bytes > self._keep_bytes:
            self._forget(next(iter(self._kept.values())))

    def clear(self) -> None:
        """Forget all keys and values: they are of weights that are no more."""
        assert not self.rows, "rows are running"
        self._index.clear()
        self._kept.clear()
        self._kept_bytes = 0
        self._trunks.clear()

    def _forget(self, row: Row) -> None:
        if self._kept.pop(id(row), None) is not None and row.kept_L2HSD is not None:
            self._kept_bytes -= row.kept_L2HSD.nbytes

    # The prefix index.

    def _match(self, row: Row) -> tuple[Row | Trunk | None, int]:
        """Find what shares the longest prefix with a row; at least 1 token is left."""
        for key in reversed(block_keys(row.ids)):
            found = self._index.get(key)
            if found is not None:
                known = common_prefix(row.ids, found.ids)
                return found, min(known, found.computed, row.prompt_length - 1)
        return None, 0

    def _register(self, entry: Row | Trunk, start: int) -> None:
        for key in block_keys(entry.ids)[start // BLOCK :]:
            # A trunk outlives rows: a row must not take its place in the index.
            if isinstance(entry, Trunk) or not isinstance(self._index.get(key), Trunk):
                self._index[key] = entry

    def _choose_trunk(
        self, row: Row, source: Row | Trunk | None, known: int
    ) -> Trunk | None:
        trunk = source.trunk if isinstance(source, Row) else source
        while trunk is not None and trunk.shrunk is not None:
            trunk = trunk.shrunk
        if id(trunk) in self._trunks:
            self._trunks.move_to_end(id(trunk))
        if source is None:
            return None
        shared = self._trim(row.ids[:known])
        if trunk is not None and trunk.computed > known:
            # More rows agree on less of it: from now on, all share the shorter one.
            if shared < max(MIN_TRUNK, trunk.computed // 4):
                return None
            trunk.shrunk = self._add_trunk(
                trunk.ids[:shared], trunk.kv_L2HPD[..., :shared, :]
            )
            return trunk.shrunk
        own_next_turn = isinstance(source, Row) and known == source.computed
        gain = shared - (trunk.computed if trunk else 0)
        if own_next_turn or gain < max(MIN_TRUNK, shared // 4):
            return trunk
        return self._add_trunk(row.ids[:shared], self._read(source, 0, shared))

    def _add_trunk(self, ids: Ids, kv: Tensor) -> Trunk:
        trunk = Trunk(ids.copy(), kv)
        self._trunks[id(trunk)] = trunk
        self._register(trunk, 0)
        if len(self._trunks) > 16:
            self._trunks.popitem(last=False)
        return trunk

    def _trim(self, ids: Ids) -> int:
        """End a shared prefix behind its last special token.

        Two prompts agree by chance on the first words behind it; the next will not.
        """
        at = np.flatnonzero(np.isin(ids, self._boundaries))
        return int(at[-1]) + 1 if len(at) else len(ids)

    # Storage.

    def _slot(self, row: Row) -> Tensor:
        assert self._kv is not None
        return self._kv[:, :, row.slot]

    def _read(self, source: Row | Trunk, start: int, end: int) -> Tensor:
        """The keys and values of positions ``start`` to ``end``, as [L, 2, H, S, D]."""
        if isinstance(source, Trunk):
            return source.kv_L2HPD[..., start:end, :]
        base = source.trunk_length
        own = source.kept_L2HSD if source.slot < 0 else self._slot(source)
        assert own is not None
        parts = [own[..., max(start - base, 0) : max(end - base, 0), :]]
        if source.trunk is not None and start < base:
            parts.insert(0, source.trunk.kv_L2HPD[..., start : min(end, base), :])
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
        capacity = max(row.length - row.trunk_length for row in self.rows) + 64
        self._kv = keys.new_zeros(layers, 2, rows, heads, capacity, size)

    # The forward pass.

    def forward(self, counts: list[int]) -> Tensor:
        """Run the next ``counts[i]`` tokens (or none) of each row.

        Returns:
            Logits [R, V] after the last token of each row; undefined for 0 tokens.
        """
        rows = self.rows
        self._reserve(
            len(rows),
            max(
                r.computed + n - r.trunk_length
                for r, n in zip(rows, counts, strict=True)
            ),
        )
        self._step = _Step(rows, counts, self._device)
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
                self._register(row, row.trunk_length)
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
        step, layer = self._step, self._cache.layer
        keys_RHCD, values_RHCD = self._kv[layer, 0], self._kv[layer, 1]
        heads = key.shape[1]
        count, size = query.shape[2], query.shape[3]
        new_NHD = (key[0].transpose(0, 1), value[0].transpose(0, 1))
        query_NHGD = query[0].transpose(0, 1).reshape(count, heads, -1, size)
        outputs, sums = [], []
        attend, batch = self._attend_part, step.batch
        if batch:
            keys_RHCD[step.slots, :, step.positions] = new_NHD[0][:batch]
            values_RHCD[step.slots, :, step.positions] = new_NHD[1][:batch]
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
            keys_RHCD[slot, :, first:span] = key[0, :, start:end]
            values_RHCD[slot, :, first:span] = value[0, :, start:end]
            out, lse = attend_shared(
                attend,
                query_NHGD[start:end],
                keys_RHCD[slot, None, :, :span],
                values_RHCD[slot, None, :, :span],
                mask_TS,
                scaling,
            )
            outputs.append(out)
            sums.append(lse)
        out_NHGD = torch.cat(outputs) if len(outputs) > 1 else outputs[0]
        lse_NHG = torch.cat(sums) if len(sums) > 1 else sums[0]
        for trunk, at in step.trunks:
            kv = trunk.kv_L2HPD[layer]
            out, lse = attend_shared(
                attend,
                query_NHGD if at is None else query_NHGD[at],
                kv[0, None],
                kv[1, None],
                None,
                scaling,
            )
            if at is None:
                out_NHGD = join(out_NHGD, lse_NHG, out, lse)
            else:
                out_NHGD[at] = join(out_NHGD[at], lse_NHG[at], out, lse)
        return out_NHGD.reshape(1, count, -1, size), None
