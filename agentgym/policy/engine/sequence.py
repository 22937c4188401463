"""Sequences being sampled, the prompt prefixes they share, and how to find these.

Imports no torch. Axes are those of `agentgym.policy.engine.kv.kv_cache`.
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


class SharedPrefix:
    """The keys and values of a prompt prefix that rows share.

    Args:
        ids: Its tokens [P].
        kv_L2HPD: Their keys and values.
    """

    def __init__(self, ids: Ids, kv_L2HPD: Tensor) -> None:
        self.ids = ids
        self.kv_L2HPD = kv_L2HPD
        self.shorter: SharedPrefix | None = None
        """One that more prompts share: used in this one's place."""

    @property
    def computed(self) -> int:
        """Its length in tokens, by the name it has for a row."""
        return len(self.ids)


class SampledRow:
    """A sequence being sampled: its tokens, and where its keys and values are.

    Args:
        prompt: Token ids that it begins with.
    """

    def __init__(self, prompt: Sequence[int]) -> None:
        self.prompt_length = len(prompt)
        self.ids = np.asarray(prompt, dtype=np.int32)
        self.sampled: list[int] = []
        self.computed = 0
        self.prefix: SharedPrefix | None = None
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
    def prefix_length(self) -> int:
        """Tokens whose keys and values are in the shared prefix."""
        return self.prefix.computed if self.prefix else 0

    def tokens(self, count: int) -> list[int]:
        """The next `count` tokens to compute."""
        start = self.computed
        if start >= self.prompt_length:
            start -= self.prompt_length
            return self.sampled[start : start + count]
        known: list[int] = self.ids[start : start + count].tolist()
        return known + self.sampled[: count - len(known)]


def common_prefix(one: Sequence[int] | Ids, other: Sequence[int] | Ids) -> int:
    """Length of the common prefix of two rows of token ids.

    Args:
        one: Token ids [T].
        other: Token ids, of any length.
    """
    size = min(len(one), len(other))
    # Arrays are taken as they are; the engine compares every waiting row with all.
    first = np.asarray(one[:size], dtype=np.int32)
    second = np.asarray(other[:size], dtype=np.int32)
    differ = np.flatnonzero(first != second)
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
