"""What safetensors files say of their tensors without their numbers."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

_MOST_BYTES = 100_000_000
"""Of a header; the safetensors library refuses a longer one, too."""
_BYTES = {
    **dict.fromkeys(("F64", "I64", "U64"), 8),
    **dict.fromkeys(("F32", "I32", "U32"), 4),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 2),
    **dict.fromkeys(("F8_E4M3", "F8_E5M2", "I8", "U8", "BOOL"), 1),
}
"""Of a number of each type whose numbers have whole bytes."""


def read_shapes(file: Path) -> dict[str, list[int]]:
    """Each tensor's shape, which is what it has bytes for.

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
            header = json.loads(stream.read(size))
        header.pop("__metadata__", None)
        shapes = {name: _shape(about) for name, about in header.items()}
        end = max((t["data_offsets"][1] for t in header.values()), default=0)
        if 8 + size + end != total:
            raise ValueError(f"it has {total} bytes instead of {8 + size + end}")
        return shapes
    except RecursionError:
        raise ValueError("its header is nested too deeply") from None
    except (OSError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"its header is none ({type(error).__name__})") from error


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


def parameter_count(folder: Path) -> int:
    """How many numbers a model's weights are.

    Args:
        folder: Of the model, whose weights may also be in torch's own format: they are
            taken to have two bytes each.

    Returns:
        0 if the files cannot be read; loading the model then says why.
    """
    files = [
        file
        for file in folder.glob("*.safetensors")
        if not file.name.startswith(("adapter_model", "consolidated"))
    ]
    try:
        if files:
            shapes = [shape for file in files for shape in read_shapes(file).values()]
            return sum(math.prod(shape) for shape in shapes)
        return sum(f.stat().st_size for f in folder.glob("pytorch_model*.bin")) // 2
    except (OSError, ValueError):
        return 0
