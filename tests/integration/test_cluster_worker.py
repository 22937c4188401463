"""A runner that stays plays what Agent Lightning's own trainer queues."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

pytest.importorskip("agentlightning")

from agentlightning.verl.agl_rollout_manager import AglRolloutManager

from agentgym.policy.folders.embedded import embedded_path
from agentgym.policy.server.process import PolicyProcess
from agentgym.training.hub.gateway import Gateway
from tests.cluster_project import agl_server, worker, write_project

pytestmark = pytest.mark.slow
PATIENT = 240


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    hub = Gateway.start()
    log = tmp_path_factory.mktemp("hub") / "policy.log"
    with PolicyProcess.start(embedded_path(), log=log) as policy:
        hub.publish(policy.endpoint, policy.endpoint.model, 0)
        yield hub
    hub.close()


def row(name: str, case: int = 7) -> dict[str, Any]:
    return {"scenario": f"test_it.py::{name}", "split": "train", "case": case}


def play(
    hub: Gateway,
    runner: subprocess.Popen[str],
    rows: list[dict[str, Any]],
    size: int = 1,
) -> list[Any]:
    """Has Agent Lightning's own manager play rows, `size` times each."""
    manager = AglRolloutManager(
        agl_base_url=hub.url,
        agl_key=hub.key,
        model="policy",
        step=1,
        train_rollout_n=size,
        poll_interval_seconds=0.2,
    )
    columns = {name: [each[name] for each in rows] for name in rows[0]}
    played: list[Any] = []

    def enqueue() -> None:
        with manager.client:
            played.extend(
                manager.enqueue_and_wait_until_completed(columns, is_train=True)
            )

    asking = threading.Thread(target=enqueue, daemon=True)
    asking.start()
    while asking.is_alive():
        asking.join(0.2)
        if runner.poll() is not None and asking.is_alive():
            asking.join(2)
            assert not asking.is_alive(), runner.communicate()[0]
    return played


def test_one_process_plays_many_and_ends_when_told(hub, tmp_path):
    project = write_project(tmp_path / "project")
    names = ("test_half_passes", "test_never_passes", "test_has_no_world")
    with worker(project, hub) as runner:
        played = play(hub, runner, [row(name) for name in names], size=4)
        runner.send_signal(signal.SIGTERM)
        said, _ = runner.communicate(timeout=PATIENT)
    assert runner.returncode == 0, said
    assert "played 12 rollouts: " in said
    assert "no database" in said
    states = Counter(
        (each.input["scenario"].partition("::")[2], each.rollout_state.value)
        for each in played
    )
    ends = ("succeeded", "succeeded", "failed")
    assert states == dict.fromkeys(zip(names, ends, strict=True), 4)
    for each in played:
        if each.rollout_state.value == "failed":
            assert each.final_reward is None
            assert "no database" in each.error_message
        else:
            assert each.triplets


def test_what_is_in_flight_is_finished(hub, tmp_path):
    project = write_project(tmp_path / "project")
    gate = project / "go"
    scenario = project / "test_it.py"
    waits = f"""
import pathlib, time
from agentgym import scenario


@scenario
def test_waits(agent):
    pathlib.Path({str(project / "begun")!r}).touch()
    while not pathlib.Path({str(gate)!r}).exists():
        time.sleep(0.05)
    assert isinstance(agent.run("hello").reply, str)
"""
    scenario.write_text(waits)
    played: list[Any] = []
    with worker(project, hub, {"AGENTGYM_IN_FLIGHT": "1"}) as runner:
        asked = threading.Thread(
            target=lambda: played.extend(play(hub, runner, [row("test_waits")]))
        )
        asked.start()
        end = time.monotonic() + PATIENT
        while not (project / "begun").exists():
            assert time.monotonic() < end
            assert runner.poll() is None
            time.sleep(0.05)
        runner.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        assert runner.poll() is None
        gate.touch()
        said, _ = runner.communicate(timeout=PATIENT)
        asked.join(PATIENT)
    assert runner.returncode == 0, said
    assert [each.final_reward for each in played] == [1.0]


def test_a_rollout_of_another_kind_fails_with_a_sentence(hub, tmp_path):
    project = write_project(tmp_path / "project")
    with worker(project, hub) as runner:
        [played] = play(hub, runner, [{"question": "six times seven?"}])
    assert played.final_reward is None
    assert "names no scenario, split and case" in played.error_message


@pytest.mark.parametrize(
    ("changed", "code", "sentence"),
    [
        ({"AGENTGYM_GATEWAY": ""}, 4, "AGENTGYM_GATEWAY is not in the environment"),
        ({"AGENTGYM_IN_FLIGHT": "x"}, 4, "AGENTGYM_IN_FLIGHT=x: give a whole number"),
        ({"AGL_KEY": "wrong"}, 4, "answers 401"),
        (
            {"AGENTGYM_GATEWAY": "http://127.0.0.1:9", "AGENTGYM_WAIT": "0"},
            6,
            "the training's hub at http://127.0.0.1:9 does not answer",
        ),
    ],
)
def test_mistakes_are_one_sentence(hub, tmp_path, changed, code, sentence):
    project = write_project(tmp_path / "project")
    with worker(project, hub, changed) as runner:
        said, _ = runner.communicate(timeout=PATIENT)
    assert runner.returncode == code, said
    assert sentence in said
    assert "Traceback" not in said


def test_a_gateway_that_goes_away_ends_it(tmp_path):
    project = write_project(tmp_path / "project")
    # In a process of its own: there is one gateway in each.
    with agl_server(tmp_path / "server.log") as (server, url, key):
        environment = {"AGENTGYM_GATEWAY": url, "AGL_KEY": key}
        authorized = {"Authorization": f"Bearer {key}"}
        with (
            worker(project, None, environment) as runner,
            httpx.Client(base_url=url, headers=authorized, trust_env=False) as api,
        ):
            path, state = "/api/rollouts", "queuing"
            queued = [{"input": {"question": "?"}, "rollout_id": "one"}]
            assert api.post(path, json=queued).status_code == 201
            end = time.monotonic() + PATIENT
            while state != "failed":
                assert time.monotonic() < end
                assert runner.poll() is None, runner.communicate()[0]
                time.sleep(0.1)
                state = api.get(f"{path}/one").json()["rollout"]["status"]["state"]
            server.kill()
            said, _ = runner.communicate(timeout=PATIENT)
    assert runner.returncode == 6, said
    assert "does not answer" in said
