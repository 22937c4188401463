"""Reads `updates.jsonl`: what a training reported of its policy updates."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

UPDATES_FILE = "updates.jsonl"
_RENAMED = {
    "gap": "mismatch",
    "mean_gap": "mean_mismatch",
    "dull_groups": "zero_variance_groups",
}
"""Keys that runs of before have, and what they are called now."""


def read_updates(folder: Path) -> Iterator[dict[str, Any]]:
    """The updates of a run, in order; a line that was cut off is left out.

    Args:
        folder: The run's folder.
    """
    path = folder / UPDATES_FILE
    if not path.is_file():
        return
    text = path.read_text(encoding="utf-8", errors="replace")
    for line in text.splitlines():
        try:
            row: Any = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            yield {_RENAMED.get(str(name), str(name)): row[name] for name in row}
