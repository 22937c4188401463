"""What safetensors files say of their tensors without their numbers."""

from __future__ import annotations

import json
import math
from pathlib import Path


def read_shapes(file: Path) -> dict[str, list[int]]:
    """Each tensor's shape.

    Raises:
        ValueError: The file is cut off, or no safetensors at all.
    """
    try:
        total = file.stat().st_size
        with file.open("rb") as stream:
            size = int.from_bytes(stream.read(8), "little")
            if not 2 <= size <= total - 8:
                raise ValueError("its header is cut off")
            header = json.loads(stream.read(size))
        header.pop("__metadata__", None)
        end = max((t["data_offsets"][1] for t in header.values()), default=0)
        if 8 + size + end != total:
            raise ValueError(f"it has {total} bytes instead of {8 + size + end}")
        return {name: list(t["shape"]) for name, t in header.items()}
    except (OSError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(str(error)) from error


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
