"""The temporary folder that the processes of a run share."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from queue import Empty
from typing import Any

import pytest

STOP_FILE = "stop"
"""Its presence says that the run was interrupted."""
_LATE_SECONDS = 1.5
"""How long workers may take to report what they have finished by then."""


class SharedFolder:
    """Main process: the run's temporary folder, and how its workers know it.

    Args:
        config: Of this process.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
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
        """Stops the workers' episodes, and takes in those that had finished."""
        # Where they cannot know, xdist ends them a few seconds later.
        with suppress(OSError):
            (self.path / STOP_FILE).touch()
        xdist = self._config.pluginmanager.get_plugin("dsession")
        if xdist is not None:
            # Another Ctrl-C waits for nothing.
            with suppress(KeyboardInterrupt):
                self._take_late(xdist)

    def _take_late(self, xdist: Any) -> None:
        """Takes in the reports that xdist itself does not wait for."""
        playing = set(xdist._active_nodes)
        end = time.monotonic() + _LATE_SECONDS
        while playing and (left := end - time.monotonic()) > 0:
            try:
                event, about = xdist.queue.get(timeout=left)
            except Empty:
                return
            if event == "testreport":
                self._config.hook.pytest_runtest_logreport(report=about["rep"])
            elif event in ("workerfinished", "errordown"):
                playing.discard(about["node"])

    def pytest_unconfigure(self) -> None:
        """Removes the folder; a policy server ends when it finds this process gone."""
        shutil.rmtree(self.path, ignore_errors=True)
