"""An HTTP server that answers as vLLM 0.32 does, with our own engine behind it.

What it answers was written down from a real one (`make test-vllm` asks one). It can be
of an old version, lack LoRA, answer wrong ids, or die. As a program it takes the
arguments of `vllm serve`.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from typing import Any

from agentgym.errors import UsageError
from agentgym.policy.engine.engine import Engine
from agentgym.policy.engine.generation import Generation, SamplingParams
from agentgym.policy.engine.loading import load
from agentgym.policy.folders.adapter_folder import check_adapter


class VllmDouble:
    """Serves a model folder.

    Attributes:
        requests: Path and body of each POST.
        faults: What goes wrong: see `_completion` and `_load`.
    """

    def __init__(self, model: Path, *faults: str, name: str = "base") -> None:
        self.model = model
        self.name = name
        self.root = str(model)
        self.version = "0.32.0"
        self.max_rank = 16
        self.faults = set(faults)
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.lora: dict[str, str] = {}
        self.engine = Engine(load(model, "cpu", name=name))
        self.server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        assert self.server is not None
        return f"http://127.0.0.1:{self.server.server_address[1]}/v1"

    @contextmanager
    def serving(self, port: int = 0) -> Iterator[VllmDouble]:
        double = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.answer(*double.get(self.path))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                asked = json.loads(body)
                double.requests.append((self.path, asked))
                if self.path == "/v1/completions" and asked.get("stream"):
                    self.stream(double.stream(asked))
                else:
                    self.answer(*double.post(self.path, asked))

            def answer(self, status: int, content: Any) -> None:
                if status == 0:  # as a server that dies with requests in flight
                    self.connection.close()
                    self.close_connection = True
                    return
                text = content if isinstance(content, str) else json.dumps(content)
                self.send_response(status)
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            def stream(self, chunks: Iterator[Any]) -> None:
                self.send_response(200)
                self.send_header("Connection", "close")
                self.end_headers()
                for chunk in chunks:
                    self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
                self.wfile.write(b"data: [DONE]\n\n")
                self.close_connection = True

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield self
        finally:
            self.server.shutdown()
            self.server.server_close()
            thread.join()
            self.engine.close()

    def get(self, path: str) -> tuple[int, Any]:
        if path == "/version" and "other server" not in self.faults:
            return 200, {"version": self.version}
        if path == "/health":
            return 200, ""
        if path == "/v1/models" and "other key" in self.faults:
            return 401, {"error": "Unauthorized"}
        if path == "/v1/models":
            card = {"id": self.name, "root": self.root, "parent": None}
            cards = [card | {"max_model_len": self.engine.policy.context}]
            cards += [
                {"id": name, "root": root, "parent": self.name, "max_model_len": None}
                for name, root in self.lora.items()
            ]
            return 200, {"object": "list", "data": cards}
        return 404, {"detail": "Not Found"}

    def post(self, path: str, asked: dict[str, Any]) -> tuple[int, Any]:
        if path == "/v1/completions":
            return self._completion(asked)
        if "no updating" not in self.faults:
            if path == "/v1/load_lora_adapter":
                return self._load(asked["lora_name"], asked["lora_path"])
            if path == "/v1/unload_lora_adapter":
                if self.lora.pop(asked["lora_name"], None) is None:
                    return 404, _error("cannot be found", 404)
                self.engine.unload_adapter(asked["lora_name"])
                return 200, "Success"
        return 404, {"detail": "Not Found"}

    def _load(self, name: str, path: str) -> tuple[int, Any]:
        if not name or not path:
            return 400, _error("Both 'lora_name' and 'lora_path' must be provided.")
        if name in self.lora:
            return 400, _error(f"The lora adapter '{name}' has already been loaded.")
        failed = "Call to add_lora method failed: Worker failed with error '{}', please"
        if "no lora" in self.faults:
            text = "LoRA is not enabled. Use --enable-lora to enable LoRA."
            return 500, _error(failed.format(text), 500)
        if not Path(path).is_dir() or "cannot read" in self.faults:
            return 404, _error(
                f"Loading lora {name} failed: No adapter found for {path}", 404
            )
        rank = max(rank for _, rank, _ in check_adapter(Path(path)).modules.values())
        if rank > self.max_rank:
            text = f"LoRA rank {rank} is greater than max_lora_rank {self.max_rank}."
            return 500, _error(failed.format(text), 500)
        try:
            self.engine.load_adapter(name, path)
        except UsageError as error:
            return 500, _error(str(error), 500)
        self.lora[name] = path
        return 200, f"Success: LoRA adapter '{name}' added successfully."

    def _completion(self, asked: dict[str, Any]) -> tuple[int, Any]:
        if "silent" in self.faults:
            return 0, None
        if asked["model"] not in (self.name, *self.lora):
            text = f"The model `{asked['model']}` does not exist."
            return 404, _error(text, 404)
        done: Future[Generation] = Future()
        self.engine.submit(self._generation(asked, on_done=done.set_result))
        generation = done.result()
        choice = self._choice(asked, generation, 0)
        choice["finish_reason"] = generation.finish_reason
        choice["stop_reason"] = generation.stop_text
        choice["prompt_token_ids"] = list(generation.prompt)
        if "no ids" in self.faults:
            del choice["token_ids"]
        if "other ids" in self.faults:
            choice["token_ids"][0] += 1
        if "other prompt" in self.faults:
            choice["prompt_token_ids"].insert(0, 1)
        if "no json" in self.faults:
            return 200, "<html>"
        return 200, {"choices": [choice], "usage": {}}

    def stream(self, asked: dict[str, Any]) -> Iterator[Any]:
        news: Queue[str | None] = Queue()
        generation = self._generation(
            asked,
            on_step=lambda _: news.put(None),
            on_done=lambda g: news.put(g.finish_reason),
        )
        self.engine.submit(generation)
        sent, reason = 0, None
        while reason is None:
            reason = news.get()
            choice = self._choice(asked, generation, sent)
            sent += len(choice["token_ids"])
            choice["finish_reason"] = reason
            choice["stop_reason"] = generation.stop_text
            if choice["token_ids"] or reason:
                yield {"choices": [choice]}

    def _choice(
        self, asked: dict[str, Any], generation: Generation, start: int
    ) -> dict[str, Any]:
        ids = generation.token_ids[start:]
        return {
            "index": 0,
            "text": "",
            "token_ids": list(ids),
            "logprobs": {
                "tokens": [f"token_id:{i}" for i in ids],
                "token_logprobs": generation.logprobs[start : start + len(ids)],
                "top_logprobs": [
                    {f"token_id:{i}": p for i, p in top}
                    for top in generation.top_logprobs[start:]
                ],
            },
        }

    def _generation(self, asked: dict[str, Any], **callbacks: Any) -> Generation:
        model = asked["model"]
        params = SamplingParams(
            temperature=asked["temperature"],
            top_p=asked["top_p"],
            seed=asked.get("seed"),
            max_tokens=asked["max_tokens"],
            stop=tuple(asked.get("stop", ())),
            top_logprobs=asked["logprobs"],
            ignore_eos=asked["ignore_eos"],
        )
        adapter = None if model == self.name else model
        return Generation(asked["prompt"], params, adapter, **callbacks)


def _error(message: str, code: int = 400) -> dict[str, Any]:
    return {"error": {"message": message, "type": "x", "param": None, "code": code}}


def program(folder: Path, *faults: str) -> str:
    """A program in a folder that takes the arguments of vLLM's own."""
    path = folder / "vllm"
    path.write_text(
        f"#!/bin/sh\nexport PYTHONPATH={Path(__file__).parents[1]}\n"
        f"export VLLM_DOUBLE='{','.join(faults)}'\n"
        f'exec {sys.executable} -m tests.vllm_double "$@"\n'
    )
    path.chmod(0o755)
    return str(path)


