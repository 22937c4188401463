"""The metrics of each update: `updates.jsonl`, and TensorBoard if installed."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any


class Journal:
    """Writes one line per update as soon as it is made.

    Args:
        folder: The run's folder.
        updates: Updates that are done; later lines, of an update that was interrupted
            before it was saved, are removed.
    """

    def __init__(self, folder: Path, updates: int = 0) -> None:
        self._path = folder / "updates.jsonl"
        if self._path.exists():
            lines = self._path.read_text(encoding="utf-8").splitlines()
            kept = [f"{line}\n" for line in lines if _number(line) <= updates]
            part = self._path.with_name(f"updates.{os.getpid()}.partial")
            part.write_text("".join(kept), encoding="utf-8")
            part.replace(self._path)
        self._board = _board(folder / "tensorboard", updates + 1)

    def write(self, row: dict[str, Any]) -> None:
        """Adds an update."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        if self._board is None:
            return
        for name, value in row.items():
            if isinstance(value, int | float) and name != "update":
                self._board.add_scalar(f"training/{name}", value, row["update"])
        self._board.flush()

    def close(self) -> None:
        """Closes TensorBoard's file."""
        if self._board is not None:
            self._board.close()


def _number(line: str) -> float:
    """Of the update that a line tells of; none for one that was cut off."""
    try:
        return int(json.loads(line)["update"])
    except (ValueError, KeyError, TypeError):
        return math.inf


def _board(folder: Path, first: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=first)
