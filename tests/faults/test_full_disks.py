"""A disk that is full, or fills while a run goes on."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentgym.runs.files.store import read_episodes
from tests.faults.killing import Killing
from tests.faults.small_disk import fill, small_disk

TALKATIVE = """
import pytest

@pytest.fixture
def agent():
    def reply(message):
        print("word " * 2000)
        return message

    return reply
"""
SCENARIO = """
from agentgym import scenario

@scenario(episodes=200)
def test_it(agent):
    assert agent.run("hello").reply == "hello"
"""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", 2_000_000) as path:
        yield path


@pytest.fixture
def project(disk: Path) -> Killing:
    made = Killing(disk)
    made.write("conftest.py", TALKATIVE)
    made.write("test_it.py", SCENARIO)
    return made


def check_report(code: int, output: str) -> None:
    """The run is told whole, and no error of ours or pytest's."""
    assert code == 0, output
    assert "reliability 100.0 % (200/200 episodes" in output
    assert "Traceback" not in output
    assert "INTERNALERROR" not in output


@pytest.mark.slow
@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["main", "n2"])
def test_it_fills_while_episodes_are_played(
    project: Killing, workers: tuple[str, ...]
) -> None:
    # One that filled up before the report would cost more than the files.
    filler = fill(project.root, left=600_000)
    code, output = project.run(*workers)
    check_report(code, output)
    (run,) = project.runs
    episodes, cut = read_episodes(run / "episodes.jsonl")
    assert cut is None
    assert 10 < len(episodes) < 200
    said = f"only the first {len(episodes)} episodes are stored in {run}: No space left"
    assert said in " ".join(output.split())
    more = "the report is complete all the same; free some space there"
    assert more in " ".join(output.split())
    assert not list(project.root.rglob("*.partial"))
    filler.unlink()
    (run / "episodes.jsonl").unlink()
    code, output = project.run("--agentgym-episodes=20")
    assert code == 0, output
    assert "No space left" not in output
    assert (project.runs[-1] / "summary.json").exists()


@pytest.mark.slow
def test_it_is_full_from_the_start(project: Killing) -> None:
    fill(project.root)
    code, output = project.run()
    check_report(code, output)
    said = " ".join(output.split())
    assert "nothing is stored in " in said
    assert "free some space there" in said


def test_there_is_no_room_for_temporary_files(
    gym: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/tmp/x")

    monkeypatch.setattr("pytest_agentgym.play.shared_folder.HeldFolder", full)
    result = gym.run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    said = " ".join(result.stderr.str().split())
    assert said == (
        "ERROR: a run needs a temporary folder, and none can be made (/tmp/x: No space "
        "left on device); make room, or name another place in TMPDIR"
    )
