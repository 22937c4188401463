"""Launches on a machine that SkyPilot rents, and has it torn down."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from agentgym.errors import UsageError
from agentgym.remote.launch_job import LaunchJob
from agentgym.remote.machine import ConnectionLost
from agentgym.remote.place import say, script
from agentgym.remote.skypilot.dry_run import check
from agentgym.remote.skypilot.sky_module import in_short, sky_module
from agentgym.remote.skypilot.sky_task import Wanted, fill, task_config
from agentgym.remote.ssh_machine import SshMachine
from agentgym.runs.files.held_folder import HeldFolder

_FOLDER = "sky_workdir"
"""Where SkyPilot puts what it sends."""
_STAGE = ".launch-"
_WAITING = frozenset({"INIT", "PENDING", "SETTING_UP"})
_NEVER_RAN = frozenset({"FAILED_SETUP", "FAILED_DRIVER", "CANCELLED"})
_PAUSE = 5.0


class BySkyPilot:
    """A place that is rented.

    Args:
        wanted: The machine.
        name: The cluster's, which belongs to one project.

    Attributes:
        machine: Reached by the settings of ssh that SkyPilot writes.
        attach: See `Place`.
        until: See `Place`.

    Raises:
        UsageError: SkyPilot is missing, or too old.
    """

    def __init__(self, wanted: Wanted, name: str) -> None:
        self._sky = sky_module()
        self._wanted = wanted
        self._rented = False
        self.name = name
        self.machine = SshMachine(name, _FOLDER)
        where = wanted.cloud or wanted.gpu or ""
        option = "--cloud" if wanted.cloud else "--gpu"
        self.attach = f"{option} {shlex.quote(where)} --attach"
        self.until = (
            f"the machine {name} goes {wanted.idle_minutes} minutes after the training "
            f"by itself, with all that is on it, and at once by: sky down {name}"
        )

    def start(self, job: LaunchJob) -> None:
        """See `Place`."""
        if self._status() is not None:
            raise UsageError(
                f"SkyPilot has a machine for this project already, {self.name}: go on "
                f"with agentgym launch {self.attach}, or end it with sky down "
                f"{self.name}"
            )
        kept = job.files.root / ".agentgym"
        with HeldFolder(kept, _STAGE) as workdir:
            fill(workdir, job)
            task = check(
                self._sky, task_config(job, self._wanted, self.name, Path(workdir))
            )
            self._plan(task)
            self._wait(self._launch(task))
        self._write_ssh_settings()
        with suppress(ConnectionLost):
            self.machine.look(script())

    def look(self) -> dict[str, Any]:
        """See `Place`."""
        if self._status() is None:
            raise UsageError(
                f"SkyPilot knows no machine {self.name}: it has gone, or was rented "
                "from another machine than this"
            )
        self._rented = True
        self._write_ssh_settings()
        return self.machine.look(script())

    def let_go(self) -> None:
        """Has the machine torn down."""
        if not self._rented:
            return
        say(f"has the machine {self.name} torn down")
        by_hand = f"end it with: sky down {self.name}"
        try:
            self._sky.stream_and_get(self._sky.down(self.name))
        except KeyboardInterrupt:
            say(f"interrupted: `sky status` says whether {self.name} goes; {by_hand}")
        except Exception as error:  # noqa: BLE001
            if type(error).__name__ != "ClusterDoesNotExist":
                say(f"{self.name} may still cost money ({in_short(error)}): {by_hand}")
        self._rented = False

    def _plan(self, task: Any) -> None:
        """Has SkyPilot show which machine it would take, and its price."""
        with self._sky.Dag() as dag:
            dag.add(task)
        try:
            self._sky.stream_and_get(self._sky.optimize(dag))
        except Exception as error:
            raise in_short(error) from error

    def _launch(self, task: Any) -> int:
        """Rents the machine, and gives the number of the job on it."""
        # From here on there may be one.
        self._rented = True
        request = None
        try:
            request = self._sky.launch(task, cluster_name=self.name)
            number, _ = self._sky.stream_and_get(request)
        except Exception as error:
            raise in_short(error) from error
        except KeyboardInterrupt:
            # Its server would go on with it.
            if request is not None:
                with suppress(Exception):
                    self._sky.get(self._sky.api_cancel([request]))
            raise
        return int(number)

    def _wait(self, number: int) -> None:
        """Waits until the environment is made there, and the training begins."""
        say(f"{self.name} is there, and makes its environment ready")
        while True:
            try:
                found = self._sky.get(self._sky.job_status(self.name, [number]))
            except Exception as error:
                raise in_short(error) from error
            state = next(iter(found.values())).name
            if state in _NEVER_RAN:
                self._sky.tail_logs(self.name, number, follow=False)
                raise UsageError(
                    f"the environment on {self.name} could not be made ({state}): what "
                    "was said of it is above"
                )
            if state not in _WAITING:
                return
            time.sleep(_PAUSE)

    def _status(self) -> Any:
        """What SkyPilot knows of the machine; None: there is none."""
        try:
            found = self._sky.get(self._sky.status([self.name]))
        except Exception as error:
            raise in_short(error) from error
        return next(iter(found), None)

    def _write_ssh_settings(self) -> None:
        """Has SkyPilot write how ssh reaches the machine, as its command does."""
        beside = Path(sys.executable).parent
        program = shutil.which("sky", path=str(beside)) or "sky"
        subprocess.run(
            [program, "status", self.name],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            check=False,
        )
