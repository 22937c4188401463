"""Runners on machines of their own, of which some are lost while they play."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("agentlightning")

from tests.cluster_project import CONFTEST
from tests.network import MAIN_ADDRESS, Machine, needs_namespaces, network

pytestmark = [pytest.mark.slow, needs_namespaces]
PATIENT = 540
WHERE = {"AGENTGYM_GATEWAY": f"http://{MAIN_ADDRESS}:8080", "AGL_KEY": "our-own-key"}
EPISODES = 240
SCENARIO = """
import os, random, time
from agentgym import scenario


@scenario
def test_waits(agent, case):
    print(os.environ["MACHINE"])
    assert isinstance(agent.run("hello").reply, str)
    time.sleep(0.3)
    held_out = case.split == "held_out"
    assert case.index % 2 if held_out else random.random() < 0.5
"""


def start(machine: Machine, project: Path, *command: str) -> subprocess.Popen[str]:
    """Starts a process on a machine."""
    few = {"MACHINE": machine.name, "AGENTGYM_IN_FLIGHT": "4", "COLUMNS": "100"}
    return subprocess.Popen(
        [*machine.prefix, sys.executable, "-m", *command],
        cwd=project,
        env={**os.environ, **WHERE, **few},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def played(project: Path) -> list[dict[str, Any]]:
    """The episodes that are stored so far."""
    paths = project.glob(".agentgym/runs/2*/episodes.jsonl")
    text = "".join(path.read_text() for path in paths)
    return [json.loads(line) for line in text.splitlines() if line.endswith("}")]


def by_machine(episodes: list[dict[str, Any]]) -> Counter[str]:
    return Counter(each["output"].split()[0] for each in episodes)


@pytest.mark.parametrize("trains", [False, True])
def test_a_lost_machine_and_a_lost_network_cost_no_episode(tmp_path, trains):
    project = tmp_path / "project"
    project.mkdir()
    (project / "conftest.py").write_text(CONFTEST)
    (project / "test_it.py").write_text(SCENARIO)
    settings = {"groups": 2, "group_size": 4, "updates": 1, "target": 1.0}
    (project / "few.json").write_text(json.dumps(settings))
    listen = WHERE["AGENTGYM_GATEWAY"].removeprefix("http://")
    measure = ["pytest", "--agentgym", f"--agentgym-listen={listen}"]
    measure += [f"--agentgym-episodes={EPISODES}"]
    if trains:
        # It plays itself, too.
        measure += ["--train", "--agentgym-train-config=few.json"]
        measure += ["--agentgym-concurrency=4"]
    with network(3) as (main, dies, cut, stays):
        process = start(main, project, *measure)
        runners = {
            machine.name: start(machine, project, "agentgym.cluster.worker")
            for machine in (dies, cut, stays)
        }
        end = time.monotonic() + PATIENT
        while len(by_machine(played(project)).keys() & runners.keys()) < 3:
            assert time.monotonic() < end
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.2)
        dies.kill()
        cut.plug(main, out=True)
        # A cable that is plugged in again at once has lost nothing.
        stays.plug(main, out=True)
        time.sleep(3)
        stays.plug(main, out=False)
        said, _ = process.communicate(timeout=PATIENT)
        ends = {name: runner.communicate()[0] for name, runner in runners.items()}
    assert process.returncode == 1, said
    before = [each for each in played(project) if each["phase"] in (None, "before")]
    assert Counter(each["outcome"] for each in before) == {
        "passed": EPISODES // 2,
        "failed": EPISODES // 2,
    }
    assert len({each["case"]["index"] for each in before}) == EPISODES
    assert by_machine(before)[stays.name] > 4
    assert runners[stays.name].returncode == 6, ends[stays.name]
    # The one without a cable has ended by itself.
    assert runners[cut.name].returncode in (6, -9), ends[cut.name]
