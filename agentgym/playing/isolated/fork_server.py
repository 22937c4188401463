"""A quiet copy of this process, of which each episode gets a copy of its own.

This process has threads, locks and connections as soon as it plays, and a copy that is
made in the middle of that may wait for ever, or share a connection with its siblings.
So the first copy is made before anything is played. It does nothing but copy itself,
and import what the first episodes have imported: a framework takes seconds, and no
later episode shall wait for it.

`multiprocessing`'s fork server does the same for functions that can be pickled.
Scenarios, fixtures and cases cannot.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
import sysconfig
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, NoReturn

from agentgym.errors import HarnessError
from agentgym.playing.isolated.limiting import end_with_parent
from agentgym.playing.isolated.line import Wire

Work = Callable[[Any, Wire], None]
"""Plays what a request asks for, and says over the wire what came of it."""

MOST_OUTPUT = 16_000
"""Bytes that are kept of what a process writes past Python's own streams."""
_TURN_SECONDS = 0.1
_ALONE_SECONDS = 5.0
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class ForkServer:
    """Starts a process for each request.

    The first one is alone for a while, so that not all of them import what it does.

    Args:
        work: What each of them does; then it ends.
        most: Processes at a time.
    """

    def __init__(self, work: Work, most: int) -> None:
        self._room = threading.Semaphore(1)
        self._closed_room = most - 1
        self._opens: float | None = None
        self._lock = threading.Lock()
        self._control, control = socket.socketpair()
        sys.stdout.flush()
        sys.stderr.flush()
        with warnings.catch_warnings():
            # Of other threads: those that there may be show progress, and hold nothing
            # that the copy needs.
            warnings.simplefilter("ignore", DeprecationWarning)
            self._pid = os.fork()
        if self._pid == 0:
            self._control.close()
            _Copier(control, work).serve()
        control.close()

    @contextmanager
    def room(self, given_up: threading.Event) -> Iterator[bool]:
        """Waits until there may be one process more.

        Args:
            given_up: Once it is set, nobody wants one any more.

        Yields:
            Whether there may be.
        """
        while not self._room.acquire(timeout=_TURN_SECONDS):
            if given_up.is_set():
                yield False
                return
            if self._opens is not None and time.monotonic() > self._opens:
                self._open()
        if self._opens is None:
            self._opens = time.monotonic() + _ALONE_SECONDS
        try:
            yield not given_up.is_set()
        finally:
            self._open()
            self._room.release()

    def _open(self) -> None:
        with self._lock:
            room, self._closed_room = self._closed_room, 0
        if room:
            self._room.release(room)

    def start(self, request: Any) -> Wire:
        """Starts a process.

        Args:
            request: What it is to do, as JSON has it.

        Returns:
            Where it is heard; its last word is "exit". Closing this end kills it, and
            all processes of its group.

        Raises:
            HarnessError: The server has ended.
        """
        ours, theirs = socket.socketpair()
        wire = Wire(ours)
        try:
            with theirs, self._lock:
                socket.send_fds(self._control, [b"+"], [theirs.fileno()])
            wire.say("request", request)
        except OSError as error:
            wire.close()
            raise gone() from error
        return wire

    def close(self) -> None:
        """Ends all processes."""
        self._control.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._pid, 0)


def gone() -> HarnessError:
    """The error of whoever needs the server once it has ended."""
    return HarnessError(
        "the process that starts those of isolated episodes has ended: was it killed, "
        "or the memory used up?"
    )


@dataclass(frozen=True, slots=True)
class _Child:
    wire: Wire
    output: IO[bytes]
    imported: IO[bytes]

    def close(self) -> None:
        self.wire.close()
        self.output.close()
        self.imported.close()


