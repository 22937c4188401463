"""What a run depends on besides its options: the machine, and the project's code."""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
_NOT_OWN = frozenset({"site-packages", "dist-packages"})


def machine() -> str:
    """What numbers are computed on; others round them otherwise."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    parts = [
        f"{platform.system()} {platform.machine()}",
        _processor(),
        f"{cores or os.cpu_count()} cores",
        *(f"{name}={os.environ[name]}" for name in _THREADS if name in os.environ),
    ]
    return ", ".join(part for part in parts if part)


def _processor() -> str:
    with suppress(OSError):
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        for line in text.splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def code_of_project(root: Path) -> dict[str, str]:
    """The digests of the project's modules that this process has imported.

    Args:
        root: The project's folder.

    Returns:
        By the file's path from that folder.
    """
    below = f"{root}{os.sep}"
    files = {getattr(module, "__file__", None) for module in [*sys.modules.values()]}
    own = (file for file in files if isinstance(file, str) and file.startswith(below))
    return digests(root, map(Path, own))


def digests(root: Path, files: Iterable[Path]) -> dict[str, str]:
    """The SHA-256 of files of a project; what is not of it, or gone, is left out.

    Args:
        root: The project's folder.
        files: Absolute paths.
    """
    found = {}
    for file in files:
        with suppress(OSError, ValueError):
            name = file.relative_to(root)
            if not _NOT_OWN.intersection(name.parts):
                content = file.read_bytes()
                found[name.as_posix()] = hashlib.sha256(content).hexdigest()
    return dict(sorted(found.items()))
