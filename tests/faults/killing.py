"""Projects whose processes are killed: what had finished, and what is left."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from agentgym.playing.episode import Episode
from agentgym.runs.files.store import read_episodes
from tests.process_group import commands_of, start_group

Victim = Literal["main", "worker", "server"]

NOTES = '''
import os
import pathlib
import signal
import threading
import time

HERE = pathlib.Path(__file__).parent
WORKER = os.environ.get("PYTEST_XDIST_WORKER")
seen = []


def note(name, *words):
    """One write, as several processes add lines, and any of them may be killed."""
    handle = os.open(HERE / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(handle, (" ".join(map(str, words)) + "\\n").encode())
    os.close(handle)


def pytest_agentgym_episode_finished(episode):
    """What the user hears of, in the main process."""
    note("told", episode.id)
    seen.append(episode.id)


def over(name):
    """The last that an episode does, in the process that plays it."""
    note("over", name, time.monotonic())
    if WORKER:
        seen.append(name)


def kill(victim, after, pause):
    """Kills after so many episodes of this process: it knows of them at once."""
    while len(seen) < int(after):
        time.sleep(0.001)
    time.sleep(float(pause))
    pid = os.getpid()
    if victim == "server":
        import json, tempfile

        folder = pathlib.Path(tempfile.gettempdir())
        (known,) = folder.glob("agentgym-run-*/policy-server/policy.json")
        pid = json.loads(known.read_text())["pid"]
    note("killed", time.monotonic())
    os.kill(pid, signal.SIGKILL)


if "KILL" in os.environ:
    point = os.environ["KILL"].split()
    if (point[0] == "worker") == (WORKER == "gw0") and WORKER in (None, "gw0"):
        threading.Thread(target=kill, args=point, daemon=True).start()
'''
"""Of a conftest: it says that an episode has finished, and kills a process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """When a process is killed.

    Attributes:
        victim: Which process.
        after: So many episodes that were told of, or that a worker has played.
        pause: Seconds from then on.
    """

    victim: Victim
    after: int
    pause: float = 0.0

    @classmethod
    def drawn(cls, victim: Victim, seed: int, most: int) -> Point:
        """A random one, also in the middle of what follows an episode.

        Args:
            victim: Which process.
            seed: Draws it.
            most: Episodes at most.
        """
        random_ = random.Random(seed)
        after, pause = random_.randint(1, most), random_.uniform(0, 0.03)
        return cls(victim=victim, after=after, pause=pause)


SECONDS = 120.0
"""How long anything may take before a test gives up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What a kill has left.

    Attributes:
        told: Episodes that the user was told of.
        stored: Those that are in `episodes.jsonl`.
        missing: Those that the user was told of, and that are not there: none.
        unheard: Episodes that had ended before the kill, and are not there.
        oldest: Seconds between the end of one of these and the kill, at most.
        played_on: Episodes that ended after the kill, and are not there.
        running: Commands that still run.
        ending: Seconds until none did any more.
        code: The exit code; negative for a signal.
        output: What it said.
        killed: Whether the process was still there to be killed.
    """

    told: int
    stored: int
    missing: frozenset[str]
    unheard: int
    oldest: float
    played_on: int
    running: tuple[str, ...]
    ending: float
    code: int
    output: str
    killed: bool = True


