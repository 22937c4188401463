"""Limits and environment of a process that plays one episode."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
from pathlib import Path

from agentgym.playing.secrets import secret_names
from agentgym.scenarios.process_limits import ProcessLimits

_MIB = 1024 * 1024
_PR_SET_PDEATHSIG = 1
_LINUX = ctypes.CDLL(None) if Path("/proc/self").exists() else None


def end_with_parent() -> None:
    """Has the kernel end this process with its parent, also a killed one; on Linux."""
    if _LINUX is not None:
        _LINUX.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def limit(limits: ProcessLimits) -> list[str]:
    """Limits this process for good.

    Args:
        limits: What it may use up from now on.

    Returns:
        The variables that its environment has no longer.
    """
    _lower(resource.RLIMIT_AS, _addresses() + limits.memory_mib * _MIB)
    # At the second number the kernel kills it without a word that says why.
    _lower(resource.RLIMIT_CPU, limits.cpu_seconds, limits.cpu_seconds + 5)
    _lower(resource.RLIMIT_FSIZE, limits.file_mib * _MIB)
    _lower(resource.RLIMIT_NOFILE, limits.open_files)
    _lower(resource.RLIMIT_CORE, 0)
    names = sorted(set(secret_names(os.environ)) - set(limits.environment))
    for name in names:
        del os.environ[name]
    return names


def _lower(kind: int, most: int, last: int | None = None) -> None:
    _, hard = resource.getrlimit(kind)
    known = [limit for limit in (last or most, hard) if limit != resource.RLIM_INFINITY]
    last = min(known)
    with contextlib.suppress(ValueError, OSError):  # macOS has its own minimum
        resource.setrlimit(kind, (min(most, last), last))


def _addresses() -> int:
    """Bytes of addresses that this process has; 0 where nobody says."""
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[0]
    except OSError:
        return 0
    return int(pages) * resource.getpagesize()
