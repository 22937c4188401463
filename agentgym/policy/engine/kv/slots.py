"""Slots for the keys and values of rows, in slabs of slots of one capacity.

A row that outgrows its slot moves to one of the next capacity; a slab without rows is
given back. So a long row costs what it is long, whatever stands beside it, and nothing
but that row is ever copied.

Axes are those of `agentgym.policy.engine.kv.kv_cache`.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from agentgym.policy.engine.free_memory import free_memory
from agentgym.policy.engine.sequence import SampledRow

LEAST, MOST_SLOTS = 256, 64
"""Tokens of the smallest slots; slots of a slab."""
SLAB_BYTES = 1 << 30
"""The most that a slab of several slots takes. On a CPU its pages come when they are
first written, so that slots cost nothing before they are used."""
SPARE_BYTES = 512 << 20
"""Slabs without rows are kept up to so much, as the next rows come soon."""


@dataclass(frozen=True, slots=True)
class KeySizes:
    """What the keys and values of a token look like."""

    layers: int
    heads: int
    head_size: int
    dtype: torch.dtype
    device: torch.device

    @property
    def token_bytes(self) -> int:
        """Bytes of the keys and values of one token."""
        return self.layers * 2 * self.heads * self.head_size * self.dtype.itemsize


class Slab:
    """Slots of one capacity; rows stand in the first ones.

    Attributes:
        capacity: Tokens of a slot.
        slots: How many there are.
        rows: Who is in them.
    """

    def __init__(self, capacity: int, slots: int) -> None:
        self.capacity = capacity
        self.slots = slots
        self.rows: list[SampledRow] = []
        self._kv: Tensor | None = None

    @property
    def kv_L2RHCD(self) -> Tensor:  # noqa: N802
        """Keys and values of all slots."""
        assert self._kv is not None
        return self._kv

    @property
    def made(self) -> bool:
        """Whether it has memory."""
        return self._kv is not None

    def make(self, sizes: KeySizes) -> None:
        """Gives it memory."""
        self._kv = _zeros(
            (sizes.layers, 2, self.slots, sizes.heads, self.capacity, sizes.head_size),
            sizes,
        )

    def slot(self, row: SampledRow) -> Tensor:
        """Keys and values [L, 2, H, C, D] of a row in it."""
        return self.kv_L2RHCD[:, :, row.slot]

    def add(self, row: SampledRow) -> None:
        """Puts a row in the next slot."""
        row.slot = len(self.rows)
        self.rows.append(row)

    def remove(self, row: SampledRow) -> None:
        """Takes a row out; the last one moves into its slot."""
        last = self.rows.pop()
        if last is not row:
            size = last.computed - last.prefix_length
            if self._kv is not None and size > 0:
                self.slot(row)[..., :size, :] = self.slot(last)[..., :size, :]
            last.slot = row.slot
            self.rows[last.slot] = last
        row.slot = -1


class Slots:
    """All slabs, and which of them each row is in.

    Args:
        device: Where the model is.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._of: dict[SampledRow, Slab] = {}
        self.sizes: KeySizes | None = None
        self.slabs: list[Slab] = []

    def __iter__(self) -> Iterator[SampledRow]:
        """The rows, slab by slab and slot by slot."""
        for slab in self.slabs:
            yield from slab.rows

    def learn(self, key: Tensor, layers: int) -> None:
        """Takes the sizes from the first forward pass.

        Args:
            key: Keys [1, H, N, D].
            layers: How many the model has.
        """
        _, heads, _, size = key.shape
        self.sizes = KeySizes(layers, heads, size, key.dtype, key.device)
        for slab in self.slabs:
            # Made before it was known how large a token is.
            slab.slots = max(self._slots_of(slab.capacity), len(slab.rows))
            slab.make(self.sizes)

    def slab(self, row: SampledRow) -> Slab:
        """Where a row is."""
        return self._of[row]

    def of(self, row: SampledRow) -> Tensor:
        """Keys and values [L, 2, H, C, D] of a row."""
        return self._of[row].slot(row)

    def bytes_for(self, tokens: int) -> int:
        """Memory that a row of so many tokens takes; 0 before sizes are known."""
        return 0 if self.sizes is None else self.sizes.token_bytes * _rounded(tokens)

    def fits(self, tokens: int) -> bool:
        """Whether there is memory for one more row, and as much again."""
        if self._room(tokens) is not None and self._device.type != "cpu":
            return True
        needed = self.bytes_for(tokens)
        # Asking costs more than a small row may take.
        return needed < 4 << 20 or 2 * needed <= free_memory(self._device)

    def add(self, row: SampledRow, tokens: int) -> None:
        """Gives a row a slot.

        Args:
            row: Has none.
            tokens: What it needs at least.
        """
        slab = self._room(tokens) or self._new(tokens)
        slab.add(row)
        self._of[row] = slab

    def remove(self, row: SampledRow) -> None:
        """Takes a row's slot away; harmless if it has none."""
        if row in self._of:
            self._of.pop(row).remove(row)
        spare = 0
        for slab in [slab for slab in self.slabs if not slab.rows]:
            spare += 0 if self.sizes is None else self._bytes(slab)
            if spare > SPARE_BYTES:
                self.slabs.remove(slab)

    def ensure(self, row: SampledRow, tokens: int) -> None:
        """Moves a row that outgrows its slot.

        Args:
            row: Has a slot.
            tokens: What it needs now.
        """
        slab = self._of[row]
        if tokens <= slab.capacity:
            return
        size = row.computed - row.prefix_length
        old = slab.slot(row)[..., :size, :].clone() if size and slab.made else None
        self.remove(row)
        self.add(row, tokens + LEAST // 4)
        if old is not None:
            self.of(row)[..., :size, :] = old

    def _room(self, tokens: int) -> Slab | None:
        """The fullest slab with a slot of the right size, so that others run empty."""
        capacity = _rounded(tokens)
        free = [
            slab
            for slab in self.slabs
            if slab.capacity == capacity and len(slab.rows) < slab.slots
        ]
        return max(free, key=lambda slab: len(slab.rows), default=None)

    def _new(self, tokens: int) -> Slab:
        capacity = _rounded(tokens)
        slab = Slab(capacity, self._slots_of(capacity))
        if self.sizes is not None:
            slab.make(self.sizes)
        self.slabs.append(slab)
        return slab

    def _slots_of(self, capacity: int) -> int:
        """Slots of a new slab."""
        if self.sizes is None:
            return MOST_SLOTS
        most = min(SLAB_BYTES, free_memory(self._device) // 8)
        slot = self.sizes.token_bytes * capacity
        return min(max(most // slot, 1), MOST_SLOTS)

    def _bytes(self, slab: Slab) -> int:
        assert self.sizes is not None
        return self.sizes.token_bytes * slab.capacity * slab.slots


def _rounded(tokens: int) -> int:
    """The capacity for so many tokens: at most half as much again is empty."""
    size = LEAST
    while size < tokens:
        size *= 2
    return 3 * size // 4 if size > 4 * LEAST and tokens <= 3 * size // 4 else size


def _zeros(shape: tuple[int, ...], sizes: KeySizes) -> Tensor:
    if sizes.device.type != "cpu":
        return torch.zeros(shape, dtype=sizes.dtype, device=sizes.device)
    count = sizes.dtype.itemsize
    for size in shape:
        count *= size
    # `torch.zeros` writes every page; these are zero by themselves, come when they are
    # used, and go back to the system with the tensor.
    pages: Any = mmap.mmap(-1, count, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return torch.frombuffer(pages, dtype=sizes.dtype).view(shape)
