"""Sequences being sampled, the prompt prefixes they share, and how to find these.

Axes are those of `agentgym.policy.engine.kv_cache`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor

Ids = npt.NDArray[np.int32]

BLOCK = 16
"""Tokens per block of the prefix index."""


class Trunk:
    """The keys and values of a prompt prefix that rows share."""

    def __init__(self, ids: Ids, kv: Tensor) -> None:
        self.ids = ids
        self.kv_L2HPD = kv
        self.shrunk: Trunk | None = None
        """A shorter trunk that more prompts share: used in this one's place."""

    @property
    def computed(self) -> int:
        """Its length in tokens, by the name it has for a row."""
        return len(self.ids)


class Row:
    """A sequence: its tokens, and where its keys and values are."""

    def __init__(self, prompt: Sequence[int]) -> None:
        self.prompt_length = len(prompt)
        self.ids = np.asarray(prompt, dtype=np.int32)
        self.sampled: list[int] = []
        self.computed = 0
        self.trunk: Trunk | None = None
        self.slot = -1
        self.kept_L2HSD: Tensor | None = None

    @property
    def length(self) -> int:
        """Tokens of the prompt and sampled ones."""
        return self.prompt_length + len(self.sampled)

    @property
    def pending(self) -> int:
        """Tokens not yet run through the model."""
        return self.length - self.computed

    @property
    def trunk_length(self) -> int:
        """Tokens whose keys and values are in the trunk."""
        return self.trunk.computed if self.trunk else 0

    def tokens(self, count: int) -> list[int]:
        """The next ``count`` tokens to compute."""
        start = self.computed
        if start >= self.prompt_length:
            start -= self.prompt_length
            return self.sampled[start : start + count]
        known: list[int] = self.ids[start : start + count].tolist()
        return known + self.sampled[: count - len(known)]


def common_prefix(one: Ids, other: Ids) -> int:
    """Length of the common prefix of two id arrays."""
    size = min(len(one), len(other))
    differ = np.flatnonzero(one[:size] != other[:size])
    return int(differ[0]) if len(differ) else size


def block_keys(ids: Ids) -> list[int]:
    """A hash for each whole block of ids and everything before it."""
    data = ids.tobytes()
    width = BLOCK * ids.itemsize
    keys, key = [], 0
    for start in range(0, len(data) - width + 1, width):
        key = hash((key, data[start : start + width]))
        keys.append(key)
    return keys
