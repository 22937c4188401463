"""Rollouts under Agent Lightning's controller, and a cluster of runners on one machine.

    python benchmarks/cluster.py [controller] [runners] [memory]

`controller`: 100 rollouts, 2 and 8 at a time, each in a process of its own: CPU seconds
each, how many were lost, and how many came to a wrong end. `runners`: a measurement of
episodes that wait for 0.2 s, 16 in flight in each of 1, 2, 4 and 8 runners that stay:
episodes a second, and what CPU the process with the gateway and the runners took.
`memory`: of that process in a measurement of 20,000 episodes, a value for each tenth.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import httpx
from long_runs import Lines, show, watched

from agentgym.cluster.rollout import ENV_MAP
from agentgym.policy.server.process import PolicyProcess
from agentgym.training.hub.gateway import Gateway
from tests.cluster_project import CONFTEST, worker
from tests.tiny_policy import make_tiny

KEY = "a key for these minutes"
ROLLOUTS = 100
ASKS = """
from agentgym import scenario


@scenario
def test_asks(agent, case):
    assert isinstance(agent.run("hello").reply, str)
    assert case.index % 2
"""
WAITS = """
import time

import agentgym
import pytest
from agentgym import scenario, tool


@tool
def lookup_order(order_id: str) -> dict:
    time.sleep(0.2)
    return {"id": order_id, "status": "shipped", "depot": "Harbour " * 20}


@pytest.fixture
def agent():
    return agentgym.wrap(lambda message: lookup_order(order_id=message)["depot"])


@scenario
def test_waits(agent, case):
    run = agent.run(f"A{case.index}")
    assert run.called("lookup_order", order_id=f"A{case.index}")
    assert case.index % 2
"""


def cpu_of(pid: int) -> float:
    """CPU seconds of a process and of its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def of_controller(at_a_time: int) -> None:
    """Plays rollouts by Agent Lightning's controller.

    Args:
        at_a_time: Processes that it has at a time.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "conftest.py").write_text(CONFTEST)
        (folder / "test_it.py").write_text(ASKS)
        policy = stack.enter_context(
            PolicyProcess.start(make_tiny(folder / "tiny"), log=folder / "policy.log")
        )
        gateway = Gateway.start()
        stack.callback(gateway.close)
        gateway.publish(policy.endpoint, policy.endpoint.model, 0)
        command = [sys.executable, "-m", "agentlightning.controller"]
        command += ["runner_type=local", f"agl_server.url={gateway.url}"]
        command += [f"agl_server.key={gateway.key}", "local_runner.poll_interval=0.2"]
        command += [f"local_runner.maximum_size={at_a_time}"]
        log = stack.enter_context((folder / "controller.log").open("wb"))
        controller = subprocess.Popen(
            command, cwd=folder, stdout=log, stderr=subprocess.STDOUT
        )
        stack.callback(controller.wait)
        stack.callback(controller.terminate)
        key = {"Authorization": f"Bearer {gateway.key}"}
        api = stack.enter_context(
            httpx.Client(base_url=f"{gateway.url}/api", headers=key, trust_env=False)
        )
        local = {"agent_class": "agentgym.runner:Episode", "env_map": ENV_MAP}
        played = {"scenario": "test_it.py::test_asks", "split": "train"}
        queued = [
            {
                "rollout_id": f"r{index}",
                "input": {**played, "case": index},
                "config": {"local": local},
            }
            for index in range(ROLLOUTS)
        ]
        begun = time.perf_counter()
        api.post("/rollouts", json=queued).raise_for_status()
        ended: dict[str, str] = {}
        while len(ended) < ROLLOUTS:
            time.sleep(1)
            for each in queued:
                name = str(each["rollout_id"])
                if name not in ended:
                    about = api.get(f"/rollouts/{name}").json()["rollout"]["status"]
                    if about["state"] in ("succeeded", "failed"):
                        ended[name] = about["state"]
        wall = time.perf_counter() - begun
        wrong = 0
        for index in range(ROLLOUTS):
            events = api.get(f"/rollouts/r{index}/events").json()
            rewards = [
                event["data"]["value"]
                for event in events
                if event["event_type"] == "reward"
            ]
            # Half of the checks pass: the reply's, and every second time the other.
            wrong += rewards != [1.0 if index % 2 else 0.5]
        print(
            f"controller, {at_a_time} at a time: {wall / ROLLOUTS:.2f} s and "
            f"{cpu_of(controller.pid) / ROLLOUTS:.2f} CPU seconds each; "
            f"{Counter(ended.values())['failed']} lost, {wrong} wrong",
            flush=True,
        )


def free_port() -> int:
    """A port that nothing listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def measured(
    folder: Path, episodes: int, runners: int
) -> tuple[list[tuple[int, float]], float, float]:
    """A measurement by runners that stay.

    Args:
        folder: An empty one.
        episodes: How many.
        runners: Processes that play, 16 episodes at a time.

    Returns:
        How far it was and its memory, each second; CPU seconds of the runners; and
        seconds from the first to the last episode.
    """
    (folder / "test_it.py").write_text(WAITS)
    port = free_port()
    os.environ["AGL_KEY"] = KEY
    where = {"AGENTGYM_GATEWAY": f"http://127.0.0.1:{port}", "AGL_KEY": KEY}
    command = [sys.executable, "-m", "pytest", "-p", "agentgym", "--agentgym"]
    command += [f"--agentgym-listen=127.0.0.1:{port}"]
    command += [f"--agentgym-episodes={episodes}"]
    first = [0.0]
    lines = Lines(folder, "episodes.jsonl")
    cpu: dict[int, float] = {}
    with ExitStack() as stack:
        started = [
            stack.enter_context(worker(folder, None, where)) for _ in range(runners)
        ]

        def done() -> int:
            count = lines()
            if count and not first[0]:
                first[0] = time.perf_counter()
            for each in started:
                if each.poll() is None:
                    cpu[each.pid] = cpu_of(each.pid)
            return count

        seen = watched(command, folder, done)
        took = time.perf_counter() - first[0]
    return seen, sum(cpu.values()), took


def of_runners() -> None:
    """Plays the same by more and more runners."""
    for runners in (1, 2, 4, 8):
        with tempfile.TemporaryDirectory() as name:
            before = os.times()
            episodes = 1500 * runners
            _, theirs, took = measured(Path(name), episodes, runners)
            after = os.times()
            children = (
                after.children_user
                + after.children_system
                - before.children_user
                - before.children_system
            )
            # The runners are waited for, too: they are among the children.
            main = max(0.0, children - theirs)
            print(
                f"{runners} runners: {episodes / took:.0f} episodes/s (at most "
                f"{80 * runners}); CPU per episode: {main / episodes * 1e3:.1f} ms "
                f"where the gateway is, {theirs / episodes * 1e3:.1f} ms in runners",
                flush=True,
            )


def main() -> None:
    """Prints what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parts = ["controller", "runners", "memory"]
    parser.add_argument("what", nargs="*", default=parts)
    parser.add_argument("--episodes", type=int, default=20_000, help="of memory")
    options = parser.parse_args()
    if "controller" in options.what:
        for at_a_time in (2, 8):
            of_controller(at_a_time)
    if "runners" in options.what:
        of_runners()
    if "memory" in options.what:
        with tempfile.TemporaryDirectory() as name:
            begun = time.perf_counter()
            seen, _, _ = measured(Path(name), options.episodes, 4)
            show("episodes elsewhere", seen, time.perf_counter() - begun)


if __name__ == "__main__":
    main()
