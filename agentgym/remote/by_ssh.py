"""Launches on a machine that the user has: everything goes by ssh."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from agentgym.distribution import __version__, install_command
from agentgym.errors import UsageError
from agentgym.remote.environment import SOURCE, Requirements, asked_for
from agentgym.remote.launch_job import LaunchJob
from agentgym.remote.machine import THERE, RemoteFailure
from agentgym.remote.place import say, script
from agentgym.remote.project_files import project_files
from agentgym.remote.ssh_machine import SshMachine


class BySsh:
    """A place of the user's own.

    Args:
        machine: The machine.

    Attributes:
        machine: The machine.
        attach: See `Place`.
        until: See `Place`.
    """

    until = "the training goes on there until it is done"

    def __init__(self, machine: SshMachine) -> None:
        self.machine = machine
        self.attach = f"--ssh {shlex.quote(machine.name)} --attach"
        if machine.config is not None:
            self.attach += f" --ssh-config {shlex.quote(str(machine.config))}"

    def start(self, job: LaunchJob) -> None:
        """See `Place`."""
        found = self.look()
        running = [each["id"] for each in found["launches"] if each["runs"]]
        if running:
            raise UsageError(
                f"a training of this project runs on {self.machine.name} already: "
                f"agentgym launch {self.attach}, and Ctrl-C there, stops it"
            )
        if job.needs is None:
            self._check(found["agentgym"], job.python)
        self._send(job)
        if job.needs is not None:
            self._make_ready(job.needs, job.environment)
        asked = {**job.said(), "environment": dict(job.environment)}
        self.machine.run([THERE, "start"], json.dumps(asked).encode())

    def look(self) -> dict[str, Any]:
        """See `Place`."""
        return self.machine.look(script())

    def let_go(self) -> None:
        """It stays."""

    def _send(self, job: LaunchJob) -> None:
        files, machine = job.files, self.machine
        how = "rsync" if machine.rsync else "tar, as rsync is not on both machines"
        say(
            f"sends {len(files.names)} files ({files.size / 1e6:.1f} MB) of "
            f"{files.root} to {machine.name} by {how}"
        )
        for name in files.outside:
            say(f"not sent: {name} is a link that leads out of the project")
        usual = [name for name in files.names if name not in files.extra]
        machine.run([THERE, "keep_only"], json.dumps(usual).encode())
        machine.send(files.root, files.names, "project")
        if job.needs is not None and job.needs.source is not None:
            source = project_files(job.needs.source)
            machine.send(source.root, source.names, SOURCE)

    def _make_ready(self, needs: Requirements, environment: Mapping[str, str]) -> None:
        say(f"makes the environment on {self.machine.name} ready")
        asked = json.dumps(asked_for(needs, environment)).encode()
        try:
            self.machine.run([THERE, "make_ready"], asked, shown=True)
        except RemoteFailure as error:
            raise UsageError(
                f"the environment on {self.machine.name} could not be made: what was "
                "said of it is above"
            ) from error

    def _check(self, version: str | None, python: str | None) -> None:
        """Checks the agentgym of the user's own Python there.

        Raises:
            UsageError: It has none.
        """
        if version is None:
            raise UsageError(
                f"--python {python}: it has no agentgym on {self.machine.name}: "
                f"install it there ({install_command('train')}), or leave --python out"
            )
        if version != __version__:
            say(f"agentgym there is {version}, and {__version__} here")
