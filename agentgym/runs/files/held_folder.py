"""Temporary folders that go with the process that made them, also if it is killed."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

PREFIX = "agentgym-run-"
"""What their names begin with in the system's folder for temporary files."""


class HeldFolder:
    """A folder that nobody removes as long as this process has it.

    The system lets go of it when the process ends, however it does. Those that killed
    ones have left are removed where the next one is made.

    Args:
        parent: Where it is made; by default where temporary files are.
        prefix: What its name begins with, and that of no other kind of folder there.

    Attributes:
        path: The folder.

    Raises:
        OSError: It cannot be made.
    """

    def __init__(self, parent: Path | None = None, prefix: str = PREFIX) -> None:
        parent = Path(tempfile.gettempdir()) if parent is None else parent
        remove_abandoned(parent, prefix)
        while True:
            self.path = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
            held = _open(self.path)
            # Whoever looks for abandoned ones may have come between.
            if held is not None and self.path.exists():
                self._held = held
                return
            if held is not None:
                os.close(held)

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Removes the folder."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._held)


def remove_abandoned(parent: Path, prefix: str) -> None:
    """Removes the folders of processes that were killed.

    Args:
        parent: Where they are.
        prefix: What their names begin with.
    """
    for path in _named(parent, prefix):
        held = _open(path)
        if held is not None:
            shutil.rmtree(path, ignore_errors=True)
            os.close(held)


def _named(parent: Path, prefix: str) -> list[Path]:
    """This user's folders of such names."""
    found: list[Path] = []
    with suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            with suppress(OSError):
                if (
                    entry.name.startswith(prefix)
                    and entry.is_dir(follow_symlinks=False)
                    and entry.stat(follow_symlinks=False).st_uid == os.geteuid()
                ):
                    found.append(Path(entry.path))
    return found


def _open(path: Path) -> int | None:
    """Holds a folder; None if another process does, or it is gone."""
    try:
        held = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    if take(held):
        return held
    os.close(held)
    return None


def take(handle: int) -> bool:
    """Holds a file or a folder until it is closed; False if another process does."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
