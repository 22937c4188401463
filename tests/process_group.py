"""Processes in a group of their own, which gets signals as a terminal's group does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path


def start_group(arguments: Sequence[str], folder: Path) -> subprocess.Popen[str]:
    """Starts Python in this folder; both of its streams are `stdout`."""
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
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
