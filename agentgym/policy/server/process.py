"""The policy server as a process of its own, started and stopped from here."""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import importlib.util
import json
import os
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from agentgym.distribution import install_command
from agentgym.endpoint import PolicyEndpoint
from agentgym.errors import InfraError, UsageError
from agentgym.policy.folders.adapter_folder import check_adapter
from agentgym.policy.folders.hub_download import find_model
from agentgym.policy.folders.model_folder import check_folder
from agentgym.policy.vllm_engine.choice import VllmChoice
from agentgym.recording.plain import shorten
from agentgym.runs.files.held_folder import HeldFolder

_NEEDED = ("torch", "transformers", "starlette", "uvicorn", "pydantic", "jinja2")
SERVER_KEY = "AGENTGYM_SERVER_KEY"
"""Environment variable: the key of servers that are started here. Arguments would show
it to every user of the machine."""
_NOTE = "policy.json"
RESTARTS = 5
"""Times that a server that died is started again."""
_START_SECONDS, _ANSWER_SECONDS, _HEALTH_SECONDS = 1200, 600, 5
_LOCAL = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Asks this machine, whatever proxy the environment names."""


class PolicyProcess:
    """A running policy server; `endpoint` says where."""

    def __init__(
        self, process: subprocess.Popen[bytes], endpoint: PolicyEndpoint
    ) -> None:
        self._process = process
        self.endpoint = endpoint

    @classmethod
    def start(
        cls,
        model: str | Path,
        *,
        adapter: Path | None = None,
        device: str = "auto",
        dtype: str = "auto",
        log: Path | None = None,
        exit_with: int | None = None,
        name: str = "",
        port: int = 0,
        vllm: VllmChoice | None = None,
        template: Mapping[str, Any] | None = None,
        adapters: Path | None = None,
        key: str | None = None,
        given_up: Callable[[], bool] = lambda: False,
    ) -> PolicyProcess:
        """Starts a server for a model folder and waits until it answers.

        Args:
            model: Folder of a Hugging Face model, or the hub's name of one.
            adapter: Folder of a LoRA adapter that is part of the model from the start.
            device: "auto", "cpu", "cuda", ...
            dtype: "auto", "float32", "float16" or "bfloat16".
            log: File that gets the server's output; by default it is dropped.
            exit_with: The server ends with this process; by default this one.
            name: Name of the model in the API.
            port: Where it listens; 0 for any free port.
            vllm: The vLLM that samples; None for our own engine.
            template: Variables of the chat template, such as `enable_thinking`.
            adapters: The folder below which `load_adapter` may load; None: nowhere.
            key: What clients have to know; by default `AGENTGYM_SERVER_KEY` of the
                environment, or a random one.
            given_up: Whether nobody waits for the start any more.

        Raises:
            UsageError: The server did not start; the message is its own.
            InfraError: It was given up.
        """
        key = server_key() if key is None else key
        check_port(port)
        check_installed()
        folder = find_model(model)
        check_folder(folder)
        if adapter is not None:
            check_adapter(adapter)
        with HeldFolder() as scratch:
            ready = scratch / "ready.json"
            output = log or scratch / "server.log"
            command = [sys.executable, "-m", "agentgym.policy.server"]
            command += ["--model", str(folder), "--ready-file", str(ready)]
            command += ["--exit-with", str(exit_with or os.getpid()), "--name", name]
            command += ["--port", str(port), "--device", device, "--dtype", dtype]
            if adapter is not None:
                command += ["--adapter", str(adapter)]
            if vllm is not None:
                command += vllm.arguments()
            if template:
                command += ["--chat-template-kwargs", json.dumps(dict(template))]
            if adapters is not None:
                command += ["--adapters", str(adapters)]
            with output.open("ab") as stream:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=stream,
                    stderr=stream,
                    env=os.environ | {SERVER_KEY: key},
                )
            try:
                about = _wait(process, ready, output, given_up)
            except BaseException:
                _end(process)
                raise
        at = f"http://127.0.0.1:{about['port']}/v1"
        return cls(process, PolicyEndpoint(at, key, about["model"]))

    def __enter__(self) -> PolicyProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def load_adapter(self, name: str, folder: Path) -> None:
        """Makes an adapter's folder known to the server by a name.

        Args:
            name: What requests ask for.
            folder: As peft wrote it.

        Raises:
            UsageError: The server refuses it; the message is the server's.
            InfraError: The server does not answer.
        """
        path = str(folder.expanduser().resolve())
        self._post("load_lora_adapter", {"lora_name": name, "lora_path": path})

    def unload_adapter(self, name: str) -> None:
        """Has an adapter forgotten, when all requests for it so far are answered.

        Raises:
            UsageError: It is not loaded.
            InfraError: The server does not answer.
        """
        self._post("unload_lora_adapter", {"lora_name": name})

    def rest(self, *, wake: bool = False) -> None:
        """Has what samples free the GPU's memory, or take it again.

        Args:
            wake: Whether it is to take it again.

        Raises:
            InfraError: It does not.
        """
        self._post("wake_up" if wake else "sleep", {})

    def sample(self, prompt: Sequence[int], most: int) -> tuple[list[int], list[float]]:
        """The likeliest tokens behind a prompt, and their log-probabilities.

        Args:
            prompt: Token ids.
            most: How many tokens.

        Raises:
            UsageError: The server refuses it; the message is the server's.
            InfraError: The server does not answer, or what samples does not.
        """
        answer = self._post(
            "completions",
            {
                "prompt": list(prompt),
                "max_tokens": most,
                "temperature": 0,
                "logprobs": 0,
                "return_token_ids": True,
                "ignore_eos": True,
            },
        )
        choice = json.loads(answer)["choices"][0]
        return choice["token_ids"], choice["logprobs"]["token_logprobs"]

    def _post(self, path: str, body: dict[str, Any]) -> bytes:
        url = f"{self.endpoint.base_url}/{path}"
        if path in ("sleep", "wake_up"):
            url = f"{self.endpoint.base_url.removesuffix('/v1')}/{path}"
        request = urllib.request.Request(  # noqa: S310
            url,
            json.dumps(body).encode(),
            {
                "Authorization": f"Bearer {self.endpoint.api_key}",
                "Content-Type": "application/json",
            },
        )
        try:
            with _LOCAL.open(request, timeout=_ANSWER_SECONDS) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                sentence = _sentence(error)
            raise (UsageError if error.code < 500 else InfraError)(sentence) from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise InfraError(
                f"the policy server does not answer at {url}: {reason}"
            ) from None

    def trouble(self) -> str | None:
        """Why what samples does not, in one sentence; None as long as all is well."""
        url = self.endpoint.base_url.removesuffix("/v1") + "/health"
        try:
            with _LOCAL.open(url, timeout=_HEALTH_SECONDS) as answer:
                said = json.load(answer).get("trouble")
        except (OSError, ValueError, AttributeError, http.client.HTTPException):
            return None  # Whether it is there at all is asked otherwise.
        return said if isinstance(said, str) else None

    def alive(self, patience: float = 0) -> bool:
        """Whether the server still runs.

        Args:
            patience: Seconds until it may be seen that it does not: one that is killed
                answers no more before it has ended.
        """
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(patience)
        return self._process.poll() is None

    def stop(self) -> None:
        """Ends the server; harmless when it has ended."""
        _end(self._process)

    def _disown(self) -> None:
        # Popen then neither waits for the server nor warns that it still runs.
        self._process.returncode = 0


class SharedServer(NamedTuple):
    """A policy server that several processes use, and its process id."""

    endpoint: PolicyEndpoint
    pid: int


def shared(
    model: str | Path,
    folder: Path,
    *,
    exit_with: int,
    adapter: Path | None = None,
    name: str = "",
    vllm: VllmChoice | None = None,
    device: str = "auto",
    template: Mapping[str, Any] | None = None,
) -> SharedServer:
    """The one server that all processes using `folder` share.

    The first caller starts it, later ones find it. One that died is started again at
    the same address and with the same key, so that agents need not know.

    Args:
        model: Folder of a local Hugging Face model.
        folder: Where its address is noted; it is made if it does not exist.
        exit_with: Id of the process that it ends with.
        adapter: Folder of a LoRA adapter that is part of the model from the start.
        name: Name of the model in the API.
        vllm: The vLLM that samples; None for our own engine.
        device: "auto", "cpu", "cuda", ...
        template: Variables of the chat template, such as `enable_thinking`.

    Raises:
        UsageError: The server did not start, or dies again and again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    note = folder / _NOTE
    with (folder / "policy.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = _noted(note)
        if before is not None and alive(before["pid"]):
            return SharedServer(PolicyEndpoint(**before["endpoint"]), before["pid"])
        starts = 1 if before is None else before["starts"] + 1
        if starts > 1 + RESTARTS:
            raise UsageError(
                f"the policy server died {starts - 1} times; end what kills it (a "
                "limit on memory, most often), and run again"
            )
        address = {} if before is None else before["endpoint"]
        process = PolicyProcess.start(
            model,
            adapter=adapter,
            exit_with=exit_with,
            name=name,
            port=urlsplit(address["base_url"]).port or 0 if address else 0,
            key=address.get("api_key"),
            vllm=vllm,
            device=device,
            template=template,
        )
        endpoint, pid = process.endpoint, process._process.pid
        known = {
            "endpoint": {
                "base_url": endpoint.base_url,
                "api_key": endpoint.api_key,
                "model": endpoint.model,
            },
            "pid": pid,
            "starts": starts,
        }
        note.write_text(json.dumps(known), encoding="utf-8")
        process._disown()
        return SharedServer(endpoint, pid)


def _noted(note: Path) -> dict[str, Any] | None:
    """What was noted of a server; None if there was none before."""
    try:
        known: dict[str, Any] = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return known


def starts_of(folder: Path) -> int:
    """How often `shared` has started a server for this folder."""
    before = _noted(folder / _NOTE)
    return 0 if before is None else int(before["starts"])


def alive(pid: int) -> bool:
    """Whether a process of this machine runs; a zombie does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    # A zombie has ended, though nobody has asked how.
    with contextlib.suppress(OSError, IndexError):
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return stat.rpartition(")")[2].split()[0] != "Z"
    return True


def healthy(endpoint: PolicyEndpoint) -> bool:
    """Whether a policy server of this machine answers; its key is not needed."""
    url = endpoint.base_url.removesuffix("/v1") + "/health"
    try:
        with _LOCAL.open(url, timeout=_HEALTH_SECONDS) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError):
        return False


def server_key() -> str:
    """The key of a server that is started here: the environment's, or a random one.

    Raises:
        UsageError: It is empty.
    """
    key = os.environ.get(SERVER_KEY)
    if key is None:
        return secrets.token_urlsafe(24)
    if not key.strip():
        raise UsageError(
            f"{SERVER_KEY} is empty: give it a key, or unset it for a random one"
        )
    return key.strip()


def check_port(port: int) -> None:
    """Checks that a number can be a port.

    Raises:
        UsageError: It cannot.
    """
    if not isinstance(port, int) or not 0 <= port <= 65535:
        raise UsageError(f"port {port}: give a number from 0 to 65535")


def check_installed() -> None:
    """Checks that a local policy's packages are there, without importing them.

    Raises:
        UsageError: One is missing; the message names the extra that has it.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            f"a local policy needs {', '.join(missing)}: "
            f"run {install_command('policy')}"
        )


def _sentence(error: urllib.error.HTTPError) -> str:
    """What the server says in OpenAI's shape of errors."""
    try:
        return str(json.load(error)["error"]["message"])
    except (OSError, ValueError, KeyError, TypeError):
        return f"the policy server answered {error.code} {error.reason}"


def _wait(
    process: subprocess.Popen[bytes],
    ready: Path,
    output: Path,
    given_up: Callable[[], bool],
) -> dict[str, Any]:
    end = time.monotonic() + _START_SECONDS
    while True:
        ended = process.poll() is not None
        if ready.exists():
            about: dict[str, Any] = json.loads(ready.read_text(encoding="utf-8"))
            if "error" in about:
                raise UsageError(about["error"])
            return about
        if ended:
            text = output.read_text(encoding="utf-8", errors="replace").strip()
            last = shorten(text.splitlines()[-1], 300) if text else "it wrote nothing"
            raise UsageError(
                "the policy server ended at its start with exit code "
                f"{process.returncode}: {last}"
            )
        if given_up():
            raise InfraError("the policy server was stopped while it started")
        if time.monotonic() > end:
            raise UsageError(
                f"the policy server was not ready after {_START_SECONDS} s"
            )
        time.sleep(0.05)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()
