from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agentgym.runs.files.held_folder import PREFIX, HeldFolder, remove_abandoned

HOLD = """
import sys, time
from pathlib import Path
from agentgym.runs.files.held_folder import HeldFolder

held = HeldFolder(Path(sys.argv[1]))
(held.path / "file").touch()
print(held.path, flush=True)
time.sleep(600)
"""


def test_it_goes_with_who_made_it(tmp_path: Path) -> None:
    with HeldFolder(tmp_path) as path:
        assert path.is_dir()
        assert path.name.startswith(PREFIX)
        (path / "inner").mkdir()
    assert list(tmp_path.iterdir()) == []


def test_it_may_have_become_something_else(tmp_path: Path) -> None:
    with HeldFolder(tmp_path) as path:
        path.rename(tmp_path / "kept")
    assert [each.name for each in tmp_path.iterdir()] == ["kept"]


def test_one_of_a_killed_process_goes_with_the_next(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        path = Path(process.stdout.readline().strip())
        with HeldFolder(tmp_path):
            assert path.is_dir(), "its process lives"
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert path.is_dir()
    with HeldFolder(tmp_path) as other:
        assert list(tmp_path.iterdir()) == [other]


def test_what_is_not_ours_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / f"{PREFIX}link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / f"{PREFIX}file").touch()
    (tmp_path / "other").mkdir()
    remove_abandoned(tmp_path, PREFIX)
    (tmp_path / f"{PREFIX}foreign").mkdir()
    uid = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: uid + 1)
    remove_abandoned(tmp_path, PREFIX)
    remove_abandoned(tmp_path / "nowhere", PREFIX)
    assert len(list(tmp_path.iterdir())) == 5
