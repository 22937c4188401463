"""Memory of long runs: a measurement of many episodes, a training of many updates.

    python benchmarks/long_runs.py [--episodes 200000] [--updates 60]

Each is a pytest process of its own, as users start one. Every second its resident
memory is read, the policy server's and the workers' with it, and how far it is. What is
printed is the highest value of each tenth of the run: flat is what stays the same.
The measurement's agent has one tool call and a reply; the training is that of
`data_analysis` with the embedded policy, in updates of 32 episodes. Zero episodes or
updates leave one out.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

from episodes import megabytes_of_session

EPISODES = """
    import agentgym
    import pytest
    from agentgym import scenario, tool

    @tool
    def lookup_order(order_id: str) -> dict:
        return {{"id": order_id, "status": "shipped", "depot": "Harbour " * 20}}

    def desk(message):
        return lookup_order(order_id=message.split()[-1])["depot"]

    @pytest.fixture
    def agent():
        return agentgym.wrap(desk)

    @scenario(episodes={count})
    def test_order_is_found(agent, case):
        number = f"A{{case.seed % 10_000}}"
        run = agent.run(f"where is {{number}}")
        assert run.called("lookup_order", order_id=number)
        assert "Harbour" in run.reply
"""
PARTS = 10


def watched(
    command: list[str], folder: Path, done: Callable[[], int]
) -> list[tuple[int, float]]:
    """Starts a process and reads its memory until it ends.

    Args:
        command: What is started.
        folder: Where.
        done: How far it is.

    Returns:
        How far it was, and megabytes, for each second.
    """
    with (folder / "output.txt").open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            start_new_session=True,
        )
    seen = []
    while process.poll() is None:
        seen.append((done(), megabytes_of_session(process.pid)))
        time.sleep(1)
    if process.returncode not in (0, 1):
        raise SystemExit((folder / "output.txt").read_text())
    return seen


class Lines:
    """Counts the lines of a file that grows, each one once.

    Args:
        folder: Of the project whose only run has it.
        name: Of the file.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        self._count = self._read = 0

    def __call__(self) -> int:
        for path in self._folder.glob(f".agentgym/runs/2*/{self._name}"):
            with path.open("rb") as file:
                file.seek(self._read)
                while part := file.read(2**20):
                    self._count += part.count(b"\n")
                    self._read += len(part)
        return self._count


def show(name: str, seen: list[tuple[int, float]], took: float) -> None:
    """Prints the highest memory of each tenth of a run.

    Args:
        name: What was run.
        seen: What `watched` has returned.
        took: Seconds.
    """
    most = seen[-1][0]
    print(f"{name}: {most:,} in {took / 60:.1f} minutes", flush=True)
    for part in range(PARTS):
        low, high = most * part / PARTS, most * (part + 1) / PARTS
        values = [mb for done, mb in seen if low < done <= high]
        if values:
            print(f"  to {high:9,.0f}{max(values):8.0f} MB", flush=True)


def main() -> None:
    """Runs both."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--episodes", type=int, default=200_000)
    parser.add_argument("--updates", type=int, default=60)
    options = parser.parse_args()
    pytest = [sys.executable, "-m", "pytest", "-p", "agentgym", "--agentgym"]
    if options.episodes:
        with tempfile.TemporaryDirectory() as name:
            folder, begun = Path(name), time.perf_counter()
            source = textwrap.dedent(EPISODES).format(count=options.episodes)
            (folder / "test_it.py").write_text(source)
            seen = watched(pytest, folder, Lines(folder, "episodes.jsonl"))
            size = sum(
                path.stat().st_size
                for path in folder.glob(".agentgym/runs/2*/episodes.jsonl")
            )
            show("episodes", seen, time.perf_counter() - begun)
            print(f"  {size / 2**20:,.0f} MB of episodes on disk", flush=True)
    if options.updates:
        with tempfile.TemporaryDirectory() as name:
            folder, begun = Path(name), time.perf_counter()
            (folder / "few.json").write_text('{"groups": 8, "group_size": 4}')
            # No target ends it, and no time: it is after so many updates.
            command = [*pytest, "-p", "xdist", "-n2", "--train"]
            command += ["--agentgym-scenario=data_analysis", "--agentgym-target=1.0"]
            command += ["--agentgym-train-config=few.json", "--agentgym-episodes=4"]
            command += [f"--agentgym-updates={options.updates}", "--agentgym-budget=9h"]
            seen = watched(command, folder, Lines(folder, "updates.jsonl"))
            show("updates", seen, time.perf_counter() - begun)
            (run,) = folder.glob(".agentgym/runs/2*")
            lines = (run / "updates.jsonl").read_text().splitlines()
            print(f"  {json.loads(lines[-1])['update']} updates", flush=True)


if __name__ == "__main__":
    main()
