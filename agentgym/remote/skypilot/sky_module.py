"""SkyPilot itself, which is imported when it is needed; and what it says, in short."""

from __future__ import annotations

import re
from importlib import metadata
from typing import Any

from agentgym.distribution import install_command
from agentgym.errors import UsageError

_OLDEST = (0, 14)
_ESCAPES = re.compile("\x1b\\[[0-9;]*m")
_CLOUDS = (
    "what this machine has no credentials for cannot be rented: `sky check` says what "
    "is missing"
)


def sky_module() -> Any:
    """Imports SkyPilot.

    Raises:
        UsageError: It is missing, or too old.
    """
    try:
        version = metadata.version("skypilot")
        import sky
    except ImportError as error:
        raise UsageError(
            f"renting a machine needs SkyPilot ({error}): run "
            f"{install_command('skypilot')}, and what SkyPilot needs for the cloud, as "
            "pip install 'skypilot[runpod]'"
        ) from error
    numbers = tuple(map(int, re.findall(r"\d+", version)[:2]))
    # Nightly versions are counted from 1.0.0.dev.
    if numbers < _OLDEST:
        oldest = ".".join(map(str, _OLDEST))
        raise UsageError(
            f"SkyPilot {version} is too old: {oldest} or newer is needed, pip install "
            f"-U 'skypilot>={oldest}'"
        )
    return sky


def in_short(error: Exception) -> UsageError:
    """What SkyPilot complains of, as one sentence.

    Args:
        error: Of whatever class: they are many, and not all its own.
    """
    text = " ".join(_ESCAPES.sub("", str(error)).split())
    name = type(error).__name__
    if name == "NoCloudAccessError" or "sky check" in text:
        return UsageError(f"SkyPilot has no cloud to use ({text}): {_CLOUDS}")
    if name == "ResourcesUnavailableError":
        return UsageError(f"SkyPilot has no such machine: {text}")
    return UsageError(f"SkyPilot: {text or name}")
