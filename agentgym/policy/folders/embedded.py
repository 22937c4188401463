"""The small model that comes with the package."""

from __future__ import annotations

from pathlib import Path


def embedded_path() -> Path:
    """The folder of the small model that comes with the package."""
    return Path(__file__).parents[1] / "embedded"
