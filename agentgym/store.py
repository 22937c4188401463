"""The files a run leaves: `.agentgym/runs/<id>/`."""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from agentgym.episode import Episode

FORMAT = 1


class RunStore:
    """Writes a run's episodes as they finish, and its summary at the end.

    A folder that cannot be written or a full disk never stops a run: the store then
    closes, and `warning` says so.

    Attributes:
        id: UTC time and a few random digits.
        folder: The run's folder.
        warning: One sentence if something could not be stored.
    """

    def __init__(self, root: Path) -> None:
        self.id = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(2)}"
        self.folder = root / ".agentgym" / "runs" / self.id
        self.warning: str | None = None
        self._file: int | None = None
        try:
            self.folder.mkdir(parents=True)
            ignore = root / ".agentgym" / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n")
            self._file = os.open(
                self.episodes_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644
            )
        except OSError as exc:
            self._give_up(exc)

    @property
    def episodes_path(self) -> Path:
        """One JSON line per episode."""
        return self.folder / "episodes.jsonl"

    def append(self, lines: Iterable[str]) -> None:
        """Adds episodes, each flushed to the system at once."""
        for line in lines:
            if self._file is None:
                return
            self._write_line(self._file, line)

    def write_summary(self, summary: dict[str, Any]) -> None:
        """Writes `summary.json`, atomically."""
        if self._file is None:
            return
        try:
            write_json(self.folder / "summary.json", summary)
        except OSError as exc:
            self._give_up(exc)

    def close(self) -> None:
        """Closes the files."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _write_line(self, file: int, line: str) -> None:
        data = line.encode() + b"\n"
        size = os.fstat(file).st_size
        try:
            written = os.write(file, data)
            while written < len(data):
                written += os.write(file, data[written:])
        except OSError as exc:
            # Half a line would make the file unreadable to others.
            os.ftruncate(file, size)
            self._give_up(exc)

    def _give_up(self, exc: OSError) -> None:
        self.close()
        self.warning = (
            f"the run is not stored in {self.folder}: {exc.strerror or exc}; make room "
            "there or run from a folder that can be written"
        )


def write_json(path: Path, data: dict[str, Any]) -> None:
    """Writes a JSON file so that a reader never sees half of it.

    Raises:
        OSError: It cannot be written.
    """
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(json.dumps(data, indent=2) + "\n")
    partial.replace(path)


def read_episodes(path: Path) -> tuple[list[Episode], str | None]:
    """Reads `episodes.jsonl`.

    Returns:
        The episodes, and a sentence if the last line is cut (a run that was killed).
    """
    episodes: list[Episode] = []
    lines = path.read_text().splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            episodes.append(Episode.from_json(json.loads(line)))
        except (ValueError, KeyError):
            if number < len(lines):
                raise
            return episodes, f"{path}: line {number} is cut and was left out"
    return episodes, None
