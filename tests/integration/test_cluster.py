"""Agent Lightning's own controller plays scenarios: the seam for clusters."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("agentlightning")

import httpx

from agentgym.cluster.rollout import ENV_MAP
from agentgym.policy.folders.embedded import embedded_path
from agentgym.policy.server.process import PolicyProcess
from agentgym.training.hub.gateway import Gateway
from tests.cluster_project import CONFTEST

pytestmark = pytest.mark.slow

SCENARIOS = """
from agentgym import scenario


@scenario
def test_replies(agent):
    assert isinstance(agent.run("hello").reply, str)


@scenario
def test_speaks_in_tongues(agent):
    assert "xenoglossy" in agent.run("hello").reply


@scenario
def test_has_no_world(agent, broken):
    assert agent.run("hello").reply
"""
WANTED = {
    "test_replies": ("succeeded", 1.0),
    "test_speaks_in_tongues": ("succeeded", 0.0),
    "test_has_no_world": ("failed", None),
}


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Gateway]:
    hub = Gateway.start()
    with PolicyProcess.start(embedded_path(), log=tmp_path / "policy.log") as policy:
        hub.publish(policy.endpoint, policy.endpoint.model, 3)
        yield hub
    hub.close()


@pytest.fixture
def controller(hub: Gateway, tmp_path: Path) -> Iterator[Path]:
    """Agent Lightning's controller, at home in a user's project."""
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_it.py").write_text(SCENARIOS)
    command = [sys.executable, "-m", "agentlightning.controller", "runner_type=local"]
    command += [f"agl_server.url={hub.url}", f"agl_server.key={hub.key}"]
    command += ["local_runner.poll_interval=0.2", "local_runner.maximum_size=2"]
    log = tmp_path / "controller.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command, cwd=tmp_path, stdout=stream, stderr=subprocess.STDOUT
        )
        try:
            yield log
        finally:
            process.terminate()
            process.wait(30)


def rollout(name: str) -> dict[str, Any]:
    local = {"agent_class": "agentgym.runner:Episode", "env_map": ENV_MAP}
    played = {"scenario": f"test_it.py::{name}", "split": "train", "case": 7}
    return {"rollout_id": name, "input": played, "config": {"local": local}}


def test_the_controller_plays_scenarios(hub, controller):
    with httpx.Client(
        base_url=f"{hub.url}/api", headers={"Authorization": f"Bearer {hub.key}"}
    ) as api:
        queued = api.post("/rollouts", json=[rollout(name) for name in WANTED])
        assert queued.status_code == 201, queued.text
        end = time.monotonic() + 240
        found: dict[str, Any] = {}
        while len(found) < len(WANTED):
            assert time.monotonic() < end, controller.read_text()
            time.sleep(0.2)
            for name in WANTED:
                status = api.get(f"/rollouts/{name}").json()["rollout"]["status"]
                if status["state"] in ("succeeded", "failed"):
                    found[name] = status
        for name, (state, value) in WANTED.items():
            assert found[name]["state"] == state, controller.read_text()
            # As Agent Lightning's trainer asks for them.
            path = f"/rollouts/{name}/events"
            events = api.get(path, params={"format": "triplet"}).json()
            rewards = [e["data"] for e in events if e["event_type"] == "reward"]
            assert [r["value"] for r in rewards] == ([] if value is None else [value])
            if value is not None:
                [call] = [e["data"] for e in events if e["event_type"] != "reward"]
                sampled = call["response_token_ids"]
                assert sampled
                assert call["prompt_token_ids"]
                assert len(call["response_log_probs"]) == len(sampled)
