"""A model's weights on the disk: which files are loaded, and what they hold."""

from __future__ import annotations

import math
import re
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

from agentgym.errors import UsageError
from agentgym.policy.folders.hub_cache import shown
from agentgym.policy.folders.others.config_sizes import Held
from agentgym.policy.folders.others.plain_file import check_file
from agentgym.policy.folders.others.plain_json import quoted
from agentgym.policy.folders.others.validator import read_said
from agentgym.policy.folders.safetensors_header import read_shapes

WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "pytorch_model*.bin")
"""What weights are called, loaded from or not."""
MOST_FILES = 10_000
"""In a folder; the largest models have some hundred."""
_DISTRIBUTED = re.compile(r"shard-[0-9]{5}-model-.*\.safetensors")


def weight_files(folder: Path, named: str | None = None) -> list[Path]:
    """The files that transformers loads a model's weights from.

    Args:
        folder: Of the model.
        named: Its config's `transformers_weights`, which few have.

    Raises:
        UsageError: They are not there, or are no safetensors.
    """
    names = sorted(file.name for file in islice(folder.iterdir(), MOST_FILES))
    # transformers takes these before all others.
    if any(_DISTRIBUTED.fullmatch(name) for name in names):
        raise UsageError(
            f"{shown(folder)} is a checkpoint in several ranks' parts: load it and "
            "save it as a model, with save_pretrained"
        )
    wanted = named or next((name for name in (WHOLE, INDEX) if name in names), None)
    if wanted not in names:
        raise _no_weights(folder, names)
    found = _shards(folder) if wanted == INDEX else [folder / wanted]
    for file in found:
        check_file(folder, file)
    return found


def read_held(folder: Path, named: str | None = None) -> Held:
    """What a model's weights are, by the headers of their files.

    Args:
        folder: Of the model.
        named: See `weight_files`.

    Raises:
        UsageError: A file is missing or corrupted.
    """
    tensors = numbers = size = 0
    for file in weight_files(folder, named):
        try:
            shapes = read_shapes(file)
        except ValueError as error:
            raise UsageError(f"the weights {file} are corrupted: {error}") from error
        tensors += len(shapes)
        numbers += sum(math.prod(shape) for shape in shapes.values())
        size += file.stat().st_size
    return Held(tensors=tensors, numbers=numbers, size=size)


def parameter_count(folder: Path) -> int:
    """How many numbers a model's weights are.

    Args:
        folder: Of the model.

    Returns:
        0 if the files cannot be read; loading the model then says why.
    """
    named = None
    with suppress(UsageError):
        named = read_said(folder, "config.json").get("transformers_weights")
    try:
        return read_held(folder, named).numbers
    except (OSError, UsageError):
        return 0


def _shards(folder: Path) -> list[Path]:
    index: dict[str, Any] = read_said(folder, INDEX)
    found = [folder / name for name in sorted(set(index["weight_map"].values()))]
    missing = next((file for file in found if not file.exists()), None)
    if missing is not None:
        raise UsageError(
            f"{shown(folder)} has no {missing.name}, which its {INDEX} names: get the "
            "model's whole folder"
        )
    return found


def _no_weights(folder: Path, names: list[str]) -> UsageError:
    pickled = next((n for n in names if n.endswith((".bin", ".pt", ".pth"))), None)
    if pickled is not None:
        return UsageError(
            f"{shown(folder)} has only pickled weights ({quoted(pickled)}), which can "
            "run any code when they are loaded: save it as safetensors, with "
            "transformers' save_pretrained"
        )
    return UsageError(
        f"{shown(folder)} has no weights: there is neither {WHOLE} nor {INDEX} in it"
    )
