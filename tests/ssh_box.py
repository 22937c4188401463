"""Another machine: an sshd on loopback, with keys and a home of its own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

_SBIN = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
_NEEDED = ("sshd", "ssh", "ssh-keygen")
_PLACES = {name: shutil.which(name, path=_SBIN) for name in _NEEDED}
_COMMANDS = ("sh", "mkdir", "cat", "mv", "env", "nice", "python3")
"""What a machine has that has no rsync."""

needs_sshd = pytest.mark.skipif(
    None in _PLACES.values(),
    reason=f"{', '.join(_NEEDED)}: apt-get install openssh-server",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SshBox:
    """A machine that `ssh -F config box` reaches.

    Attributes:
        folder: All of its files.
        port: Where it listens.
    """

    folder: Path
    port: int

    @property
    def home(self) -> Path:
        """The home of the user there."""
        return self.folder / "home"

    @property
    def config(self) -> Path:
        """The settings of ssh that reach it."""
        return self.folder / "ssh.conf"

    @property
    def known(self) -> Path:
        """The host keys that ssh knows."""
        return self.folder / "known"

    @property
    def project(self) -> Path:
        """The folder of the one project that was launched there."""
        (found,) = (self.home / ".agentgym-launch").iterdir()
        return found / "project"

    def know(self, key: str) -> None:
        """Has ssh know a host key."""
        name = f"[127.0.0.1]:{self.port}"
        self.known.write_text(f"{name} {key}", encoding="utf-8")

    def new_key(self, name: str) -> str:
        """Makes a pair of keys, and gives the public one."""
        file = self.folder / name
        keygen = str(_PLACES["ssh-keygen"])
        subprocess.run(
            [keygen, "-qt", "ed25519", "-N", "", "-f", str(file)], check=True
        )
        return file.with_suffix(".pub").read_text(encoding="utf-8")


@contextmanager
def ssh_box(
    folder: Path, *settings: str, rsync: bool = True, python: bool = True
) -> Iterator[SshBox]:
    """Starts a machine, and ends it.

    Args:
        folder: An empty one.
        *settings: Lines of sshd's settings that come before all others.
        rsync: Whether it has rsync.
        python: Whether it has Python.
    """
    box = SshBox(folder=folder, port=_free_port())
    box.home.mkdir(parents=True)
    box.know(box.new_key("host"))
    authorized = folder / "authorized"
    authorized.write_text(box.new_key("user"), encoding="utf-8")
    login = folder / "login.sh"
    login.write_text(
        f"#!/bin/sh\nHOME={box.home} PATH={_path(folder, rsync, python)}\n"
        'export HOME PATH\ncd "$HOME" && exec sh -c "$SSH_ORIGINAL_COMMAND"\n',
        encoding="utf-8",
    )
    login.chmod(0o755)
    lines = (
        *settings,
        *(f"Port {box.port}", "ListenAddress 127.0.0.1", f"HostKey {folder / 'host'}"),
        *(f"AuthorizedKeysFile {authorized}", f"PidFile {folder / 'sshd.pid'}"),
        *("StrictModes no", "UsePAM no", "KbdInteractiveAuthentication no"),
        *("PasswordAuthentication no", f"ForceCommand {login}"),
    )
    (folder / "sshd.conf").write_text("\n".join(lines) + "\n", encoding="utf-8")
    box.config.write_text(
        f"Host box\n  HostName 127.0.0.1\n  Port {box.port}\n"
        f"  IdentityFile {folder / 'user'}\n  IdentitiesOnly yes\n"
        f"  UserKnownHostsFile {box.known}\n",
        encoding="utf-8",
    )
    server = _start(folder)
    try:
        _wait(box.port, server, folder / "sshd.log")
        yield box
    finally:
        _end(server, box.home)


def _start(folder: Path) -> subprocess.Popen[bytes]:
    if os.geteuid() == 0:
        # The system's own start makes it for a server that is root's.
        Path("/run/sshd").mkdir(exist_ok=True)
    with (folder / "sshd.log").open("wb") as log:
        return subprocess.Popen(
            [str(_PLACES["sshd"]), "-D", "-e", "-f", str(folder / "sshd.conf")],
            stderr=log,
            start_new_session=True,
        )


def _end(server: subprocess.Popen[bytes], home: Path) -> None:
    """Ends the server, and what was started in its home and still runs."""
    server.terminate()
    server.wait()
    for pid in _within(home):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def _within(home: Path) -> Iterator[int]:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            at = process.joinpath("cwd").resolve()
        except OSError:
            continue
        if at.is_relative_to(home):
            yield int(process.name)


def _path(folder: Path, rsync: bool, python: bool) -> str:
    if rsync and python:
        return _SBIN
    commands = folder / "bin"
    commands.mkdir()
    for name in (*_COMMANDS, *(("rsync",) if rsync else ())):
        place = shutil.which(name)
        if place is not None and (python or name != "python3"):
            (commands / name).symlink_to(place)
    return str(commands)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def _wait(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(600):
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        if server.poll() is not None:
            pytest.fail(f"sshd did not start: {log.read_text()}")
        time.sleep(0.1)
    pytest.fail("sshd does not listen")


def children(pid: int, words: Sequence[str]) -> list[int]:
    """The processes that a process has started, and whose command has these words.

    Args:
        pid: Of the process.
        words: Parts of the command.
    """
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_text(encoding="utf-8", errors="replace")
            command = (folder / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        parent = int(stat.rpartition(")")[2].split()[1])
        if parent == pid and all(word in command for word in words):
            found.append(int(folder.name))
    return found
