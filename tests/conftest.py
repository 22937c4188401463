"""What all tests share: a project of its own for each test that runs pytest."""

from __future__ import annotations

import contextlib
import importlib
import json
import pkgutil
import signal
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import agentgym
import pytest_agentgym.plugin

if TYPE_CHECKING:
    from agentgym.policy.server.process import PolicyProcess

pytest_plugins = ["pytester"]

# A shell starts what it puts in the background deaf to Ctrl-C, and so would be all
# processes that the tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# pytester forgets the modules that a run within this process imports; what all runs
# need must be here before, or there would be two of each class.
for _module in pkgutil.walk_packages(pytest_agentgym.__path__, "pytest_agentgym."):
    # What trains needs extras that CI does not have on Python 3.11.
    if not _module.name.startswith("pytest_agentgym.training."):
        importlib.import_module(_module.name)
# httpx imports httpcore at its first request, and then knows its exceptions by their
# classes: those of a second copy it would let through.
for _name in ("httpcore", "httpx2"):
    with contextlib.suppress(ImportError):
        importlib.import_module(_name)
for _name in agentgym.__all__:
    # On Python 3.11 CI has no extra, and so no pydantic.
    with contextlib.suppress(ImportError):
        getattr(agentgym, _name)

SCRIPTED_AGENT = '''
import time

import agentgym
import pytest


@agentgym.tool
def look_up(order):
    """Finds an order."""
    return f"order {order} is paid"


@agentgym.tool
def refund(order):
    """Pays an order back."""
    if order == "unknown":
        raise KeyError(order)
    return "refunded"


def obey(message):
    """Does what the message says: `look_up=7 print=hi sleep=2 raise=OSError`."""
    for word in message.split():
        name, _, value = word.partition("=")
        if name == "look_up":
            look_up(order=value)
        elif name == "refund":
            refund(order=value)
        elif name == "print":
            print(value)
        elif name == "sleep":
            time.sleep(float(value))
        elif name == "raise":
            raise getattr(agentgym, value, None) or __builtins__[value]("it broke")
    return message


@pytest.fixture
def agent():
    return agentgym.wrap(obey)
'''


class Gym:
    """A pytest project in an empty folder, with a scripted agent in its conftest."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        self.conftest(SCRIPTED_AGENT)

    def conftest(self, source: str, *, add: str = "") -> None:
        """Replaces the conftest; `add` comes after it."""
        text = textwrap.dedent(source) + textwrap.dedent(add)
        self.pytester.makeconftest(text)

    def more_conftest(self, source: str) -> None:
        """Adds to the scripted agent's conftest."""
        self.conftest(SCRIPTED_AGENT, add=source)

    def file(self, source: str, name: str = "test_it.py") -> Path:
        """Writes a scenario file; `from agentgym import ...` is up to it."""
        path = self.pytester.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source), encoding="utf-8")
        return path

    def turns(self, *, fixtures: str, episodes: int, most: int) -> None:
        """Writes a scenario, and a test that at most so many were in its body."""
        self.file(f"""
            import threading, time
            from agentgym import scenario

            lock, met, inside, most = threading.Lock(), threading.Event(), 0, 0

            @scenario(episodes={episodes})
            def test_turns({fixtures}):
                global inside, most
                with lock:
                    inside += 1
                    most = max(most, inside)
                    if inside >= {most}:
                        met.set()
                met.wait(60)
                time.sleep(0.1)
                with lock:
                    inside -= 1
                assert agent.run("hi").reply

            def test_after():
                assert most == {most}
        """)

    def run(
        self, *args: str, agentgym: bool = True, plugins: tuple[str, ...] = ()
    ) -> pytest.RunResult:
        """Runs pytest within this process."""
        named = [part for name in plugins for part in ("-p", name)]
        option = ["--agentgym"] if agentgym else []
        return self.pytester.runpytest_inprocess(
            *named, *option, *args, plugins=[pytest_agentgym.plugin]
        )

    def start(
        self, *args: str, agentgym: bool = True, plugins: tuple[str, ...] = ()
    ) -> pytest.RunResult:
        """Runs pytest in a process of its own."""
        return self.pytester.runpytest_subprocess(
            *self.arguments(*args, agentgym=agentgym, plugins=plugins)
        )

    def arguments(
        self, *args: str, agentgym: bool = True, plugins: tuple[str, ...] = ()
    ) -> list[str]:
        """The arguments of `start`."""
        named = [part for name in ("agentgym", *plugins) for part in ("-p", name)]
        return [*named, *(["--agentgym"] if agentgym else []), *args]

    @property
    def runs(self) -> list[Path]:
        """The folders of the runs so far, the oldest first."""
        folders = (self.pytester.path / ".agentgym" / "runs").glob("*")
        return sorted(folders, key=lambda path: path.stat().st_mtime_ns)

    def summary(self) -> dict[str, Any]:
        """The newest run's `summary.json`."""
        return json.loads((self.runs[-1] / "summary.json").read_text())

    def episodes(self) -> list[dict[str, Any]]:
        """The newest run's episodes in the order of their indices."""
        path = self.runs[-1] / "episodes.jsonl"
        # The folder is there a moment earlier.
        lines = path.read_text().splitlines() if path.exists() else []
        episodes = [json.loads(line) for line in lines]
        return sorted(episodes, key=lambda e: (e["scenario"], e["index"]))


@pytest.fixture(scope="module")
def embedded_server() -> Iterator[PolicyProcess]:
    """The embedded policy's server, in a process of its own."""
    from agentgym.policy.folders.embedded import embedded_path
    from agentgym.policy.server.process import PolicyProcess

    with PolicyProcess.start(embedded_path()) as process:
        yield process


@pytest.fixture
def gym(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Gym:
    """A fresh project; no other installed plugin takes part unless it is named."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    return Gym(pytester)
