"""A vLLM server that is started for a run, watched, and stopped with it."""

from __future__ import annotations

import ctypes
import os
import re
import secrets
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from agentgym.endpoint import Endpoint
from agentgym.errors import InfraError, UsageError
from agentgym.policy.engine.devices import nvidia_gpus
from agentgym.policy.vllm_engine.served_model import VllmAnswerError, ask

_NOT_INHERITED = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
START_SECONDS = 1200
"""Weights of a large model take minutes, and compiling it as long again."""
LOG_BYTES = 200_000
"""What is read of the end of a log."""
_STOP_SECONDS = 7
"""Whoever waits for the policy server waits a little longer."""
_PR_SET_PDEATHSIG = 1
_PREFIX = re.compile(
    r"^(?:\([^)]*\)\s*)?(?:[A-Z]+ \d\d-\d\d [\d:]+ )?(?:\[[^]]*\]\s*)?"
)
_TELLING = re.compile(
    r"(?:^|\s)((?:[\w.]+\.)?\w*(?:Error|Exception|Interrupt)\b: .+"
    r"|vllm serve: error: .+|.*[Oo]ut of memory.*|.*error: .+)"
)
_VAGUE = ("Engine core init", "See root cause", "Worker failed", "process_group")
_OUT_OF_MEMORY = re.compile(
    r"out of memory|OutOfMemory|less than desired GPU memory|No available memory"
    r"|Cannot allocate memory|KV cache is needed",
    re.IGNORECASE,
)


class VllmProcess:
    """A running vLLM server; `endpoint` says where."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        endpoint: Endpoint,
        log: Path,
        begun: int,
    ) -> None:
        self._process = process
        self.endpoint = endpoint
        self._log = log
        self._begun = begun
        """Where its part of the log begins: that of an earlier one is before it."""
        self._stopped = False

    @classmethod
    def start(
        cls, program: str, model: Path, *, rank: int, log: Path, dtype: str = "auto"
    ) -> VllmProcess:
        """Starts a server for a model folder, and waits until it answers.

        Args:
            program: vLLM's own command.
            model: The folder.
            rank: The largest rank of an adapter.
            log: Gets its output.
            dtype: "auto", "float32", "float16" or "bfloat16".

        Raises:
            UsageError: It did not start; the message has the log's last telling line.
        """
        gpu = nvidia_gpus() > 0
        port, key = _free_port(), secrets.token_urlsafe(24)
        command = [program, "serve", str(model), "--served-model-name", "base"]
        command += ["--host", "127.0.0.1", "--port", str(port)]
        command += ["--enable-lora", "--max-lora-rank", str(rank), "--max-loras", "2"]
        # One line a request would hide what is worth reading.
        command += ["--uvicorn-log-level", "warning"]
        if gpu:
            command += ["--dtype", dtype, "--enable-sleep-mode"]
            command += ["--gpu-memory-utilization", "0.6"]
        else:
            # As our own engine: half precision is slower and less exact on a CPU. What
            # is compiled takes longer to compile than a CPU saves by it in one run.
            command += ["--dtype", "float32" if dtype == "auto" else dtype]
            command += ["--enforce-eager"]
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as stream:
            begun = stream.tell()
            try:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=stream,
                    stderr=stream,
                    env=_environment(key, gpu=gpu),
                    # Its own processes end with it, and Ctrl-C is ours to pass on.
                    start_new_session=True,
                    preexec_fn=_end_with_parent,
                )
            except OSError as error:
                raise UsageError(
                    f"vLLM cannot be started: {program}: {error.strerror or error}"
                ) from None
        endpoint = Endpoint(f"http://127.0.0.1:{port}/v1", key, "base")
        made = cls(process, endpoint, log, begun)
        try:
            made._wait()
        except BaseException:
            made.stop()
            raise
        return made

    def why_dead(self) -> str | None:
        """Why it has ended, in one sentence; None while it runs."""
        code = self._process.poll()
        if code is None or self._stopped:
            return None
        return self._ended(code)

    def sleep(self) -> None:
        """Frees the GPU's memory until `wake`; nothing is asked meanwhile."""
        self._ask("/sleep?level=1")

    def wake(self) -> None:
        """Takes the memory again."""
        self._ask("/wake_up")

    def stop(self) -> None:
        """Ends it and its own processes; harmless when it has ended."""
        self._stopped = True
        for number, seconds in ((signal.SIGTERM, _STOP_SECONDS), (signal.SIGKILL, 5)):
            # All of them: those that a killed server leaves behind hold the GPU.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)

    def _ask(self, path: str) -> None:
        try:
            ask(self.endpoint, path, {})
        except VllmAnswerError as error:
            raise InfraError(f"vLLM refuses {path}: {error}") from None

    def _wait(self) -> None:
        end = time.monotonic() + START_SECONDS
        while True:
            code = self._process.poll()
            if code is not None:
                raise UsageError(self._ended(code, "at its start "))
            with suppress(InfraError, VllmAnswerError):
                ask(self.endpoint, "/health")
                return
            if time.monotonic() > end:
                seconds = f"{START_SECONDS} s; its log is {self._log}"
                raise UsageError(f"vLLM was not ready after {seconds}")
            time.sleep(0.2)

    def _ended(self, code: int, when: str = "") -> str:
        how = f"exit code {code}" if code >= 0 else signal.Signals(-code).name
        text = f"vLLM ended {when}with {how}"
        with suppress(OSError):
            data = self._log.read_bytes()[self._begun :][-LOG_BYTES:]
            line = telling_line(data.decode(errors="replace"))
            text += f": {line or 'it wrote nothing'}"
            if _OUT_OF_MEMORY.search(line) or code == -signal.SIGKILL:
                text += (
                    "; if there is too little memory, use a smaller model or a device "
                    "of its own for it"
                )
        return f"{text} (its log is {self._log})"


def telling_line(text: str) -> str:
    """The line of a log that says best why it ends; empty if none does.

    Args:
        text: The log.
    """
    lines = [_PREFIX.sub("", line).strip() for line in text.splitlines()]
    found = [match[1].strip() for line in lines if (match := _TELLING.search(line))]
    clear = [line for line in found if not any(vague in line for vague in _VAGUE)]
    return (clear or found or [line for line in lines if line] or [""])[-1]


def _environment(key: str, *, gpu: bool) -> dict[str, str]:
    ours = {
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True",
        # Not on the command line, which others can see.
        "VLLM_API_KEY": key,
        "VLLM_NO_USAGE_STATS": "1",
    }
    if gpu:
        ours["VLLM_SERVER_DEV_MODE"] = "1"  # has /sleep and /wake_up
    on_cpu = {
        "VLLM_TARGET_DEVICE": "cpu",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    }
    defaults = {} if gpu else on_cpu
    # Our own PYTHONPATH leads to another environment's packages.
    inherited = {k: v for k, v in os.environ.items() if k not in _NOT_INHERITED}
    return {**defaults, **inherited, **ours}


def _end_with_parent() -> None:
    """Has the kernel end this process with its parent, also a killed one."""
    with suppress(OSError, AttributeError):  # on Linux only
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
