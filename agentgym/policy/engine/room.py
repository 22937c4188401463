"""Whether a model's weights fit a device, before they are loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from agentgym.errors import UsageError
from agentgym.policy.engine.free_memory import free_memory
from agentgym.policy.folders.hub_cache import shown
from agentgym.policy.folders.weight_files import parameter_count

RESERVED = 0.1
"""Share of the free memory that is left for what is computed."""


def check_room(folder: Path, device: torch.device, dtype: Any) -> None:
    """Checks that there is memory for a model's weights.

    Args:
        folder: Of the model.
        device: Where they will be.
        dtype: What they will be; "auto": as they are stored.

    Raises:
        UsageError: There is not; the message says what would fit.
    """
    count = parameter_count(folder)
    if dtype == "auto":
        stored = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
        each = stored / max(count, 1)
    else:
        each = float(dtype.itemsize)
    free = free_memory(device) * (1 - RESERVED)
    if count * each > free:
        raise too_small(folder, device, count=count, each=each, free=free)


def too_small(
    folder: Path, device: torch.device, *, count: int, each: float, free: float
) -> UsageError:
    """Says what a model takes and what would fit.

    Args:
        folder: Of the model.
        device: What is too small.
        count: Parameters of the model.
        each: Bytes of one.
        free: Bytes that can be used.
    """
    half = 2.0
    ways = []
    if each > half and count * half <= free:
        ways.append("give dtype=bfloat16")
    ways.append(
        f"use a model of at most {_billions(free / each)} parameters"
        + ("" if each <= half else f" ({_billions(free / half)} in bfloat16)")
    )
    if device.type != "cpu":
        ways.append("choose another device, as --agentgym-devices sampler=0,trainer=1")
    return UsageError(
        f"the model in {shown(folder)} does not fit {_named(device)}: its weights take "
        f"{count * each / 1e9:.1f} GB, and {free / 1e9:.1f} GB can be used; "
        + ", or ".join(ways)
    )


def _billions(count: float) -> str:
    return f"{count / 1e9:.1f}B" if count >= 1e9 else f"{count / 1e6:.0f}M"


def _named(device: torch.device) -> str:
    return "this machine's memory" if device.type == "cpu" else f"the GPU {device}"
