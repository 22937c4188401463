"""Rows that begin alike are computed together, their common beginning only once."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

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
    """Splits rows in bundles so that as few tokens as possible are computed.

    In sorted order, the common prefix of a run of rows is the least one of its
    neighbours. So it is enough to try each of these lengths as the place to cut.

    Args:
        rows: Token ids.
        limits: The most tokens of each row that may be in a prefix; by default all
            but the last.
    """
    if limits is None:
        limits = [len(row) - 1 for row in rows]
    order = sorted(range(len(rows)), key=lambda i: rows[i])
    shared = [
        min(common_prefix(rows[a], rows[b]), limits[a], limits[b])
        for a, b in itertools.pairwise(order)
    ]
    best: list[Bundle] = []
    least = None
    for cut in sorted({0, *(length + 1 for length in shared)}):
        made = _cut(order, shared, limits, cut)
        cost = sum(
            b.prefix + sum(len(rows[i]) - b.prefix for i in b.rows) for b in made
        )
        if least is None or cost < least:
            best, least = made, cost
    return [
        Bundle(b.prefix, sorted(b.rows, key=lambda i: (len(rows[i]), i))) for b in best
    ]


def chunks(items: Sequence[T], size_of: Callable[[T], int], most: int) -> list[list[T]]:
    """Splits items, ordered by size, so that each part padded to its largest fits.

    Args:
        items: The smallest first.
        size_of: Size of an item.
        most: The most that a part may have; a larger item is a part of its own.
    """
    parts: list[list[T]] = []
    for item in items:
        if parts and (len(parts[-1]) + 1) * size_of(item) <= most:
            parts[-1].append(item)
        else:
            parts.append([item])
    return parts


def common_prefix(one: Sequence[int], other: Sequence[int]) -> int:
    """Length of the common prefix of two sequences."""
    size = min(len(one), len(other))
    if one[:size] == other[:size]:
        return size
    low, high = 0, size
    while high - low > 1:
        middle = (low + high) // 2
        if one[:middle] == other[:middle]:
            low = middle
        else:
            high = middle
    return low


def _cut(
    order: list[int], shared: list[int], limits: Sequence[int], cut: int
) -> list[Bundle]:
    runs: list[tuple[list[int], list[int]]] = [([order[0]], [])] if order else []
    for number, length in zip(order[1:], shared, strict=True):
        if length >= cut:
            runs[-1][0].append(number)
            runs[-1][1].append(length)
        else:
            runs.append(([number], []))
    return [
        Bundle(min([*lengths, *(limits[i] for i in rows)]) if lengths else 0, rows)
        for rows, lengths in runs
    ]
