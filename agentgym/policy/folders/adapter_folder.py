"""A LoRA adapter's folder, as peft writes it; checked without importing torch."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentgym.errors import UsageError
from agentgym.policy.folders.safetensors_header import read_shapes
from agentgym.recording.plain import printed, shorten

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"

_MOST_RANK = 65_536
_MOST_ALPHA = 1e6
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.pkl")
_KEY = re.compile(r"base_model\.model\.(.+)\.lora_(A|B)\.weight")
# With one of these, a module's weight is more, or other, than W + scale * B @ A.
_UNKNOWN = (
    *("alora_invocation_tokens", "alpha_pattern", "arrow_config", "kasa_config"),
    *("layer_replication", "lora_bias", "megatron_config", "modules_to_save"),
    *("monteclora_config", "rank_pattern", "target_parameters"),
    *("trainable_token_indices", "use_bdlora", "use_dora", "use_qalora"),
    "velora_config",
)
# These change the base weights before the first update.
_MOVES_BASE = ("corda", "loftq", "lora_ga", "olora", "pissa")


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
    scale, rank = _read_config(config)
    if not weights.is_file():
        pickled = next((f for p in _PICKLED for f in folder.glob(p)), None)
        if pickled is not None:
            raise UsageError(
                f"the adapter's weights {pickled} are pickled, which can run any code "
                "when it is loaded: save them as safetensors"
            )
        raise UsageError(f"the adapter in {folder} has no weights: no {WEIGHTS}")
    return AdapterFolder(
        path=folder, scale=scale, modules=_modules(weights, _header(weights), rank)
    )


def _read_config(file: Path) -> tuple[float, int]:
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{file} is corrupted: it is not valid JSON") from error
    kind = config.get("peft_type") if isinstance(config, dict) else None
    if kind != "LORA":
        raise UsageError(
            f"{file} describes no LoRA adapter: its peft_type is {_shown(kind)}"
        )
    for name in _UNKNOWN:
        if config.get(name):
            raise _not_merged(file, name, config[name])
    if config.get("bias", "none") != "none":
        raise _not_merged(file, "bias", config["bias"])
    start = config.get("init_lora_weights")
    if isinstance(start, str) and start.lower().startswith(_MOVES_BASE):
        raise _not_merged(file, "init_lora_weights", start)
    rank, alpha = config.get("r"), config.get("lora_alpha")
    if not _is_rank(rank) or not _is_finite(alpha):
        raise UsageError(
            f"{file} is corrupted: r is {_shown(rank)}, lora_alpha is {_shown(alpha)}"
        )
    scale = alpha / math.sqrt(rank) if config.get("use_rslora") else alpha / rank
    return scale, rank


def _is_rank(value: Any) -> bool:
    return type(value) is int and 1 <= value <= _MOST_RANK


def _is_finite(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) <= _MOST_ALPHA


def _shown(value: Any) -> str:
    """A value of somebody's file: without what a terminal obeys, and not too long."""
    return shorten(repr(value) if isinstance(value, str) else printed(value), 100)


def _not_merged(file: Path, name: str, value: Any) -> UsageError:
    return UsageError(
        f"{file} has {name} = {_shown(value)}, which agentgym does not merge: "
        "use a plain LoRA adapter"
    )


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
                f"{file} holds {_shown(key)}, which agentgym does not merge: it takes "
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
                f"{file} is corrupted: lora_A and lora_B of {_shown(module)} are "
                f"{_shown(a)} and {_shown(b)} at rank {rank}"
            )
        sizes[module] = (b[0], rank, a[1])
    return sizes
