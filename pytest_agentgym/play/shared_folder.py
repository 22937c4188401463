"""The temporary folder that the processes of a run share."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from queue import Empty
from typing import Any

import pytest

from agentgym.runs.files.held_folder import HeldFolder

STOP_FILE = "stop"
"""Its presence says that the run was interrupted."""
_LATE_SECONDS = 1.5
"""How long workers may take to report what they have finished by then."""


class SharedFolder:
    """Main process: the run's temporary folder, and how its workers know it.

    Args:
        config: Of this process.

    Raises:
        pytest.UsageError: There is no room for it.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        try:
            self._folder = HeldFolder()
        except OSError as error:
            why = f"{error.filename or error}: {error.strerror or error}"
            raise pytest.UsageError(
                f"a run needs a temporary folder, and none can be made ({why}); make "
                "room, or name another place in TMPDIR"
            ) from None
        self.path = self._folder.path
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
        self._folder.close()
