"""A measurement, and a training's, whose episodes runners elsewhere play."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("agentlightning")

from tests.cluster_project import worker, write_project

pytestmark = pytest.mark.slow
PATIENT = 300
KEY = "our-own-key"


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


@contextmanager
def main_process(
    project: Path, *options: str
) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """The process that measures, and where its runners find it."""
    port = free_port()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "pytest", "--agentgym", "-p", "no:randomly"),
            f"--agentgym-listen=127.0.0.1:{port}",
            *options,
        ],
        cwd=project,
        env={**os.environ, "AGL_KEY": KEY, "COLUMNS": "100"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    where = {"AGENTGYM_GATEWAY": f"http://127.0.0.1:{port}", "AGL_KEY": KEY}
    try:
        yield process, where
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def stored(project: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The summary and the episodes of the project's only run."""
    (run,) = project.glob(".agentgym/runs/2*")
    lines = (run / "episodes.jsonl").read_text().splitlines()
    summary = json.loads((run / "summary.json").read_text())
    return summary, [json.loads(line) for line in lines]


def test_many_runners_end_in_one_verdict(tmp_path):
    project = write_project(tmp_path / "project")
    elsewhere = write_project(tmp_path / "elsewhere")
    options = ("--agentgym-episodes=40", "--agentgym-seed=7", "--agentgym-stop=fixed")
    with (
        main_process(project, *options, "-k", "not has_no_world") as (main, where),
        worker(elsewhere, None, where) as one,
        worker(elsewhere, None, where) as two,
    ):
        said, _ = main.communicate(timeout=PATIENT)
        ends = [runner.communicate(timeout=PATIENT)[0] for runner in (one, two)]
    assert main.returncode == 1, said
    summary, episodes = stored(project)
    assert Counter(
        (each["scenario"].rpartition("_")[0], each["outcome"]) for each in episodes
    ) == {
        ("test_it.py::test_half", "passed"): 20,
        ("test_it.py::test_half", "failed"): 20,
        ("test_it.py::test_never", "failed"): 40,
    }
    assert len({each["id"] for each in episodes}) == 80
    assert sum(summary["episodes"].values()) == 80
    # Both have played, and the cases are those of this run's seed.
    assert all("played 0 rollouts" not in text.splitlines()[-1] for text in ends)
    again = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "--agentgym", "-q", *options),
            *("-k", "never_passes", "--agentgym-policy=embedded"),
        ],
        cwd=elsewhere,
        capture_output=True,
        text=True,
    )
    assert again.returncode == 1, again.stdout
    _, here = stored(elsewhere)
    never = "test_it.py::test_never_passes"
    cases = {e["case"]["seed"] for e in episodes if e["scenario"] == never}
    assert cases == {e["case"]["seed"] for e in here}


def pids(episodes: list[dict[str, Any]]) -> Counter[int]:
    """How many episodes each process has played."""
    return Counter(int(each["output"].split()[0]) for each in episodes)


SLOW = """
import os, time
from agentgym import scenario


@scenario
def test_waits(agent, case):
    print(os.getpid())
    time.sleep(0.2)
    assert case.index % 2
"""
CONFTEST = """
import pytest


@pytest.fixture
def agent():
    return lambda message: "done"
"""


def slow_project(folder: Path) -> Path:
    folder.mkdir()
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_it.py").write_text(SLOW)
    return folder


def test_what_a_lost_runner_played_is_played_by_another(tmp_path):
    project = slow_project(tmp_path / "project")
    elsewhere = slow_project(tmp_path / "elsewhere")
    options = ("--agentgym-episodes=200", "--agentgym-stop=fixed")
    few = {"AGENTGYM_IN_FLIGHT": "4"}
    with (
        main_process(project, *options) as (main, where),
        worker(elsewhere, None, {**where, **few}) as lost,
        worker(elsewhere, None, {**where, **few}) as other,
    ):
        runs = project / ".agentgym/runs"
        end = time.monotonic() + PATIENT
        while not any(str(lost.pid) in path.read_text() for path in runs.glob("*/e*")):
            assert time.monotonic() < end
            time.sleep(0.1)
        lost.kill()
        said, _ = main.communicate(timeout=PATIENT)
        other.communicate(timeout=PATIENT)
    assert main.returncode == 1, said
    _, episodes = stored(project)
    assert sorted(each["index"] for each in episodes) == list(range(200))
    assert {each["outcome"] for each in episodes} == {"passed", "failed"}
    assert pids(episodes)[lost.pid]
    assert pids(episodes)[other.pid]


