"""What a launch needs of a machine: to run something there, to send and to fetch."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from agentgym.errors import AgentGymError

THERE = "there.py"
"""The script that is sent to a machine, as it is called there."""


class ConnectionLost(AgentGymError):
    """The machine cannot be reached at the moment; the text says why."""


class Machine(Protocol):
    """Another machine, and the folder there that belongs to one project.

    All names are relative to this folder.

    Attributes:
        name: As the user calls it.
    """

    name: str

    def run(
        self, arguments: Sequence[str], given: bytes = b"", *, shown: bool = False
    ) -> bytes:
        """Runs Python there, and waits for its end.

        Args:
            arguments: Of Python.
            given: Its standard input, where secrets belong.
            shown: Whether what it says on standard error is shown as it comes.

        Returns:
            Its standard output.

        Raises:
            ConnectionLost: The machine was not reached, or lost.
            UsageError: It was, and will not be by trying again.
            RemoteFailure: It ended with another exit code than 0.
        """
        ...

    def stream(self, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
        """Starts Python there; it ends when the standard input of this is closed.

        Args:
            arguments: Of Python.
        """
        ...

    def send(self, root: Path, names: Iterable[str], folder: str) -> None:
        """Sends files.

        Args:
            root: Where they are.
            names: Their paths from there.
            folder: Where they belong there.

        Raises:
            ConnectionLost: Not all of them have come there.
        """
        ...

    def fetch(self, folder: str, names: Iterable[str], target: Path) -> None:
        """Fetches folders with all that is in them.

        Args:
            folder: Where they are there.
            names: Their paths from there.
            target: Where they are put, by the same paths.

        Raises:
            ConnectionLost: Not all of them have come here.
        """
        ...


class RemoteFailure(AgentGymError):
    """Something that was run there failed.

    Args:
        code: Its exit code.
        text: What it said of it.
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
