"""Watches a training on another machine, through lost connections and Ctrl-C."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from agentgym.errors import AgentGymError
from agentgym.remote.machine import THERE, ConnectionLost, Machine, RemoteFailure

_PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
_LONGEST = 600.0
"""Seconds without a connection after which nobody waits any more."""


class LeftRunning(AgentGymError):
    """Nobody watches any more, and the training goes on there."""


@dataclass(slots=True)
class LaunchWatch:
    """Watches one launch.

    Attributes:
        machine: Where it runs.
        id: The launch's.
        say: Prints a line of ours.
        seen: Bytes of its output that were shown.
        asked_to_stop: Whether Ctrl-C was pressed once.
    """

    machine: Machine
    id: str
    say: Callable[[str], None]
    seen: int = 0
    asked_to_stop: bool = False

    def to_the_end(self) -> dict[str, Any]:
        """Shows its output until it ends.

        Returns:
            Its last state: `code` is None if it ended without one, as what is killed
            does.

        Raises:
            LeftRunning: Ctrl-C was pressed twice, or the connection stays lost.
        """
        lost_at: float | None = None
        tries = 0
        while True:
            try:
                before = self.seen
                self._show()
                state = self.state()
                if not state["runs"]:
                    return state
                lost_at = None
            except KeyboardInterrupt:
                self._stop()
                lost_at = None
            except ConnectionLost as error:
                # Who has shown something was connected meanwhile.
                if lost_at is None or self.seen != before:
                    lost_at, tries = time.monotonic(), 0
                    self.say(f"{error}; the training goes on there, trying again")
                if time.monotonic() - lost_at > _LONGEST:
                    raise LeftRunning(
                        f"{self.machine.name} was not reached for "
                        f"{_LONGEST / 60:.0f} minutes"
                    ) from error
                self._pause(_PAUSES[min(tries, len(_PAUSES) - 1)])
                tries += 1

    def state(self) -> dict[str, Any]:
        """Whether it `runs`, its exit `code`, the `names` of what it has made."""
        found: dict[str, Any] = json.loads(self.machine.run([THERE, "state", self.id]))
        return found

    def _show(self) -> None:
        """Shows what comes, until it ends.

        Raises:
            ConnectionLost: Before that.
        """
        process = self.machine.stream([THERE, "follow", self.id, str(self.seen)])
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            while part := process.stdout.read1(1 << 16):  # type: ignore[attr-defined]
                sys.stdout.buffer.write(part)
                sys.stdout.buffer.flush()
                self.seen += len(part)
            said = process.stderr.read().decode("utf-8", "replace").strip()
            if process.wait():
                raise ConnectionLost(_why(self.machine.name, process, said))
        finally:
            _end(process)

    def _stop(self) -> None:
        """The first Ctrl-C: has the training end as by one there."""
        if self.asked_to_stop:
            raise LeftRunning("it goes on there")
        self.asked_to_stop = True
        self.say(
            f"asks the training on {self.machine.name} to stop and to save what was "
            "learned; Ctrl-C again leaves it running there"
        )
        try:
            self.machine.run([THERE, "interrupt", self.id])
        except KeyboardInterrupt:
            raise LeftRunning("it goes on there") from None
        except (ConnectionLost, RemoteFailure) as error:
            self.asked_to_stop = False
            self.say(
                f"it was not reached: {error}; press Ctrl-C once more to try again"
            )

    def _pause(self, seconds: float) -> None:
        try:
            time.sleep(seconds)
        except KeyboardInterrupt:
            self._stop()


def _why(name: str, process: subprocess.Popen[bytes], said: str) -> str:
    last = said.splitlines()[-1] if said else f"it ended with {process.returncode}"
    return f"the connection to {name} is lost ({last})"


def _end(process: subprocess.Popen[bytes]) -> None:
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()
    if process.poll() is None:
        process.terminate()
    process.wait()
