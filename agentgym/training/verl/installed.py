"""Whether verl can train here: what is installed, and what is there to train on."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import metadata

from agentgym.errors import UsageError
from agentgym.policy.engine.devices import nvidia_gpus

WANTED = {"agentlightning": "1.0", "verl": "0.8", "vllm": "0.20.2", "ray": "2"}
"""Versions that fit together, or how they begin: those that Agent Lightning 1.0.2's own
set-up script installs."""
_NUMPY = "2"
"""vLLM 0.20.2 needs it, though verl's own metadata asks for an older one."""


def check_installed_for_verl(*, gpu: bool = True) -> None:
    """Checks that verl can train in this environment.

    Args:
        gpu: Whether this machine must have one: with a Ray cluster others have them.

    Raises:
        UsageError: It cannot; says all that lacks.
    """
    problems = list(what_lacks(gpu=gpu))
    if problems:
        raise UsageError(f"--agentgym-trainer verl: {'; '.join(problems)}")


def what_lacks(*, gpu: bool = True) -> Iterator[str]:
    """What keeps verl from training here, a clause each.

    Args:
        gpu: Whether this machine must have one.
    """
    if sys.platform != "linux":
        yield f"vLLM and Ray train on Linux, and this is {sys.platform}"
    for name, wanted in WANTED.items():
        found = installed(name)
        if found is None:
            yield f"{name} is not installed, and {name} {wanted} is needed"
        elif not _fits(found, wanted):
            yield f"{name} {found} is installed, and {wanted} is needed"
    numpy = installed("numpy")
    if numpy is not None and not _fits(numpy, _NUMPY):
        yield (
            f"numpy {numpy} is installed, and vLLM 0.20.2 needs numpy {_NUMPY}: "
            "override verl's own numpy<2 when you install it"
        )
    if gpu and not nvidia_gpus():
        yield "there is no NVIDIA GPU with CUDA on this machine"


def installed(name: str) -> str | None:
    """The version of a distribution; None without it."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _fits(found: str, wanted: str) -> bool:
    parts = wanted.split(".")
    return found.partition("+")[0].split(".")[: len(parts)] == parts
