"""What a shell that asks for completions gets, by argcomplete's own protocol."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("argcomplete")

STORED = Path(__file__).parents[1] / "earlier_runs"
RUNS = sorted(folder.name for folder in STORED.iterdir())


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(STORED, tmp_path / ".agentgym" / "runs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def completed(line: str, module: str = "agentgym.commands.main") -> list[str]:
    """What may stand at the end of a line."""
    answer = Path("answer")
    subprocess.run(
        [sys.executable, "-m", module],
        check=True,
        env={
            **os.environ,
            "_ARGCOMPLETE": "1",
            "_ARGCOMPLETE_IFS": "\n",
            "_ARGCOMPLETE_SUPPRESS_SPACE": "1",
            "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
            "COMP_LINE": line,
            "COMP_POINT": str(len(line)),
            "COMP_TYPE": "9",
        },
    )
    return answer.read_text().split("\n")


def test_commands_options_and_names(project: Path) -> None:
    assert completed("agentgym ru") == ["runs"]
    assert completed("agentgym runs delete --y") == ["--yes"]
    assert sorted(completed("agentgym runs delete latest 2026")) == RUNS
    assert "customer_support" in completed("agentgym scenarios show c")


def test_machines_to_launch_on(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(project))
    assert completed("agentgym launch --ssh g") == [""]
    (project / ".ssh").mkdir()
    settings = "Host gpu-box *.example !x\n  Port 22\n\nHOST=x\nhost gpu2\n"
    (project / ".ssh" / "config").write_text(settings)
    assert completed("agentgym launch --ssh g") == ["gpu-box", "gpu2"]
    assert completed("agentgym launch --cloud ru") == ["runpod"]


def test_a_folder_that_is_none_stops_nobody(project: Path) -> None:
    shutil.rmtree(project / ".agentgym")
    assert completed("agentgym report la") == ["latest"]
    assert completed("agentgym agents show s") == [""]


def test_pytest_has_its_options_completed(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_PLUGINS", "pytest_agentgym.plugin")
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    assert completed("pytest --agentgym-thr", "pytest") == ["--agentgym-threshold"]
