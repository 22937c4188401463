"""`tmp_path` for episodes: pytest's own fixture is made once per item."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import pytest
from _pytest import tmpdir

TMP_PATH = getattr(tmpdir.tmp_path, "_fixture_function", None)
"""The function behind pytest's `tmp_path`."""

_lock = threading.Lock()
"""Of the whole process: `tmp_path_factory` numbers folders for all items."""
_FOLDER = pytest.StashKey[Path]()


def episode_folder(item: pytest.Function, index: int) -> Path:
    """Makes the temporary folder of one episode, also when it is tried again.

    Args:
        item: The scenario; its first episode makes the folder of them all.
        index: Number of the episode.
    """
    with _lock:
        folder = item.stash.get(_FOLDER, None)
        if folder is None:
            factory = item._request.getfixturevalue("tmp_path_factory")
            name = re.sub(r"\W", "_", item.name)[:30]
            folder = item.stash[_FOLDER] = factory.mktemp(name, numbered=True)
    attempt, path = 1, folder / str(index)
    while path.exists():
        attempt += 1
        path = folder / f"{index}-{attempt}"
    path.mkdir()
    return path
