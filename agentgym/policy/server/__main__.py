"""An OpenAI-compatible HTTP server for one local model.

Usage: `python -m agentgym.policy.server --model MODEL`. It speaks vLLM's dialect:
`return_token_ids` puts `prompt_token_ids` on the response and `token_ids` on the
choice, and LoRA adapters are loaded and unloaded while it runs. Log-probabilities are
the model's own, at temperature 1. A reply has at most 1024 tokens unless `max_tokens`
says otherwise.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import uvicorn

from agentgym.errors import InfraError, UsageError
from agentgym.exit_code import ExitCode, UsageParser
from agentgym.policy.chat.opened_tokenizer import is_its_own, one_line
from agentgym.policy.chat.trial import begin_trial
from agentgym.policy.engine.devices import visible_gpu
from agentgym.policy.engine.generation import TokenEngine
from agentgym.policy.engine.token_model import read_token_model
from agentgym.policy.folders.hub_download import find_model
from agentgym.policy.folders.model_folder import check_folder
from agentgym.policy.server.guard import Guard
from agentgym.policy.server.listening import configured
from agentgym.policy.server.process import (
    SERVER_KEY,
    alive,
    check_port,
    server_key,
)
from agentgym.policy.server.routes import PolicyServer
from agentgym.policy.vllm_engine.choice import VllmChoice
from agentgym.runs.files.store import write_json

_VISIBLE = "CUDA_VISIBLE_DEVICES"


class _Uvicorn(uvicorn.Server):
    """Uvicorn that says when it is ready, and stops at once."""

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        ready: Callable[[], None],
        stop: Callable[[], None],
        exit_with: int | None,
    ) -> None:
        super().__init__(config)
        self._stop_engine = stop
        self._ready = ready
        self._exit_with = exit_with
        self._watch: asyncio.Task[None] | None = None
        """Kept, as asyncio may collect a task that nobody holds."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()
        if self._exit_with is not None:
            self._watch = asyncio.create_task(self._follow(self._exit_with))

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stop)
        if self._exit_with is None:
            loop.add_signal_handler(signal.SIGINT, self._stop)
        yield

    def _stop(self) -> None:
        # Requests end at once then, so that no connection is waited for.
        self._stop_engine()
        self.should_exit = self.force_exit = True

    async def _follow(self, pid: int) -> None:
        while alive(pid):
            await asyncio.sleep(1)
        self._stop()


def _parser() -> argparse.ArgumentParser:
    parser = UsageParser(
        prog="python -m agentgym.policy.server",
        description="Serve a local model over an OpenAI-compatible API.",
    )
    parser.add_argument(
        "--model",
        required=True,
        metavar="MODEL",
        help="a folder, or OWNER/NAME of a model of the Hugging Face hub",
    )
    parser.add_argument(
        "--adapter",
        type=Path,
        metavar="FOLDER",
        help="LoRA adapter that is part of the model from the start",
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    parser.add_argument("--name", default="", help="name of the model in the API")
    parser.add_argument(
        "--adapters",
        type=Path,
        metavar="FOLDER",
        help="where clients may have LoRA adapters loaded from (default: nowhere)",
    )
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument(
        "--chat-template-kwargs",
        type=json.loads,
        metavar="JSON",
        help="variables of the chat template",
    )
    _add_vllm(parser)
    parser.add_argument(
        "--exit-with", type=int, metavar="PID", help="stop when this process ends"
    )
    parser.add_argument(
        "--ready-file", type=Path, metavar="FILE", help="where to write the port"
    )
    return parser


def _add_vllm(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "vLLM", "has vLLM sample; the key of one that runs is in AGENTGYM_API_KEY"
    )
    group.add_argument("--vllm", metavar="PROGRAM", help="the vllm to start")
    group.add_argument("--vllm-rank", type=int, default=16, metavar="N")
    group.add_argument("--vllm-log", type=Path, metavar="FILE")
    group.add_argument("--vllm-url", default="", help="a vLLM server that runs")
    group.add_argument("--vllm-model", default="", help="the base model's name there")
    group.add_argument(
        "--vllm-share", type=Path, metavar="FOLDER", help="where it reads adapters"
    )


def _engine(options: argparse.Namespace) -> TokenEngine:
    """What samples.

    Raises:
        UsageError: It cannot be started.
    """
    model = find_model(options.model)
    check_folder(model)
    # It runs beside the imports of what follows.
    begin_trial(model)
    if options.vllm or options.vllm_url:
        from agentgym.policy.vllm_engine.starting import start_engine

        gpu = visible_gpu(options.device, os.environ.get(_VISIBLE))
        if gpu is not None:
            os.environ[_VISIBLE] = gpu
        return start_engine(
            read_token_model(
                model, name=options.name, template=options.chat_template_kwargs
            ),
            VllmChoice(
                base_url=options.vllm_url,
                model=options.vllm_model,
                share=options.vllm_share,
                program=options.vllm or "",
                rank=options.vllm_rank,
                log=options.vllm_log,
            ),
            api_key=os.environ.get("AGENTGYM_API_KEY") or "agentgym",
            adapter=options.adapter,
            dtype=options.dtype,
        )
    # They import torch, and a process that has vLLM sample holds no weights.
    from agentgym.policy.engine.engine import Engine
    from agentgym.policy.engine.loading import load

    policy = load(
        model,
        options.device,
        options.dtype,
        name=options.name,
        template=options.chat_template_kwargs,
    )
    return Engine(policy, adapter=options.adapter)


def main(arguments: list[str] | None = None) -> int:
    """Serves until a signal stops it; returns the exit code."""
    options = _parser().parse_args(arguments)
    if options.exit_with is not None:
        # Ctrl-C reaches the whole process group; the owner decides when to stop.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        key = server_key()
        # What it starts need not know it.
        os.environ.pop(SERVER_KEY, None)
        listener = _listen(options.host, options.port)
        engine = _engine(options)
    except (UsageError, InfraError) as error:
        return _refuse(options, str(error))
    except BaseException as error:
        if not is_its_own(error):
            raise
        # For the log: whoever waits gets one sentence.
        traceback.print_exc()
        return _refuse(
            options,
            f"the model {options.model} cannot be served: {type(error).__name__}: "
            f"{one_line(error)}",
        )
    port = listener.getsockname()[1]

    def ready() -> None:
        if options.ready_file:
            about = {"port": port, "model": engine.policy.name, "pid": os.getpid()}
            write_json(options.ready_file, about)
        else:
            print(f"serving {engine.policy.name} at http://{options.host}:{port}/v1")
            print(f"key: {key}", flush=True)

    server = PolicyServer(engine, adapters=options.adapters)
    config = configured(
        Guard(server.app(), key=key, hosts=[options.host]),
        lifespan="off",
        timeout_graceful_shutdown=1,
    )
    _Uvicorn(config, ready=ready, stop=engine.stop, exit_with=options.exit_with).run(
        [listener]
    )
    engine.close()
    return ExitCode.OK


def _refuse(options: argparse.Namespace, sentence: str) -> int:
    print(f"error: {sentence}", file=sys.stderr)
    if options.ready_file:
        write_json(options.ready_file, {"error": sentence})
    return ExitCode.USAGE


def _listen(host: str, port: int) -> socket.socket:
    check_port(port)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's algorithm off, which makes answers wait for 40 ms, only
    # where the protocol is given.
    listener = socket.socket(family, proto=socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise UsageError(
            f"cannot listen on {host}:{port}: {error.strerror}; choose another port"
        ) from error
    return listener


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Torch and transformers take seconds to tear down, and nothing is left to save.
    os._exit(code)
