"""A LoRA adapter's folder, as peft writes it; checked without importing torch."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentgym.errors import UsageError
from agentgym.policy.folders.others.plain_file import check_file
from agentgym.policy.folders.others.plain_json import quoted
from agentgym.policy.folders.others.validator import read_said
from agentgym.policy.folders.safetensors_header import read_shapes

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"

_PICKLED = ("*.bin", "*.pt", "*.pth", "*.pkl")
_KEY = re.compile(r"base_model\.model\.(.+)\.lora_(A|B)\.weight")


@dataclass(frozen=True, kw_only=True, slots=True)
class AdapterFolder:
    """What an adapter's files say without their numbers."""

    path: Path
    scale: float
    modules: dict[str, tuple[int, int, int]]
    """Each module's outputs, rank and inputs."""


def check_adapter(folder: Path) -> AdapterFolder:
    """Checks what can be seen from the config and the header of the weights.

    Raises:
        UsageError: It is no LoRA adapter that can be merged; the message says why.
    """
    if not folder.is_dir():
        raise UsageError(f"the adapter folder {folder} does not exist")
    config, weights = folder / CONFIG, folder / WEIGHTS
    if not config.is_file():
        raise UsageError(f"{folder} is no LoRA adapter: it has no {CONFIG}")
    scale, rank = _scale_and_rank(read_said(folder, CONFIG))
    if not weights.exists():
        pickled = next((f for p in _PICKLED for f in folder.glob(p)), None)
        if pickled is not None:
            raise UsageError(
                f"the adapter's weights {pickled} are pickled, which can run any code "
                "when it is loaded: save them as safetensors"
            )
        raise UsageError(f"the adapter in {folder} has no weights: no {WEIGHTS}")
    check_file(folder, weights)
    return AdapterFolder(
        path=folder, scale=scale, modules=_modules(weights, _header(weights), rank)
    )


def _scale_and_rank(config: dict[str, Any]) -> tuple[float, int]:
    rank, alpha = config["r"], config["lora_alpha"]
    scale = alpha / math.sqrt(rank) if config.get("use_rslora") else alpha / rank
    return scale, rank


def _header(file: Path) -> dict[str, list[int]]:
    """Each tensor's shape.

    Raises:
        UsageError: The file is cut off, or no safetensors at all.
    """
    try:
        return read_shapes(file)
    except ValueError as error:
        raise UsageError(f"the adapter's weights {file} are corrupted: {error}") from (
            error
        )


def _modules(
    file: Path, shapes: dict[str, list[int]], rank: int
) -> dict[str, tuple[int, int, int]]:
    halves: dict[str, dict[str, list[int]]] = {}
    for key, shape in shapes.items():
        match = _KEY.fullmatch(key)
        if match is None:
            raise UsageError(
                f"{file} holds {quoted(key)}, which agentgym does not merge: it takes "
                "only lora_A and lora_B of linear layers"
            )
        halves.setdefault(match[1], {})[match[2]] = shape
    if not halves:
        raise UsageError(f"{file} holds no weights")
    sizes = {}
    for module, pair in halves.items():
        a, b = pair.get("A", []), pair.get("B", [])
        if len(a) != 2 or len(b) != 2 or a[0] != rank or b[1] != rank:
            raise UsageError(
                f"{file} is corrupted: lora_A and lora_B of {quoted(module)} are "
                f"{quoted(a)} and {quoted(b)} at rank {rank}"
            )
        sizes[module] = (b[0], rank, a[1])
    return sizes
