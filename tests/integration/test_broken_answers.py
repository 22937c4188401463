"""A model server's answer that is none is the server's fault in every framework."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

import agentgym
from agentgym.endpoint import PolicyEndpoint
from agentgym.recording.recorder import Recorder
from tests.framework_agents import MAKERS, STREAMING, is_there, make

pytestmark = [
    pytest.mark.slow,
    # Of the frameworks, not of ours.
    pytest.mark.filterwarnings("ignore"),
]

CHAT = {"id": "1", "object": "chat.completion", "created": 0, "model": "m"}
MESSAGE = {"role": "assistant", "content": "Tomorrow."}
CHOICE = {"index": 0, "finish_reason": "stop", "message": MESSAGE}
WHOLE = {
    "truncated": json.dumps({**CHAT, "choices": [CHOICE]})[:70],
    "HTML": "<html></html>",
    "empty": "",
    "choices null": json.dumps({**CHAT, "choices": None}),
    "no choices": json.dumps({**CHAT, "choices": []}),
    "message null": json.dumps({**CHAT, "choices": [{**CHOICE, "message": None}]}),
    "an error": json.dumps({"error": {"message": "no machine", "code": 503}}),
    "a detail": json.dumps({"detail": "loading"}),
}
PART = {**CHAT, "object": "chat.completion.chunk"}
PARTS: dict[str, Any] = {
    "an error": {"error": {"message": "m", "code": "rate_limit_exceeded"}},
    "an error of no code": {"error": {"message": "m", "code": None}},
    "delta null": {**PART, "choices": [{"index": 0, "delta": None}]},
    "choices null": {**PART, "choices": None},
}
STREAMS = {name: f"data: {json.dumps(p)}\n\n" for name, p in PARTS.items()}
SAID = {"index": 0, "delta": {"role": "assistant", "content": "Tomor"}}
STREAMS["broken off"] = f"data: {json.dumps({**PART, 'choices': [SAID]})}\n\n"
STREAMS["nothing said"] = "data: [DONE]\n\n"


class Server(ThreadingHTTPServer):
    """Answers every request with 200 and the text that it is given."""

    text = ""
    kind = "application/json"


class Answering(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        body = self.server.text.encode()
        self.send_response(200)
        html = self.server.text.startswith("<")
        self.send_header("content-type", "text/html" if html else self.server.kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Answering) as httpd:
        thread = Thread(target=httpd.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield httpd
        httpd.shutdown()
        thread.join()


def play(server: Server, framework: str, *, streaming: bool) -> Recorder:
    if not is_there(framework):
        pytest.skip(f"{framework} is not installed")
    endpoint = PolicyEndpoint(
        base_url=f"http://127.0.0.1:{server.server_port}/v1", api_key="k", model="m"
    )
    maker = (lambda e: STREAMING[framework](e, True)) if streaming else None
    with (recorder := Recorder()).activate():
        try:
            agentgym.wrap(make(framework, endpoint, maker)).run("When does it arrive?")
        except Exception:  # noqa: BLE001 - whatever the framework makes of it
            return recorder
    return recorder


@pytest.mark.parametrize("framework", MAKERS)
def test_whole_answers(framework: str, server: Server) -> None:
    server.kind = "application/json"
    for name, text in WHOLE.items():
        server.text = text
        recorder = play(server, framework, streaming=False)
        assert recorder.infra_failure is not None, name
        assert recorder.trajectory.model_calls[-1].error, name


@pytest.mark.parametrize("framework", STREAMING)
def test_streams(framework: str, server: Server) -> None:
    server.kind = "text/event-stream"
    for name, text in STREAMS.items():
        server.text = text
        recorder = play(server, framework, streaming=True)
        assert recorder.infra_failure is not None, name
        assert recorder.trajectory.model_calls[-1].error, name


@pytest.mark.parametrize("framework", MAKERS)
def test_an_answer_is_one(framework: str, server: Server) -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    server.kind = "application/json"
    server.text = json.dumps({**CHAT, "choices": [CHOICE], "usage": usage})
    recorder = play(server, framework, streaming=False)
    assert recorder.infra_failure is None
    assert recorder.trajectory.reply == "Tomorrow."
