"""The temporary folder that the processes of a run share."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

STOP_FILE = "stop"
"""Its presence says that the run was interrupted."""


class SharedFolder:
    """Main process: the run's temporary folder, and how its workers know it."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="agentgym-"))
        self.for_workers: dict[str, Any] = {
            "folder": str(self.path),
            "pid": os.getpid(),
        }

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Hands the folder to an xdist worker."""
        node.workerinput["agentgym"] = self.for_workers

    @pytest.hookimpl(tryfirst=True)
    def pytest_keyboard_interrupt(self) -> None:
        """Stops the workers' episodes."""
        # Where they cannot know, xdist ends them a few seconds later.
        with suppress(OSError):
            (self.path / STOP_FILE).touch()

    def pytest_unconfigure(self) -> None:
        """Removes the folder; a policy server ends when it finds this process gone."""
        shutil.rmtree(self.path, ignore_errors=True)
