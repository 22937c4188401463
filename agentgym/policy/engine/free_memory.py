"""How much memory a device has left."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

UNKNOWN = 1 << 40
"""Where nobody says: as if there were always enough."""
_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


def free_memory(device: Any) -> int:
    """Bytes that can still be taken on a device.

    Args:
        device: A `torch.device`.
    """
    if device.type == "cuda":
        import torch

        free, _ = torch.cuda.mem_get_info(device)
        # What torch holds for tensors that are no more, it uses again.
        reserved = torch.cuda.memory_reserved(device)
        return int(free + reserved - torch.cuda.memory_allocated(device))
    if device.type == "cpu":
        return min(_available(), _left_to_container())
    return UNKNOWN


def _available() -> int:
    with contextlib.suppress(OSError, ValueError):
        for line in _MEMINFO.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return UNKNOWN


def _left_to_container() -> int:
    with contextlib.suppress(OSError, ValueError):
        limit = int((_CGROUP / "memory.max").read_text(encoding="ascii"))
        used = int((_CGROUP / "memory.current").read_text(encoding="ascii"))
        return max(limit - used, 0)
    return UNKNOWN
