"""What an episode costs: many in one item, against one pytest item per episode.

    python benchmarks/episodes.py [--episodes 10000]

Both run no-op episodes with one fresh fixture each in a pytest process of their own.
The second is what plain parametrised pytest does. Then come episodes in processes of
their own (`isolation="process"`; pytest-forked does not work with pytest 9). A last
table plays 1,000 episodes of 4 model calls of 50 ms each (a scripted model that waits),
with as many in flight as pay, with 200 and with 16 of them, against parametrised
pytest, `pytest -n 16` and pydantic-evals (where it is installed); the two that take
long are measured on fewer episodes, as said in the table.
"""

import argparse
import importlib.util
import os
import resource
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path
from typing import NamedTuple

NOTHING_INSIDE = """
    import pytest
    from agentgym import scenario

    @pytest.fixture
    def world():
        return {{"orders": []}}

    @scenario(episodes={count})
    def test_nothing(world):
        assert world["orders"] == []
"""

NOTHING_OUTSIDE = """
    import pytest

    @pytest.fixture
    def world():
        return {{"orders": []}}

    @pytest.mark.parametrize("episode", range({count}))
    def test_nothing(world, episode):
        assert world["orders"] == []
"""

MODEL = """
    import time

    def waiting_agent(message):
        for _ in range(4):
            time.sleep(0.05)
        return "done"
"""

WAITING_INSIDE = (
    MODEL
    + """
    import agentgym, pytest
    from agentgym import scenario

    @pytest.fixture
    def agent():
        return agentgym.wrap(waiting_agent)

    @scenario(episodes={count})
    def test_waits(agent):
        assert agent.run("hello").reply == "done"
"""
)

NOTHING_ISOLATED = NOTHING_INSIDE.replace("{count})", '{count}, isolation="process")')

WAITING_OUTSIDE = (
    MODEL
    + """
    import pytest

    @pytest.mark.parametrize("episode", range({count}))
    def test_waits(episode):
        assert waiting_agent("hello") == "done"
"""
)

PYDANTIC_EVALS = """
    import asyncio
    from pydantic_evals import Case, Dataset
    from pydantic_evals.evaluators import EqualsExpected

    async def task(message):
        for _ in range(4):
            await asyncio.sleep(0.05)
        return "done"

    cases = [
        Case(name=str(i), inputs="hello", expected_output="done")
        for i in range({count})
    ]
    dataset = Dataset(name="waits", cases=cases, evaluators=[EqualsExpected()])
    dataset.evaluate_sync(task, progress=False)
"""


MOST_ISOLATED = 500
_CHILDREN = resource.RUSAGE_CHILDREN


class Cost(NamedTuple):
    """What a process and its children took."""

    cpu: float
    wall: float
    megabytes: float


def measure(source: str, count: int, *arguments: str) -> Cost:
    """Runs a file of pytest, or with no arguments Python, and what it costs.

    Args:
        source: Of the file; `{count}` in it becomes the number.
        count: Episodes.
        *arguments: Of Python, before the file's name.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "test_it.py")
        path.write_text(textwrap.dedent(source).format(count=count))
        command = [sys.executable, *(arguments or (str(path),))]
        if arguments:
            command.append(str(path))
        begun, before = time.perf_counter(), resource.getrusage(_CHILDREN)
        process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            cwd=folder,
            env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            start_new_session=True,
        )
        peak = 0.0
        while process.poll() is None:
            peak = max(peak, megabytes_of_session(process.pid))
            time.sleep(0.02)
        wall, after = time.perf_counter() - begun, resource.getrusage(_CHILDREN)
        if process.returncode:
            raise SystemExit(f"{' '.join(command)} exited with {process.returncode}")
        cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
        return Cost(cpu, wall, peak)


def megabytes_of_session(session: int) -> float:
    """Resident memory of all processes that one started."""
    pages = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session:
            pages += int(fields[21])
    return pages * resource.getpagesize() / 2**20


GYM = ("-m", "pytest", "-p", "pytest_agentgym.plugin", "--agentgym")
PYTEST = ("-m", "pytest", "-p", "no:cacheprovider")


def per_episode(source: str, count: int, *arguments: str) -> tuple[float, float]:
    """Microseconds of CPU and of wall time per episode, without pytest's own start.

    Args:
        source: As for `measure`.
        count: Episodes, at least 2.
        *arguments: As for `measure`.
    """
    base, full = measure(source, 1, *arguments), measure(source, count, *arguments)
    each = 1e6 / (count - 1)
    return (full.cpu - base.cpu) * each, (full.wall - base.wall) * each


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--episodes", type=int, default=10_000)
    count = parser.parse_args().episodes

    print(f"{count:,} no-op episodes, a fresh fixture each")
    inside = per_episode(NOTHING_INSIDE, count, *GYM)
    outside = per_episode(NOTHING_OUTSIDE, count, *PYTEST)
    for name, (cpu, wall) in (("in one item", inside), ("one item each", outside)):
        print(f"  {name:<24}{cpu:8.0f} us of CPU{wall:8.0f} us of wall time")
    print(f"  {'share':<24}{inside[0] / outside[0]:8.2f}")

    few = min(count, MOST_ISOLATED)
    cpu, wall = per_episode(NOTHING_ISOLATED, few, *GYM)
    name = "in processes of their own"
    print(f"\n{few:,} {name}: {cpu:.0f} us of CPU, {wall:.0f} us of wall time")

    print("\nepisodes of 4 model calls of 50 ms")
    rows = [
        ("agentgym", WAITING_INSIDE, 1000, GYM),
        ("with 200", WAITING_INSIDE, 1000, (*GYM, "--agentgym-concurrency=200")),
        ("with 16", WAITING_INSIDE, 1000, (*GYM, "--agentgym-concurrency=16")),
        ("pytest -n 16", WAITING_OUTSIDE, 1000, (*PYTEST, "-p", "xdist", "-n16")),
        ("pytest", WAITING_OUTSIDE, 50, PYTEST),
    ]
    if importlib.util.find_spec("pydantic_evals"):
        rows.insert(3, ("pydantic-evals", PYDANTIC_EVALS, 1000, ()))
    for name, source, episodes, arguments in rows:
        cost = measure(source, episodes, *arguments)
        print(
            f"  {name:<16}{episodes:5} episodes{cost.wall:8.1f} s"
            f"{cost.cpu:8.1f} s of CPU{cost.megabytes:8.0f} MB"
        )


if __name__ == "__main__":
    main()
