"""Kills processes at random points of measuring and training, and says what is lost.

    python benchmarks/faults.py [--points 20] [--seed 0] [measuring] [training]

Each point is a run of its own. Of a measurement the main process, a worker of two and
the policy server are killed; of a training the same, and the one whose main process was
killed is gone on with. `tests/faults` has the same for a few points.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.faults.killing import (
    EPISODES,
    NOTES,
    Killing,
    Left,
    Point,
    Victim,
    measuring,
)
from tests.faults.trainings import json_lines, left_over, taught, training, verdict
from tests.policy_agent import policy_agent
from tests.tiny_policy import make_tiny


class Row:
    """What came of the points of one kind.

    Args:
        name: What was killed, and of what.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.left: list[Left] = []
        self.problems: list[str] = []
        self.notes: list[str] = []

    def add(self, point: int, left: Left, *problems: str) -> None:
        """Takes in a point.

        Args:
            point: Its number.
            left: What the kill has left.
            *problems: What should not be.
        """
        self.left.append(left)
        found = [text for text in problems if text]
        found += [f"lost {sorted(left.missing)}"] if left.missing else []
        found += [f"still runs: {left.running}"] if left.running else []
        self.problems += [f"point {point}: {text}" for text in found]
        print(
            f"  {self.name}, point {point}: told {left.told}, stored {left.stored}, "
            f"unheard {left.unheard}, ended in {left.ending:.1f} s, code {left.code}"
            + "".join(f"; PROBLEM: {text}" for text in found),
            flush=True,
        )

    def lines(self) -> Iterator[str]:
        """The row of the table, and what should not be."""
        told = sum(left.told for left in self.left)
        lost = sum(len(left.missing) for left in self.left)
        unheard = sum(left.unheard for left in self.left)
        oldest = max(left.oldest for left in self.left)
        ending = max(left.ending for left in self.left)
        yield (
            f"| {self.name} | {len(self.left)} | {told} | {lost} | {unheard} "
            f"({oldest:.2f} s) | {ending:.1f} s | {len(self.problems)} | "
            f"{'; '.join(self.notes)} |"
        )
        yield from self.problems


HEAD = """
| killed | points | told | lost | ended, not told (oldest) | all ended in | problems | |
|---|---|---|---|---|---|---|---|"""


def abandoned(project: Killing) -> str:
    """Temporary folders of ours that are left."""
    names = [path.name for path in project.temporary.glob("agentgym*")]
    return f"left {names}" if names else ""


def of_measuring(points: int, seed: int, folder: Path) -> Iterator[Row]:
    """Kills the processes of measurements.

    Args:
        points: Of each kind.
        seed: Draws them.
        folder: Where the projects are.
    """
    kinds: list[tuple[str, Victim, tuple[str, ...]]] = [
        ("measuring: main", "main", ()),
        ("measuring: main, -n 2", "main", ("-n2",)),
        ("measuring: a worker of 2", "worker", ("-n2",)),
    ]
    for name, victim, workers in kinds:
        row = Row(name)
        for point in range(points):
            project = measuring(new(folder), *workers)
            most = 2 * EPISODES if victim == "main" else EPISODES
            left = project.kill(Point.drawn(victim, seed + point, most))
            code, output = project.run("--agentgym-episodes=2")
            told = "was killed before its report" in output
            ended = any((run / "summary.json").exists() for run in project.runs[:1])
            row.add(
                point,
                left,
                abandoned(project),
                "" if code == 0 else f"the next run ended with {code}",
                "" if told != ended else "the next run says it wrongly",
            )
        yield row
    row = Row("measuring: the policy server")
    model = make_tiny(folder / "tiny")
    codes = []
    for point in range(points):
        project = Killing(new(folder), (f"--agentgym-policy={model}",))
        asking(project)
        left = project.kill(Point.drawn("server", seed + point, 50))
        codes.append(left.code)
        row.add(point, left, abandoned(project), "" if left.stored == 60 else "less")
    row.notes.append(f"{codes.count(0)} of {points} ended with 0")
    yield row


def asking(project: Killing) -> None:
    """Two scenarios whose agent asks the policy."""
    reply = "choice['message']['content'] or '-'"
    project.write("conftest.py", NOTES + policy_agent(reply, max_tokens=24))
    for name in "ab":
        project.write(
            f"test_{name}.py",
            "from agentgym import scenario\n\n\n@scenario(episodes=30)\n"
            f"def test_{name}(agent):\n    assert agent.run('hello').reply\n",
        )


