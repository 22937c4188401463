"""Processes in a group of their own, which gets signals as a terminal's group does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path


def start_group(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """Starts Python in this folder; both of its streams are `stdout`.

    Args:
        arguments: Of Python.
        folder: Where it runs.
        environment: Variables beside those of this process.
    """
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=_hear,
    )


def _hear() -> None:
    """Tests that `nohup` started would hand on their deafness."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def signal_when(
    process: subprocess.Popen[str],
    reached: Callable[[], bool],
    *,
    within: float = 120,
    pause: float = 0,
    number: int = signal.SIGINT,
) -> None:
    """Sends a signal, Ctrl-C's by default, to the whole group once it got so far."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline and process.poll() is None:
        if reached():
            break
        time.sleep(0.05)
    time.sleep(pause)
    os.killpg(process.pid, number)


def commands_of(session: int) -> dict[int, str]:
    """The command lines of the processes that still run in a session, by their ids.

    Args:
        session: Id of its first process, as `start_group` gives it.
    """
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_text(encoding="utf-8", errors="replace")
            command = (folder / "cmdline").read_bytes()
        except OSError:  # it has just ended
            continue
        state, _, _, its_session = stat.rpartition(")")[2].split()[:4]
        # A zombie has ended.
        if int(its_session) == session and state != "Z":
            text = command.replace(b"\0", b" ").decode(errors="replace")
            found[int(folder.name)] = text
    return found