def main() -> None:
    """As `vllm serve`; what goes wrong is in VLLM_DOUBLE."""
    faults = os.environ.get("VLLM_DOUBLE", "").split(",")
    if "out of memory" in faults:
        print(
            "(EngineCore pid=7) ERROR 11-28 21:47:24 [core.py:1750] ValueError: Free "
            "memory on device cuda:0 (1.2/79.1 GiB) on startup is less than desired "
            "GPU memory utilization (0.6, 47.5 GiB).\n(APIServer pid=6) RuntimeError: "
            "Engine core initialization failed. See root cause above."
        )
        sys.exit(1)
    parser = argparse.ArgumentParser()
    parser.add_argument("serve")
    parser.add_argument("model", type=Path)
    parser.add_argument("--port", type=int)
    parser.add_argument("--max-lora-rank", type=int)
    options, _ = parser.parse_known_args()
    double = VllmDouble(options.model, *faults)
    double.max_rank = options.max_lora_rank
    print("(APIServer pid=6) INFO 11-28 21:47:24 [launcher.py:1] Started server")
    with double.serving(options.port):
        if "dies" in faults:
            while not any("completions" in path for path, _ in double.requests):
                time.sleep(0.02)
            print("(Worker pid=8) ERROR 11-28 21:47:24 [x.py:1] RuntimeError: lost")
            sys.stdout.flush()
            os._exit(1)
        signal.pause()


if __name__ == "__main__":
    main()
