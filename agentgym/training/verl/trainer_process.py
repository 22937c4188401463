"""verl's process: started, watched, ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

TRAINER = (sys.executable, "-m", "agentgym.training.verl")
"""Takes the job's file, and trains."""
MERGER = (sys.executable, "-m", "verl.model_merger", "merge", "--backend", "fsdp")
"""verl's own program that makes one folder of what its processes saved."""
_GRACE = 60.0
"""Seconds to end after SIGTERM: Ray ends its own processes meanwhile."""
_TAIL = 64 * 1024


class WatchedProcess:
    """A process with a log, and all that it starts.

    Args:
        command: What to run.
        log: Gets its output.
        environment: Variables beside ours.
    """

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.log = log
        with log.open("wb") as stream:
            self._process: subprocess.Popen[Any] = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                # Ctrl-C of the terminal is ours; we end it when all is said.
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def poll(self) -> int | None:
        """Its exit code; None while it runs."""
        return self._process.poll()

    def wait(self) -> int:
        """Its exit code, when it has ended."""
        return self._process.wait()

    def end(self) -> None:
        """Ends it, and what is left of all that it started."""
        if self.poll() is None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_GRACE)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()

    @property
    def last_line(self) -> str:
        """The last line of its log that says something."""
        with suppress(OSError), self.log.open("rb") as stream:
            stream.seek(max(0, self.log.stat().st_size - _TAIL))
            lines = stream.read().decode("utf-8", "replace").splitlines()
            said = [line.strip() for line in lines if line.strip()]
            return said[-1] if said else "it said nothing"
        return "it has no log"