@dataclass(slots=True)
class Killing:
    """A project, and the process that runs in it.

    Attributes:
        root: Its folder.
        arguments: Of all of its pytest processes.
        environment: Variables of all of them.
    """

    root: Path
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def temporary(self) -> Path:
        """Where its processes make temporary folders."""
        return self.root / "tmp"

    @property
    def runs(self) -> list[Path]:
        """The folders of its runs, the oldest first."""
        found = (self.root / ".agentgym" / "runs").glob("*")
        return sorted(path for path in found if path.is_dir())

    def write(self, name: str, text: str) -> None:
        """Writes one of its files."""
        (self.root / name).write_text(text, encoding="utf-8")

    def lines(self, name: str) -> list[str]:
        """The lines of one of its files; the last one may be half written."""
        path = self.root / name
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    def start(self, *more: str, **variables: str) -> subprocess.Popen[str]:
        """Starts pytest.

        Args:
            *more: Arguments beside those of the project.
            **variables: Of its environment.
        """
        self.temporary.mkdir(exist_ok=True)
        arguments = ["-m", "pytest", "-p", "agentgym", "--agentgym"]
        if any(each.startswith("-n") for each in (*self.arguments, *more)):
            arguments += ["-p", "xdist"]
        environment = {
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTEST_ADDOPTS": "",
            "COLUMNS": "200",
            # Threads of torch wait for each other where other work takes cores.
            "OMP_NUM_THREADS": "1",
            "TMPDIR": str(self.temporary),
            **self.environment,
            **variables,
        }
        arguments += ["--rootdir", str(self.root), *self.arguments, *more]
        return start_group(arguments, self.root, environment)

    def run(self, *more: str, **variables: str) -> tuple[int, str]:
        """Runs pytest to its end; see `start`.

        Returns:
            Its exit code, and what it said.
        """
        process = self.start(*more, **variables)
        with ended(process):
            output, _ = process.communicate(timeout=5 * SECONDS)
        return process.returncode, output

    def told(self) -> list[str]:
        """Ids of the episodes that the user was told of."""
        return self.lines("told")

    def stored(self) -> list[Episode]:
        """The episodes in the files of all runs, read as the product does."""
        paths = [run / "episodes.jsonl" for run in self.runs]
        kept = [read_episodes(path)[0] for path in paths if path.exists()]
        return [episode for episodes in kept for episode in episodes]

    def kill(self, point: Point | None, *more: str, **variables: str) -> Left:
        """Runs pytest, of which one process is killed.

        Args:
            point: Which one, and when; None: something else in it says that.
            *more: Arguments beside those of the project.
            **variables: Of the environment.
        """
        if point is not None:
            variables["KILL"] = f"{point.victim} {point.after} {point.pause}"
        process = self.start(*more, **variables)
        with ended(process):
            output, _ = process.communicate(timeout=5 * SECONDS)
            return self._left(process, output)

    def kill_after(
        self, seconds: float, victim: Victim, *more: str, told: int = 0
    ) -> Left:
        """The same, at a time.

        Args:
            seconds: Since so many episodes were told of.
            victim: Which process; none is killed where it is not there.
            *more: Arguments beside those of the project.
            told: How many; with none, since its start.
        """
        process = self.start(*more)
        with ended(process):

            def over() -> bool:
                return process.poll() is not None

            wait_for(lambda: over() or len(self.told()) >= told, within=5 * SECONDS)
            deadline = time.monotonic() + seconds
            wait_for(over, within=seconds)
            found = find(process.pid, victim) if time.monotonic() >= deadline else None
            if found is not None:
                os.kill(found, signal.SIGKILL)
            output, _ = process.communicate(timeout=5 * SECONDS)
            return replace(self._left(process, output), killed=found is not None)

    def _left(self, process: subprocess.Popen[str], output: str) -> Left:
        at_end = time.monotonic()
        wait_for(lambda: not commands_of(process.pid), within=30)
        ended_at = time.monotonic()
        running = tuple(commands_of(process.pid).values())
        told, stored = set(self.told()), self.stored()
        known = {f"{each.scenario}#{each.case['index']}" for each in stored}
        killed = float((self.lines("killed") or [str(at_end)])[-1])
        ago = [killed - at for name, at in self._over() if name not in known]
        before = [seconds for seconds in ago if seconds >= 0]
        return Left(
            told=len(told),
            stored=len(stored),
            missing=frozenset(told - {each.id for each in stored}),
            unheard=len(before),
            oldest=max(before, default=0.0),
            played_on=len(ago) - len(before),
            running=running,
            ending=ended_at - (killed if process.returncode < 0 else at_end),
            code=process.returncode,
            output=output,
        )

    def _over(self) -> list[tuple[str, float]]:
        """Which episodes have ended, and when."""
        words = [line.split() for line in self.lines("over")]
        return [(name, float(at)) for name, at in words]


def find(main: int, victim: Victim) -> int | None:
    """A process of a run that can be killed; None if there is none.

    Args:
        main: Id of the main process.
        victim: Which one.
    """
    if victim == "main":
        return main
    mark = {"worker": "sys.stdin.readline", "server": "agentgym.policy.server"}[victim]
    found = [pid for pid, said in commands_of(main).items() if mark in said]
    return min(found, default=None)


def wait_for(
    reached: Callable[[], bool], *, within: float = SECONDS, pause: float = 0.01
) -> bool:
    """Waits until something holds.

    Args:
        reached: Whether it does.
        within: Seconds.
        pause: Seconds between two looks.

    Returns:
        Whether it did.
    """
    deadline = time.monotonic() + within
    while not reached():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
    return True


@contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[None]:
    """Leaves nothing of a process's session behind, whatever a test finds."""
    try:
        yield
    finally:
        for pid in commands_of(process.pid):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        process.wait()


QUICK = (
    NOTES
    + '''
import random

import agentgym
import pytest


@agentgym.tool
def look_up(order):
    """Finds an order."""
    return f"order {order} is paid"


@pytest.fixture
def agent(request, case):
    def reply(message):
        time.sleep(random.uniform(0.01, 0.05))
        return look_up(order=message)

    yield agentgym.wrap(reply)
    over(f"{request.node.nodeid}#{case.index}")
'''
)
SCENARIO = """
from agentgym import scenario


@scenario(episodes={episodes})
def test_{name}(agent):
    assert agent.run("7").called("look_up", order="7")
"""
EPISODES = 120
"""Of each of the two scenarios of a project that measures."""


def measuring(root: Path, *arguments: str) -> Killing:
    """A project of two scenarios whose agent takes a moment.

    Args:
        root: Its folder.
        *arguments: Of its pytest processes.
    """
    project = Killing(root, arguments)
    project.write("conftest.py", QUICK)
    for name in ("orders", "parcels"):
        source = SCENARIO.format(name=name, episodes=EPISODES)
        project.write(f"test_{name}.py", source)
    return project
