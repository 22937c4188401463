"""Which prompt prefixes are known already, and which of them rows share.

Axes are those of `agentgym.policy.engine.kv.kv_cache`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import numpy as np

from agentgym.policy.engine.sequence import (
    BLOCK,
    Ids,
    SampledRow,
    SharedPrefix,
    block_keys,
    common_prefix,
)

if TYPE_CHECKING:
    from torch import Tensor

MIN_PREFIX = 64
"""A shared prefix of fewer tokens is cheaper to compute again than to share."""
_MOST_PREFIXES = 16

Source = SampledRow | SharedPrefix
"""Where the keys and values of a prompt's beginning can be read."""


class PrefixIndex:
    """Finds for each row what is computed already, and what it shares with others.

    Args:
        boundaries: Token ids at which a shared prefix may end.
        most_bytes: Memory for shared prefixes that no row uses.
    """

    def __init__(self, boundaries: frozenset[int], most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._boundaries = np.array(sorted(boundaries), dtype=np.int32)
        self._sources: WeakValueDictionary[int, Source] = WeakValueDictionary()
        self._prefixes: OrderedDict[int, SharedPrefix] = OrderedDict()

    def match(self, row: SampledRow) -> tuple[Source | None, int]:
        """What shares the longest prefix with a row, and its length in tokens.

        At least one token of the row is left to compute.
        """
        for key in reversed(block_keys(row.ids)):
            source = self._sources.get(key)
            if source is not None:
                known = common_prefix(row.ids, source.ids)
                return source, min(known, source.computed, row.prompt_length - 1)
        return None, 0

    def register(self, source: Source, start: int) -> None:
        """Makes what is computed of a source known.

        Args:
            source: A row or a shared prefix.
            start: The token from which on it is new.
        """
        for key in block_keys(source.ids)[start // BLOCK :]:
            # A shared prefix outlives rows: a row must not take its place here.
            if isinstance(source, SharedPrefix) or not isinstance(
                self._sources.get(key), SharedPrefix
            ):
                self._sources[key] = source

    def choose(
        self,
        row: SampledRow,
        source: Source | None,
        known: int,
        read: Callable[[Source, int, int], Tensor],
    ) -> SharedPrefix | None:
        """The shared prefix that a row uses; it may be a new one.

        Args:
            row: About to enter the batch.
            source: What `match` gives for it.
            known: The tokens that it has in common with it.
            read: Gives the keys and values [L, 2, H, S, D] of a source's positions from
                start to end.
        """
        prefix = source.prefix if isinstance(source, SampledRow) else source
        while prefix is not None and prefix.shorter is not None:
            prefix = prefix.shorter
        if id(prefix) in self._prefixes:
            self._prefixes.move_to_end(id(prefix))
        if source is None:
            return None
        shared = self._trim(row.ids[:known])
        if prefix is not None and prefix.computed > known:
            # More rows agree on less of it: from now on, all share the shorter one.
            if shared < max(MIN_PREFIX, prefix.computed // 4):
                return None
            # A copy: a part of it would hold the whole in memory.
            kv = prefix.kv_L2HPD[..., :shared, :].clone()
            prefix.shorter = self._add(prefix.ids[:shared], kv)
            return prefix.shorter
        own_next_turn = isinstance(source, SampledRow) and known == source.computed
        gain = shared - (prefix.computed if prefix else 0)
        if own_next_turn or gain < max(MIN_PREFIX, shared // 4):
            return prefix
        return self._add(row.ids[:shared], read(source, 0, shared))

    def clear(self) -> None:
        """Forgets everything."""
        self._sources.clear()
        self._prefixes.clear()

    def _add(self, ids: Ids, kv: Tensor) -> SharedPrefix:
        prefix = SharedPrefix(ids.copy(), kv)
        self._prefixes[id(prefix)] = prefix
        self.register(prefix, 0)
        while len(self._prefixes) > 1 and (
            len(self._prefixes) > _MOST_PREFIXES
            or sum(p.kv_L2HPD.nbytes for p in self._prefixes.values())
            > self._most_bytes
        ):
            self._prefixes.popitem(last=False)
        return prefix

    def _trim(self, ids: Ids) -> int:
        """Ends a shared prefix behind its last special token.

        Two prompts agree by chance on the first words behind it; the next will not.
        """
        at = np.flatnonzero(np.isin(ids, self._boundaries))
        return int(at[-1]) + 1 if len(at) else len(ids)
