"""What safetensors files say of their tensors without their numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from agentgym.policy.folders.others.plain_json import read_json

_MOST_BYTES = 20_000_000
"""Of a header: those of models have some hundred thousand. Made of empty lists so many
take half a gigabyte to read."""
_BYTES = {
    **dict.fromkeys(("F64", "I64", "U64"), 8),
    **dict.fromkeys(("F32", "I32", "U32"), 4),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 2),
    **dict.fromkeys(("F8_E4M3", "F8_E5M2", "I8", "U8", "BOOL"), 1),
}
"""Of a number of each type whose numbers have whole bytes."""


def read_shapes(file: Path) -> dict[str, list[int]]:
    """Each tensor's shape, which is what it has bytes for, and no other tensor has.

    Args:
        file: A file, and no pipe.

    Raises:
        ValueError: The file is cut off, or no safetensors at all.
    """
    try:
        total = file.stat().st_size
        with file.open("rb") as stream:
            size = int.from_bytes(stream.read(8), "little")
            if not 2 <= size <= total - 8:
                raise ValueError("its header is cut off")
            if size > _MOST_BYTES:
                raise ValueError(f"its header has more than {_MOST_BYTES:,} bytes")
            text = stream.read(size)
        header = _header(text)
        shapes = {name: _shape(about) for name, about in header.items()}
        end = _end(about["data_offsets"] for about in header.values())
        if 8 + size + end != total:
            raise ValueError(f"it has {total} bytes instead of {8 + size + end}")
        return shapes
    except (OSError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"its header is none ({type(error).__name__})") from error


def _header(text: bytes) -> dict[str, dict[str, Any]]:
    try:
        header: dict[str, dict[str, Any]] = read_json(text)
    except ValueError as error:
        raise ValueError(f"its header {error}") from None
    header.pop("__metadata__", None)
    return header


def _end(places: Iterable[list[int]]) -> int:
    """Where the last tensor ends, if each begins where the one before it ends."""
    end = 0
    for begin, behind in sorted(map(tuple, places)):
        if begin != end:
            raise ValueError("its tensors overlap, or there is a gap between them")
        end = behind
    return end


def _shape(about: dict[str, Any]) -> list[int]:
    """A tensor's shape, if it is one and has its bytes."""
    shape, (begin, end) = about["shape"], about["data_offsets"]
    whole = all(type(n) is int and n >= 0 for n in (*shape, begin, end))
    if not whole or begin > end:
        raise ValueError("a tensor's shape or place is none")
    numbers, taken = math.prod(shape), end - begin
    each = _BYTES.get(about["dtype"])
    # No type has fewer than four bits.
    wrong = numbers > 2 * taken if each is None else numbers * each != taken
    if wrong:
        raise ValueError(f"a tensor has {taken} bytes for another shape")
    return list(shape)
