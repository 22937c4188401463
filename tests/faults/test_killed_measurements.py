"""A measurement of which a process is killed: what had finished is kept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from agentgym.errors import UsageError
from tests.faults.killing import (
    EPISODES,
    NOTES,
    Killing,
    Left,
    Point,
    measuring,
)
from tests.policy_agent import policy_agent


def check(project: Killing, left: Left) -> None:
    """What holds after each kill."""
    assert left.missing == frozenset(), left.output
    assert left.running == (), left.output
    assert "INTERNALERROR" not in left.output


def abandoned(project: Killing) -> list[str]:
    """The temporary folders of ours that are left; pytest keeps some of its own."""
    return [path.name for path in project.temporary.glob("agentgym*")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("workers", "seed"), [((), 0), ((), 1), (("-n2",), 2)], ids=["0", "1", "n2"]
)
def test_the_main_process(tmp_path: Path, workers: tuple[str, ...], seed: int) -> None:
    project = measuring(tmp_path, *workers)
    left = project.kill(Point.drawn("main", seed, EPISODES))
    check(project, left)
    assert left.code == -9
    assert 0 < left.told <= left.stored
    (run,) = project.runs
    assert not (run / "summary.json").exists()
    code, output = project.run("--agentgym-episodes=2")
    assert code == 0, output
    said = "agentgym: the last run was killed before its report: what had finished is "
    assert f"{said}in .agentgym/runs/{run.name}/episodes.jsonl\n" in output
    assert abandoned(project) == []
    code, output = project.run("--agentgym-episodes=2")
    assert "was killed" not in output


@pytest.mark.slow
def test_a_worker(tmp_path: Path) -> None:
    project = measuring(tmp_path, "-n2")
    left = project.kill(Point.drawn("worker", 3, EPISODES // 2))
    check(project, left)
    assert left.code == 6, left.output
    assert "ended early: worker 'gw" in left.output
    (run,) = project.runs
    summary = json.loads((run / "summary.json").read_text())
    # Also what the worker had played that is dead now.
    assert sum(one["episodes"] for one in summary["scenarios"]) == left.stored
    assert abandoned(project) == []


ASKING = """
from agentgym import scenario


@scenario(episodes=24)
def test_it(agent):
    assert agent.run("hello").reply
"""


@pytest.mark.slow
def test_the_policy_server(tmp_path: Path) -> None:
    """It is started again where it was, and the episodes in flight are tried again."""
    from tests.tiny_policy import make_tiny

    model = make_tiny(tmp_path / "model")
    project = Killing(tmp_path, (f"--agentgym-policy={model}", "-n2"))
    told = NOTES + policy_agent("choice['message']['content'] or '-'", max_tokens=8)
    project.write("conftest.py", told)
    for name in "ab":
        project.write(f"test_{name}.py", ASKING.replace("test_it", f"test_{name}"))
    left = project.kill(Point(victim="server", after=5))
    check(project, left)
    assert left.code == 0, left.output
    assert left.stored == 48
    assert "the policy server died, and was started again 1 time" in left.output
    episodes = project.stored()
    assert {episode.outcome for episode in episodes} == {"passed"}
    assert max(episode.attempts for episode in episodes) > 1
    assert abandoned(project) == []


def test_a_policy_server_that_dies_again_and_again_is_given_up(tmp_path: Path) -> None:
    from agentgym.policy.server.process import RESTARTS, shared, starts_of

    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    endpoint = {"base_url": "http://127.0.0.1:9/v1", "api_key": "k", "model": "m"}
    note = {"endpoint": endpoint, "pid": dead.pid, "starts": RESTARTS + 1}
    (tmp_path / "policy.json").write_text(json.dumps(note))
    assert starts_of(tmp_path) == RESTARTS + 1
    with pytest.raises(UsageError, match=r"the policy server died 6 times; end what"):
        shared(tmp_path / "no model", tmp_path, exit_with=os.getpid())
