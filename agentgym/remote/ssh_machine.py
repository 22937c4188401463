"""A machine that is reached by the system's own ssh, and rsync where both have it."""

from __future__ import annotations

import io
import json
import re
import shlex
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from agentgym.errors import UsageError
from agentgym.remote.machine import THERE, ConnectionLost, RemoteFailure
from agentgym.remote.ssh_failures import SSH_FAILED, failure_of

_HOST = re.compile(r"[^\s:@-][^\s:@]*(@[^\s:@-][^\s:@]*)?")
_OPTIONS = {
    # Nobody can answer a question.
    "BatchMode": "yes",
    "ConnectTimeout": "60",
    # A connection that is dead without a word is noticed after a minute.
    "ServerAliveInterval": "15",
    "ServerAliveCountMax": "4",
    "LogLevel": "ERROR",
}
_MISSING = 127
_RSYNC_LOST = frozenset({10, 12, 30, 35, SSH_FAILED})
"""Exit codes of rsync that speak of the connection."""


class SshMachine:
    """Runs each command by an ssh of its own.

    Args:
        host: What ssh is given: a name of its settings, or `user@address`.
        folder: The project's folder there, from the user's home.
        config: ssh's settings; None for the user's own.
        python: The Python there that runs what is sent.

    Attributes:
        name: The host.
        config: ssh's settings.
        rsync: Whether rsync is there, too.

    Raises:
        UsageError: No ssh is here, or that is no host.
    """

    def __init__(
        self,
        host: str,
        folder: str,
        *,
        config: Path | None = None,
        python: str = "python3",
    ) -> None:
        if not _HOST.fullmatch(host):
            raise UsageError(
                f"--ssh {host}: give a host or user@host; port, key and the rest "
                "belong into ~/.ssh/config"
            )
        program = shutil.which("ssh")
        if program is None:
            raise UsageError("there is no ssh here: install the OpenSSH client")
        self.name = host
        self.config = config
        self.python = python
        self.rsync = False
        self._folder = folder
        settings = [] if config is None else ["-F", str(config)]
        options = [f"-o{name}={value}" for name, value in _OPTIONS.items()]
        self._ssh = [program, *settings, *options, "-T"]

    def look(self, script: bytes) -> dict[str, Any]:
        """Makes the folder there, puts a script into it, and asks it what is there.

        Args:
            script: It becomes `there.py`.

        Raises:
            ConnectionLost: The machine was not reached.
        """
        steps = (
            'umask 077; mkdir -p "$1" && cat > "$1/$2.part" && '
            'mv "$1/$2.part" "$1/$2" && exec "$3" "$1/$2" look'
        )
        words = ["sh", "-c", steps, "sh", self._folder, THERE, self.python]
        said = self._run(words, script, missing=self.python)
        found: dict[str, Any] = json.loads(said)
        self.rsync = found["rsync"] and shutil.which("rsync") is not None
        return found

    def run(
        self, arguments: Sequence[str], given: bytes = b"", *, shown: bool = False
    ) -> bytes:
        """See `Machine`."""
        return self._run(self._python_with(arguments), given, shown=shown)

    def stream(self, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
        """See `Machine`."""
        return subprocess.Popen(
            self._to(self._python_with(arguments)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # A terminal's Ctrl-C is for us.
            start_new_session=True,
        )

    def send(self, root: Path, names: Iterable[str], folder: str) -> None:
        """See `Machine`."""
        if self.rsync:
            at = f"{self.name}:{self._folder}/{folder}/"
            # Neither owner nor mode: what is sent belongs to whom ssh logs in.
            self._rsync(["-ltE", f"{root}/", at], names)
            return
        self.run([THERE, "unpack", folder], _archive(root, names))

    def fetch(self, folder: str, names: Iterable[str], target: Path) -> None:
        """See `Machine`."""
        target.mkdir(parents=True, exist_ok=True)
        if self.rsync:
            at = f"{self.name}:{self._folder}/{folder}/"
            self._rsync(["-rt", "--no-links", at, f"{target}/"], names)
            return
        listed = json.dumps(list(names)).encode()
        with tempfile.TemporaryFile() as packed:
            self._run(self._python_with([THERE, "pack", folder]), listed, into=packed)
            packed.seek(0)
            with tarfile.open(fileobj=packed) as archive:
                archive.extractall(target, filter="data")

    def _python_with(self, arguments: Sequence[str]) -> list[str]:
        """The command whose first argument is a file of the folder there."""
        script, *rest = arguments
        return [self.python, f"{self._folder}/{script}", *rest]

    def _to(self, command: Sequence[str]) -> list[str]:
        # ssh joins what it is given by blanks, and a shell there reads that.
        return [*self._ssh, "--", self.name, shlex.join(command)]

    def _run(
        self,
        command: Sequence[str],
        given: bytes,
        *,
        into: io.BufferedRandom | None = None,
        missing: str | None = None,
        shown: bool = False,
    ) -> bytes:
        ended = subprocess.run(
            self._to(command),
            input=given,
            stdout=into or subprocess.PIPE,
            stderr=None if shown else subprocess.PIPE,
            start_new_session=True,
            check=False,
        )
        said = (ended.stderr or b"").decode("utf-8", "replace")
        if ended.returncode == 0:
            return ended.stdout or b""
        # Below 0: the ssh here was killed.
        if ended.returncode == SSH_FAILED or ended.returncode < 0:
            raise failure_of(self.name, said)
        if ended.returncode == _MISSING:
            raise UsageError(
                f"{self.name} has no {missing or command[0]}: install it there, or say "
                "with --python where it is"
            )
        raise RemoteFailure(ended.returncode, said.strip())

    def _rsync(self, arguments: Sequence[str], names: Iterable[str]) -> None:
        listed = b"\0".join(name.encode("utf-8", "surrogateescape") for name in names)
        ended = subprocess.run(
            [
                *("rsync", "-e", shlex.join(self._ssh), "--from0", "--files-from=-"),
                *arguments,
            ],
            input=listed,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
            check=False,
        )
        said = ended.stderr.decode("utf-8", "replace")
        if ended.returncode in _RSYNC_LOST or ended.returncode < 0:
            raise failure_of(self.name, said.partition("rsync")[0] or said)
        if ended.returncode:
            raise ConnectionLost(f"rsync with {self.name} failed: {said.strip()}")


def _archive(root: Path, names: Iterable[str]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as archive:
        for name in names:
            archive.add(root / name, name, recursive=False)
    return packed.getvalue()
