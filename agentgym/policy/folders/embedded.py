"""The small model that comes with the package."""

from __future__ import annotations

from pathlib import Path


def embedded_path() -> Path:
    """The folder of the small model that comes with the package."""
    return Path(__file__).parents[1] / "embedded"


def is_embedded(folder: Path) -> bool:
    """Whether a folder is that of the small model, which is ours."""
    return folder.resolve() == embedded_path().resolve()
