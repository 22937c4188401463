"""Where a training is launched: a machine, and what happens to it before and after."""

from __future__ import annotations

import sys
from importlib import resources
from typing import Any, Protocol

from agentgym.remote.launch_job import LaunchJob
from agentgym.remote.machine import THERE, Machine


class Place(Protocol):
    """A machine on which a project is trained."""

    @property
    def machine(self) -> Machine:
        """The machine."""
        ...

    @property
    def attach(self) -> str:
        """What goes on with watching: arguments of `agentgym launch`."""
        ...

    @property
    def until(self) -> str:
        """What becomes of the training if nobody does anything, as a sentence."""
        ...

    def start(self, job: LaunchJob) -> None:
        """Gets everything there, and starts the training."""
        ...

    def look(self) -> dict[str, Any]:
        """What is known there: its `home`, and its `launches`, the oldest first."""
        ...

    def let_go(self) -> None:
        """Gives the machine back, if it is a rented one."""
        ...


def say(text: str) -> None:
    """Prints a line of ours, apart from what the training says."""
    print(f"agentgym: {text}", file=sys.stderr, flush=True)


def script() -> bytes:
    """What runs on the other machine."""
    return resources.files("agentgym.remote").joinpath(THERE).read_bytes()
