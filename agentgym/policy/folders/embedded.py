"""The small model that comes with the package."""

from pathlib import Path


def embedded_path() -> Path:
    """The folder of the small model that comes with the package."""
    return Path(__file__).parents[1] / "embedded"