def test_no_further_episode_is_begun_when_the_verdict_is_certain(tmp_path):
    project = slow_project(tmp_path / "project")
    options = ("--agentgym-episodes=5000", "--agentgym-stop=sequential")
    with (
        main_process(project, *options) as (main, where),
        worker(project, None, where) as runner,
    ):
        said, _ = main.communicate(timeout=PATIENT)
        runner.communicate(timeout=PATIENT)
    assert main.returncode == 1, said
    summary, episodes = stored(project)
    assert 10 < len(episodes) < 1000
    assert sum(summary["episodes"].values()) == len(episodes), summary["episodes"]


def test_ctrl_c_keeps_what_has_come(tmp_path):
    project = slow_project(tmp_path / "project")
    with (
        main_process(project, "--agentgym-episodes=5000") as (main, where),
        worker(project, None, where) as runner,
    ):
        end = time.monotonic() + PATIENT
        while not any(project.glob(".agentgym/runs/2*/episodes.jsonl")):
            assert time.monotonic() < end
            time.sleep(0.1)
        time.sleep(2)
        main.send_signal(signal.SIGINT)
        said, _ = main.communicate(timeout=PATIENT)
        runner.communicate(timeout=PATIENT)
    assert main.returncode == 2, said
    summary, episodes = stored(project)
    assert f"INTERRUPTED: {len(episodes)} of 5000 episodes were played" in said
    assert sum(summary["episodes"].values()) == len(episodes) > 0
    assert "Traceback" not in said


def test_a_training_stores_what_is_played_elsewhere(tmp_path):
    project = write_project(tmp_path / "project")
    scenario = project / "test_it.py"
    scenario.write_text(
        scenario.read_text()
        .replace("import random", "import os, random")
        .replace("held_out = case", "print(os.getpid())\n    held_out = case")
    )
    settings = {"groups": 4, "group_size": 4, "updates": 1, "target": 1.0}
    (project / "few.json").write_text(json.dumps(settings))
    options = ("--train", "--agentgym-train-config=few.json", "--agentgym-episodes=24")
    for more in ((), ("-n1",)):
        with (
            main_process(project, *options, "-k", "half_passes", *more) as (main, at),
            worker(project, None, at) as runner,
        ):
            said, _ = main.communicate(timeout=PATIENT)
            ended, _ = runner.communicate(timeout=PATIENT)
        assert main.returncode == 1, said
        assert "before: 50.0 % (12/24 episodes)" in said
        run = max(project.glob(".agentgym/runs/2*"))
        lines = (run / "episodes.jsonl").read_text().splitlines()
        episodes = [json.loads(line) for line in lines]
        phases = Counter(each["phase"] for each in episodes)
        assert phases["before"] == phases["after"] == 24
        assert phases["train"] >= 16
        there = pids(episodes)[runner.pid]
        assert f"played {there} rollouts" in ended
        assert there > 0


@pytest.mark.parametrize(
    ("options", "key", "sentence"),
    [
        (("-n2",), KEY, "-n has no place beside --agentgym-listen"),
        (("--pdb",), KEY, "--pdb has no place beside --agentgym-listen"),
        ((), "", "set AGL_KEY, here and for the runners"),
        (("--agentgym-listen=0.0.0.0:1",), KEY, "give the address by which other"),
        (("--agentgym-listen=192.0.2.1:8080",), KEY, "cannot listen on 192.0.2.1:8080"),
    ],
)
def test_mistakes_are_told_before_anything_is_played(tmp_path, options, key, sentence):
    project = slow_project(tmp_path / "project")
    command = [sys.executable, "-m", "pytest", "--agentgym"]
    command += [f"--agentgym-listen=127.0.0.1:{free_port()}", *options]
    ended = subprocess.run(
        command,
        cwd=project,
        env={**os.environ, "AGL_KEY": key},
        capture_output=True,
        text=True,
    )
    said = ended.stdout + ended.stderr
    assert ended.returncode == 4, said
    assert sentence in said
    assert "Traceback" not in said