def of_training(points: int, seed: int, folder: Path) -> Iterator[Row]:
    """Kills the processes of trainings.

    Args:
        points: Of each kind.
        seed: Draws them.
        folder: Where the projects are.
    """
    model = taught(folder / "taught")
    project = training(new(folder), model)
    code, _ = project.run()
    told = len(project.told())
    wanted = code, verdict(project)["training"]["met"]
    print(f"  undisturbed: {told} episodes, ends with {wanted}", flush=True)
    kinds: list[tuple[str, Victim, tuple[str, ...]]] = [
        ("training: main, then resumed", "main", ()),
        ("training: a worker of 2", "worker", ("-n2",)),
        ("training: the policy server", "server", ()),
    ]
    for name, victim, workers in kinds:
        row, drawn, resumed = Row(name), random.Random(seed), []
        late = 0
        while len(row.left) < points:
            project = training(new(folder), model, *workers)
            # As often in what comes before the first as after the last of them.
            place = drawn.uniform(-0.1, 1.1)
            reached = round(told * min(1.0, max(0.0, place)))
            seconds = drawn.uniform(0, 8 if place < 0 else 2)
            left = project.kill_after(seconds, victim, told=reached)
            if not left.killed:
                late += 1
                continue
            code = left.code
            if left.code == -9 and finished(project):
                code = wanted[0]
            elif left.code == -9 or not begun(project):
                more = ["--agentgym-resume"] if resumable(project) else []
                resumed.append(len(more))
                code, _ = project.run(*more)
            row.add(len(row.left), left, *problems_of(project, (code, wanted)))
        if victim == "server":
            row.notes.append(f"{len(resumed)} at its start: the next run was the first")
        if victim == "main":
            row.notes.append(f"{sum(resumed)} of {len(resumed)} had begun")
            row.notes.append(f"{points - len(resumed)} had written their report")
        row.notes.append(f"{late} more had ended before")
        times = [len(json_lines(path)) for path in folder.rglob("updates.jsonl")]
        row.notes.append(f"updates so far: median {statistics.median(times):.0f}")
        yield row


def finished(project: Killing) -> bool:
    """Whether the training had nothing more to do than to end."""
    return any((run / "report.html").exists() for run in project.runs)


def begun(project: Killing) -> bool:
    """Whether there is a training: a server that is killed at its start ends it."""
    return any((run / "measured.jsonl").exists() for run in project.runs)


def resumable(project: Killing) -> bool:
    """Whether there is a training that has not ended."""
    runs = [run for run in project.runs if (run / "training.json").exists()]
    return bool(runs) and not (runs[-1] / "summary.json").exists()


def problems_of(project: Killing, ends: tuple[int, tuple[int, bool]]) -> Iterator[str]:
    """What is not as in a training that nobody disturbed.

    Args:
        project: Of the training.
        ends: Its exit code, and how an undisturbed one ends.
    """
    code, wanted = ends
    run = project.runs[-1]
    if not (run / "summary.json").exists():
        yield f"no summary, code {code}"
        return
    found = verdict(project)["training"]
    if (code, found["met"]) != wanted:
        yield f"ended with {code}: {found['reason']}"
    numbers = [row["update"] for row in json_lines(run / "updates.jsonl")]
    if numbers != list(range(1, found["updates"] + 1)):
        yield f"updates {numbers} of {found['updates']}"
    ids = {episode.id for episode in project.stored()}
    if lacking := {row["id"] for row in json_lines(run / "measured.jsonl")} - ids:
        yield f"measured and not stored: {len(lacking)}"
    if left := left_over(project):
        yield f"left over: {left}"
    agents = list(project.root.glob(".agentgym/agents/*/v*"))
    if len(agents) != 1:
        yield f"{len(agents)} agents"


def new(folder: Path) -> Path:
    """An empty folder."""
    return Path(tempfile.mkdtemp(dir=folder))


def main() -> None:
    """Prints a line for each point, and the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", nargs="*", default=["measuring", "training"])
    parser.add_argument("--points", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in given.what:
            kind = {"measuring": of_measuring, "training": of_training}[name]
            rows += kind(given.points, given.seed, Path(folder))
    print(HEAD)
    for row in rows:
        print("\n".join(row.lines()))


if __name__ == "__main__":
    main()
