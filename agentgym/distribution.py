"""The name to install this package by, which is not the name to import it by."""

from __future__ import annotations

__version__ = "0.1.0"
DISTRIBUTION = "pytest-agentgym"
"""On the package index `agentgym` is somebody else's."""


def install_command(*extras: str) -> str:
    """What to type to install this package: `pip install 'pytest-agentgym[judge]'`.

    Args:
        extras: Names of the extras that are needed.
    """
    wanted = f"[{','.join(extras)}]" if extras else ""
    return f"pip install '{DISTRIBUTION}{wanted}'"
