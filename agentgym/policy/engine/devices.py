"""Which devices sample and train. Imports no torch."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from agentgym.errors import UsageError

_DEVICE = r"auto|cpu|mps|cuda(?::\d+)?|xpu(?::\d+)?"
_EXAMPLE = "as sampler=0,trainer=1, or sampler=cpu"


@dataclass(frozen=True, slots=True)
class Devices:
    """Where a policy samples, and where it is trained; None: where it is not said."""

    sampler: str | None = None
    trainer: str | None = None


def read_devices(text: str) -> Devices:
    """Reads `sampler=DEVICE,trainer=DEVICE`, or one of the two.

    Raises:
        UsageError: It is something else.
    """
    found = Devices()
    for part in text.split(","):
        name, equals, given = (piece.strip() for piece in part.partition("="))
        if name not in ("sampler", "trainer") or not equals:
            raise UsageError(f"{part.strip()!r} names neither of the two: {_EXAMPLE}")
        if getattr(found, name) is not None:
            raise UsageError(f"{name} is given twice: {_EXAMPLE}")
        device = f"cuda:{int(given)}" if re.fullmatch(r"\d{1,3}", given) else given
        if not re.fullmatch(_DEVICE, device):
            raise UsageError(
                f"{given!r} is no device: give a GPU's number, cpu, cuda or auto, "
                f"{_EXAMPLE}"
            )
        found = replace(found, **{name: device})
    return found


def visible_gpu(device: str, visible: str | None) -> str | None:
    """What `CUDA_VISIBLE_DEVICES` says to a process that knows no other way.

    Args:
        device: As `Devices` has it.
        visible: What the variable says now.

    Returns:
        None: it stays as it is.
    """
    if device == "cpu":
        return ""
    kind, _, number = device.partition(":")
    if kind != "cuda" or not number:
        return None
    seen = [gpu.strip() for gpu in (visible or "").split(",") if gpu.strip()]
    if not seen:
        return number
    if int(number) >= len(seen):
        raise UsageError(
            f"device {device!r} cannot be used: CUDA_VISIBLE_DEVICES={visible} leaves "
            f"{len(seen)}"
        )
    return seen[int(number)]


def nvidia_gpus() -> int:
    """How many GPUs of NVIDIA this machine has, by its device files."""
    return len(list(Path("/dev").glob("nvidia[0-9]*")))


def on_gpu(device: str | None) -> bool:
    """Whether a device is a GPU.

    Args:
        device: As `Devices` has it; None and "auto" are one where there is one.
    """
    if device in (None, "auto"):
        return nvidia_gpus() > 0
    return device != "cpu"
