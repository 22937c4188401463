"""Rows that begin alike are computed together, their common beginning only once."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from agentgym.policy.engine.sequence import common_prefix

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Bundle:
    """Rows with a common prefix.

    Attributes:
        prefix: Its length in tokens; at least one token of each row is behind it.
        rows: Numbers of the rows, the shortest first.
    """

    prefix: int
    rows: list[int]


def bundle(
    rows: Sequence[list[int]], limits: Sequence[int] | None = None
) -> list[Bundle]:
    """Splits rows in bundles so that few tokens are computed.

    In sorted order, the common prefix of a run of rows is the least one of its
    neighbours. So the best way to cut the first rows into runs is found from the best
    ways for fewer of them.

    Args:
        rows: Token ids.
        limits: The most tokens of each row that may be in a prefix; by default all
            but the last.

    Returns:
        Bundles that hold each row once.
    """
    if limits is None:
        limits = [len(row) - 1 for row in rows]
    heads = [row[:limit] for row, limit in zip(rows, limits, strict=True)]
    order = sorted(range(len(rows)), key=lambda i: heads[i])
    arrays = [np.asarray(head, dtype=np.int32) for head in heads]
    shared = [common_prefix(arrays[a], arrays[b]) for a, b in itertools.pairwise(order)]
    # Of the first rows up to each: tokens saved; begin and prefix of the last bundle.
    saved, last = [0], [(0, 0)]
    for end in range(1, len(order) + 1):
        most, choice = saved[-1], (end - 1, 0)
        prefix = len(heads[order[end - 1]])
        for begin in range(end - 2, -1, -1):
            prefix = min(prefix, shared[begin])
            gain = saved[begin] + prefix * (end - 1 - begin)
            # As good with fewer bundles is better.
            if gain >= most:
                most, choice = gain, (begin, prefix)
        saved.append(most)
        last.append(choice)
    bundles: list[Bundle] = []
    end = len(order)
    while end:
        begin, prefix = last[end]
        members = sorted(order[begin:end], key=lambda i: (len(rows[i]), i))
        bundles.append(Bundle(prefix, members))
        end = begin
    return bundles[::-1]


def chunks(items: Sequence[T], size_of: Callable[[T], int], most: int) -> list[list[T]]:
    """Splits items, ordered by size, so that each part padded to its largest fits.

    Args:
        items: The smallest first.
        size_of: Size of an item.
        most: The most that a part may have, items times the size of its largest, such
            as tokens; a larger item is a part of its own.
    """
    parts: list[list[T]] = []
    for item in items:
        if parts and (len(parts[-1]) + 1) * size_of(item) <= most:
            parts[-1].append(item)
        else:
            parts.append([item])
    return parts
