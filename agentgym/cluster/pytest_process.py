"""pytest as a child process: the library itself never imports it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_KEPT = 64 * 1024
"""Bytes of standard error that are kept: the reason is at its end."""
_LAST_OUTPUT_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a pytest process ended.

    Attributes:
        code: Its exit code; negative for a signal that killed it.
        summary: What `--agentgym-json` wrote; empty if it came to no summary.
        errors: The end of what it wrote to standard error.
        signals: Signals that this process got meanwhile and passed on.
    """

    code: int
    summary: dict[str, Any]
    errors: str
    signals: tuple[int, ...]

    @property
    def sentence(self) -> str:
        """What it says of a usage error."""
        usage_errors = self.summary.get("usage_errors")
        if usage_errors:
            return "; ".join(usage_errors)
        text = self.errors.rpartition("ERROR: ")[2].strip()
        if "error: " in text:  # of an option that it does not know
            text = text.partition("error: ")[2].partition("\n")[0]
        return " ".join(text.split()) or "pytest was used wrongly; its output says how"

    def raise_signal(self) -> None:
        """Ends this process if a signal meant that; a Ctrl-C is the caller's."""
        for number in self.signals:
            if number != signal.SIGINT:
                signal.raise_signal(number)


def run_pytest(
    arguments: Sequence[str],
    *,
    folder: Path,
    root: Path,
    environment: Mapping[str, str] | None = None,
    own_session: bool = False,
) -> Ended:
    """Runs `pytest --agentgym` and waits for its end; its output goes where ours goes.

    A signal that would end this process goes to pytest first, which then saves and
    reports what it has.

    Args:
        arguments: What follows `pytest --agentgym`.
        folder: An empty folder for files of this run.
        root: Where it is run.
        environment: Variables beside those of this process.
        own_session: Whether a terminal's Ctrl-C reaches it only through this process,
            once. Outside of the main thread, which gets the signals, it never does.
    """
    summary = folder / "summary.json"
    command = [sys.executable, "-m", "pytest", *_plugins(), "--agentgym"]
    mine = threading.current_thread() is threading.main_thread()
    with _PassedOn(mine) as passed_on:
        process = subprocess.Popen(
            [*command, f"--agentgym-json={summary}", *arguments],
            cwd=root,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=own_session and mine,
        )
        try:
            passed_on.to(process)
            errors = _Errors(process)
            code = process.wait()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        text = errors.text()
    return Ended(
        code=code, summary=_read(summary), errors=text, signals=tuple(passed_on.signals)
    )


def _plugins() -> list[str]:
    """What has to be named where pytest loads no plugin by itself."""
    alone = os.environ.get("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    return ["-p", "agentgym", "-p", "xdist"] if alone else []


class _PassedOn:
    """Passes the signals that would end this process on to a child.

    Args:
        mine: Whether this thread gets signals at all.
    """

    def __init__(self, mine: bool) -> None:
        self.signals: list[int] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._handlers: dict[int, Any] = {}
        self._mine = mine

    def __enter__(self) -> _PassedOn:
        if not self._mine:
            return self
        for number in _ENDING:
            handler = signal.getsignal(number)
            # Who ignores one, or does something else to end, knows why.
            interrupts = number == signal.SIGINT and callable(handler)
            if interrupts or handler == signal.SIG_DFL:
                self._handlers[number] = signal.signal(number, self._pass)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def to(self, process: subprocess.Popen[bytes]) -> None:
        """Says who gets them, also those that came already."""
        self._process = process
        if self.signals:
            self._send()

    def _pass(self, number: int, _: FrameType | None) -> None:
        self.signals.append(number)
        if self._process is not None:
            self._send()

    def _send(self) -> None:
        # What this process ignores, its children ignore, too.
        heard = signal.getsignal(signal.SIGINT) != signal.SIG_IGN
        number = signal.SIGINT if heard else signal.SIGTERM
        with contextlib.suppress(ProcessLookupError):
            assert self._process is not None
            self._process.send_signal(number)


class _Errors:
    """Shows a child's standard error and keeps its end."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stderr is not None
        self._stream = process.stderr
        self._kept = b""
        self._thread = threading.Thread(
            target=self._read, name="agentgym-errors", daemon=True
        )
        self._thread.start()

    def text(self) -> str:
        """The end of what came, when the process has ended."""
        # A process that it left behind may hold the stream open.
        self._thread.join(_LAST_OUTPUT_SECONDS)
        if not self._thread.is_alive():
            self._stream.close()
        return self._kept.decode("utf-8", "replace")

    def _read(self) -> None:
        for part in _parts(self._stream):
            self._kept = (self._kept + part)[-_KEPT:]
            with contextlib.suppress(OSError):
                os.write(2, part)


def _parts(stream: Any) -> Iterator[bytes]:
    while part := stream.read1():
        yield part


def _read(path: Path) -> dict[str, Any]:
    try:
        summary: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return summary