class _Copier:
    """The copy: it waits for requests, for processes that end, and for who gives up.

    Args:
        control: A request comes as an open socket; its end is that of the server.
        work: What each process does.
    """

    def __init__(self, control: socket.socket, work: Work) -> None:
        self._control = control
        self._work = work
        self._children: dict[int, _Child] = {}
        self._waiting = selectors.DefaultSelector()
        self._woken, self._wake = os.pipe()

    def serve(self) -> NoReturn:
        """Does so until the control ends."""
        try:
            # What is there is shared with all copies for as long as nobody touches it.
            gc.freeze()
            # A Ctrl-C is for the process that plays; it closes the control.
            for number in _ENDING:
                signal.signal(number, signal.SIG_IGN)
            os.set_blocking(self._wake, False)
            signal.signal(signal.SIGCHLD, lambda *_: None)
            signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
            self._waiting.register(self._control, selectors.EVENT_READ)
            self._waiting.register(self._woken, selectors.EVENT_READ)
            while self._turn():
                pass
        except BaseException:  # noqa: BLE001 - nothing of it may run on in the copy
            traceback.print_exc()
        for pid in self._children:
            _kill(pid)
        os._exit(0)

    def _turn(self) -> bool:
        """Waits for something, and does it; False at the end."""
        for key, _ in self._waiting.select():
            if key.fileobj is self._control:
                word, sockets, *_ = socket.recv_fds(self._control, 1, 1)
                if not word:
                    return False
                self._begin(Wire(socket.socket(fileno=sockets[0])))
            elif key.fileobj == self._woken:
                os.read(self._woken, 4096)
                self._reap()
            else:
                # Nothing but its end comes from who waits for the episode.
                self._waiting.unregister(key.fileobj)
                _kill(key.data)
        return True

    def _begin(self, wire: Wire) -> None:
        said = wire.hear()
        if said is None:
            wire.close()
            return
        child = _Child(wire, _open_until_its_end(), _open_until_its_end())
        pid = os.fork()
        if pid == 0:
            self._become(said[1], child)
        with contextlib.suppress(OSError):  # it did that itself
            os.setpgid(pid, pid)
        self._children[pid] = child
        self._waiting.register(wire.socket, selectors.EVENT_READ, pid)

    def _become(self, request: Any, child: _Child) -> NoReturn:
        """What the new process does."""
        code = 0
        before = set(sys.modules)
        try:
            signal.set_wakeup_fd(-1)
            for number in (*_ENDING, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            os.setpgid(0, 0)
            end_with_parent()
            # Else it could speak for the others, and keep their ends open.
            self._control.close()
            for other in self._children.values():
                other.close()
            for stream in (1, 2):
                os.dup2(child.output.fileno(), stream)
            faulthandler.enable(child.output)
            self._work(request, child.wire)
            child.imported.write(json.dumps(_installed(before)).encode())
            child.imported.flush()
        except BaseException:  # noqa: BLE001 - it ends here, whatever it is
            os.write(2, traceback.format_exc().encode())
            code = 1
        os._exit(code)

    def _reap(self) -> None:
        """Says of the processes that have ended how they did."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            child = self._children.pop(pid, None)
            if child is not None:
                # What it has started and left behind.
                _kill(pid)
                self._say_ended(child, os.waitstatus_to_exitcode(status))

    def _say_ended(self, child: _Child, code: int) -> None:
        with contextlib.suppress(KeyError):  # it was killed
            self._waiting.unregister(child.wire.socket)
        with contextlib.suppress(OSError):  # nobody waits for it any more
            child.wire.say("exit", {"code": code, "output": _tail(child.output)})
        _import(child.imported)
        child.close()


def _open_until_its_end() -> IO[bytes]:
    return tempfile.TemporaryFile()


def _installed(before: set[str]) -> list[str]:
    """Modules of installed packages that were imported since, in their order.

    Not what a tool has written: that belongs to its episode.
    """
    kinds = ("stdlib", "purelib", "platlib")
    homes = tuple({sysconfig.get_path(kind) for kind in kinds})
    return [
        name
        for name, module in list(sys.modules.items())
        if name not in before
        and str(getattr(module, "__file__", None) or "").startswith(homes)
    ]


def _import(names: IO[bytes]) -> None:
    """Imports them here, too, so that later processes have them."""
    names.seek(0)
    text = names.read()
    for name in json.loads(text) if text else ():
        if name not in sys.modules:
            with contextlib.suppress(BaseException):
                importlib.import_module(name)


def _kill(group: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _tail(output: IO[bytes]) -> str:
    size = output.seek(0, os.SEEK_END)
    output.seek(max(0, size - MOST_OUTPUT))
    return output.read(MOST_OUTPUT).decode(errors="replace")
