"""The policy server as a process of its own, started and stopped from here."""

import contextlib
import fcntl
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agentgym.errors import UsageError
from agentgym.policy.endpoint import PolicyEndpoint
from agentgym.policy.folder import check_folder

_NEEDED = ("torch", "transformers", "starlette", "uvicorn", "pydantic")
_API_KEY = "agentgym"
"""Clients insist on a key; the server, for this machine only, asks for none."""


class PolicyProcess:
    """A running policy server; ``endpoint`` says where."""

    def __init__(
        self, process: "subprocess.Popen[bytes]", endpoint: PolicyEndpoint
    ) -> None:
        self._process = process
        self.endpoint = endpoint

    @classmethod
    def start(
        cls,
        model: str | Path,
        *,
        log: Path | None = None,
        on_wait: Callable[[float], None] | None = None,
        exit_with: int | None = None,
        name: str = "",
        timeout: float = 600,
    ) -> "PolicyProcess":
        """Start a server for a model folder and wait until it answers.

        Args:
            model: Folder of a local Hugging Face model.
            log: File that gets the server's output; by default it is dropped.
            on_wait: Called about once a second with the seconds waited.
            exit_with: The server ends with this process; by default this one.
            name: Name of the model in the API.
            timeout: Seconds after which waiting ends.

        Raises:
            UsageError: The server did not start; the message is its own.
        """
        check_installed()
        check_folder(Path(model).expanduser())
        with tempfile.TemporaryDirectory(prefix="agentgym-") as folder:
            ready = Path(folder, "ready.json")
            output = log or Path(folder, "server.log")
            command = [sys.executable, "-m", "agentgym.policy.server"]
            command += ["--model", str(model), "--ready-file", str(ready)]
            command += ["--exit-with", str(exit_with or os.getpid()), "--name", name]
            with output.open("ab") as stream:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=stream,
                    stderr=stream,
                )
            try:
                found = _wait(process, ready, output, on_wait, timeout)
            except BaseException:
                _end(process)
                raise
        return cls(process, _endpoint(found))

    def alive(self) -> bool:
        """Whether the server still runs."""
        return self._process.poll() is None

    def stop(self) -> None:
        """End the server; harmless when it has ended."""
        _end(self._process)

    def _disown(self) -> None:
        # Popen then neither waits for the server nor warns that it still runs.
        self._process.returncode = 0


def shared(
    model: str | Path,
    folder: Path,
    *,
    exit_with: int,
    log: Path | None = None,
    on_wait: Callable[[float], None] | None = None,
    name: str = "",
) -> PolicyEndpoint:
    """The endpoint of the one server that all processes using ``folder`` share.

    The first caller starts it, later ones find it. It ends with ``exit_with``.

    Raises:
        UsageError: The server did not start.
    """
    folder.mkdir(parents=True, exist_ok=True)
    note = folder / "policy.json"
    with (folder / "policy.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with contextlib.suppress(OSError, ValueError):
            endpoint = PolicyEndpoint(**json.loads(note.read_text(encoding="utf-8")))
            if healthy(endpoint):
                return endpoint
        process = PolicyProcess.start(
            model, log=log, on_wait=on_wait, exit_with=exit_with, name=name
        )
        endpoint = process.endpoint
        known = {
            "base_url": endpoint.base_url,
            "api_key": endpoint.api_key,
            "model": endpoint.model,
        }
        note.write_text(json.dumps(known), encoding="utf-8")
        process._disown()
        return endpoint


def healthy(endpoint: PolicyEndpoint, timeout: float = 5) -> bool:
    """Whether a policy server answers at this endpoint."""
    url = endpoint.base_url.removesuffix("/v1") + "/health"
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except (OSError, ValueError):
        return False


def check_installed() -> None:
    """Check that a local policy's packages are there, without importing them.

    Raises:
        UsageError: One is missing; the message names the extra that has it.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            f"a local policy needs {', '.join(missing)}: "
            "run pip install 'agentgym[policy]'"
        )


def _endpoint(found: dict[str, Any]) -> PolicyEndpoint:
    return PolicyEndpoint(
        base_url=f"http://127.0.0.1:{found['port']}/v1",
        api_key=_API_KEY,
        model=found["model"],
    )


def _wait(
    process: "subprocess.Popen[bytes]",
    ready: Path,
    output: Path,
    on_wait: Callable[[float], None] | None,
    timeout: float,
) -> dict[str, Any]:
    begin = time.monotonic()
    told = 0
    while True:
        ended = process.poll() is not None
        if ready.exists():
            found: dict[str, Any] = json.loads(ready.read_text(encoding="utf-8"))
            if "error" in found:
                raise UsageError(found["error"])
            return found
        if ended:
            text = output.read_text(encoding="utf-8", errors="replace").strip()
            last = text.splitlines()[-1] if text else "it wrote nothing"
            raise UsageError(
                "the policy server ended at its start with exit code "
                f"{process.returncode}: {last}"
            )
        waited = time.monotonic() - begin
        if waited > timeout:
            raise UsageError(f"the policy server was not ready after {timeout:.0f} s")
        if on_wait is not None and waited >= told + 1:
            told = int(waited)
            on_wait(waited)
        time.sleep(0.05)


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(3)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()
