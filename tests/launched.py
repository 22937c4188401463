"""A project that is launched on another machine, and trains there in a moment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

import agentgym
from tests.process_group import start_group
from tests.ssh_box import SshBox

ROOT = Path(agentgym.__file__).parents[1]
SECONDS = 300.0
"""How long anything may take before a test gives up."""

TRAINING = '''
"""Does what a training does as far as a launch sees it, by the words behind `train`."""

import json
import os
import pathlib
import signal
import sys
import time

asked = []
signal.signal(signal.SIGINT, lambda *_: asked.append("stop"))
here = pathlib.Path.cwd()
words = sys.argv[sys.argv.index("train") + 1 :]
(here / "started").write_text(" ".join(words))
print("trains on", *words, flush=True)
number = 0
while not (here / "go").exists():
    if asked and "--deaf" not in os.environ.get("HOW", ""):
        print("was asked to stop", flush=True)
        break
    print("line", number, flush=True)
    number += 1
    time.sleep(0.05)
run = here / ".agentgym" / "runs" / "20260801-120000-0001"
run.mkdir(parents=True)
secret = os.environ.get("SECRET", "")
(run / "summary.json").write_text(json.dumps({"folder": str(run), "n": len(secret)}))
agents = here / ".agentgym" / "agents" / "looker"
agents.mkdir(parents=True, exist_ok=True)
agent = agents / f"v1.{len(list(agents.iterdir()))}"
agent.mkdir()
card = {"name": "looker", "version": agent.name[1:], "created": str(time.time())}
card["base"] = {"spec": str(here / "model")}
(agent / "agent.json").write_text(json.dumps(card))
print("lines", number, flush=True)
sys.exit(2 if asked else int(os.environ.get("CODE", "0")))
'''


@dataclass(slots=True)
class Launched:
    """A project, and the machine that it is launched on.

    Attributes:
        root: The project's folder.
        box: The machine.
        python: The Python there.
    """

    root: Path
    box: SshBox
    python: Path

    @classmethod
    def made(cls, root: Path, box: SshBox, *, quick: bool = True) -> Launched:
        """Makes a project.

        Args:
            root: Its folder.
            box: The machine.
            quick: Whether what trains only looks like a training.
        """
        root.mkdir(parents=True)
        (root / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
        python = box.folder / "its python"
        module = box.folder / "training.py"
        module.write_text(TRAINING, encoding="utf-8")
        instead = f'[ "$1" = -m ] && exec "{sys.executable}" "{module}" "$@"\n'
        python.write_text(
            "#!/bin/sh\n"
            f"PYTHONPATH={ROOT} HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1\n"
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 TOKENIZERS_PARALLELISM=false\n"
            "export PYTHONPATH HF_HUB_OFFLINE OMP_NUM_THREADS\n"
            "export PYTEST_DISABLE_PLUGIN_AUTOLOAD TOKENIZERS_PARALLELISM\n"
            f"{instead if quick else ''}"
            f'exec "{sys.executable}" "$@"\n',
            encoding="utf-8",
        )
        python.chmod(0o755)
        launched = cls(root, box, python)
        if quick:
            launched.write("test_it.py", "def test_it(): pass\n")
        return launched

    def write(self, name: str, text: str) -> Path:
        """Writes one of its files."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def start(
        self, *words: str, scenario: str = "test_it.py", **environment: str
    ) -> subprocess.Popen[str]:
        """Starts `agentgym launch`.

        Args:
            *words: Further arguments.
            scenario: What is trained on; "" for none.
            **environment: Variables.
        """
        options = ["--ssh", "box", "--ssh-config", str(self.box.config)]
        if scenario:
            options += ["--python", str(self.python), scenario]
        return start_group(
            ["-m", "agentgym.commands.main", "launch", *options, *words],
            self.root,
            {"PYTHONPATH": str(ROOT), **environment},
        )

    def run(self, *words: str, **given: str) -> tuple[int, str]:
        """The same, to its end; gives the exit code, and what was said.

        Args:
            *words: See `start`.
            **given: See `start`.
        """
        return said(self.start(*words, **given))

    def wait_for(self, name: str) -> Path:
        """Waits until the project has a file on the other machine."""
        home = self.box.home / ".agentgym-launch"
        assert reached(lambda: bool(list(home.glob(f"*/project/{name}")))), name
        return self.box.project / name

    def go(self) -> None:
        """Lets the training there come to its end."""
        (self.box.project / "go").touch()


def said(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Waits for the end; gives the exit code, and what was said since it was read."""
    assert process.stdout is not None
    killer = threading.Timer(SECONDS, os.killpg, (process.pid, signal.SIGKILL))
    killer.start()
    try:
        # `communicate` would lose what a loop over lines has read ahead.
        with process:
            output = process.stdout.read()
        return process.returncode, output
    finally:
        killer.cancel()


def reached(condition: Callable[[], bool]) -> bool:
    """Waits until something holds, and says whether it did."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


def read_until(process: subprocess.Popen[str], text: str) -> str:
    """Reads what a process says until a text is in it.

    Args:
        process: The process.
        text: What is waited for.
    """
    assert process.stdout is not None
    seen = ""
    for line in process.stdout:
        seen += line
        if text in line:
            return seen
    pytest.fail(f"{text!r} was not said: {seen}")
