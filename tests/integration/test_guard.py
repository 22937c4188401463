"""Who may ask the servers that run on this machine, and for how much."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

pytest.importorskip("agentlightning")
import uvicorn
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from agentgym.errors import UsageError
from agentgym.policy.server import guard, listening
from agentgym.policy.server.guard import MOST_BYTES, Guard
from agentgym.policy.server.process import SERVER_KEY, PolicyProcess
from agentgym.training.hub.gateway import Gateway
from tests.tiny_policy import conversation, make_tiny

pytestmark = pytest.mark.slow

CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PolicyProcess]:
    folder = make_tiny(tmp_path_factory.mktemp("policy") / "tiny")
    with PolicyProcess.start(folder) as started:
        yield started


@pytest.fixture(scope="module")
def hub() -> Iterator[Gateway]:
    gateway = Gateway.start()
    yield gateway
    gateway.close()


@pytest.fixture(params=["policy server", "gateway"])
def server(request, process, hub) -> tuple[str, str]:
    """Address and key."""
    if request.param == "gateway":
        return hub.url, hub.key
    return process.endpoint.base_url.removesuffix("/v1"), process.endpoint.api_key


@pytest.fixture
def ask(server) -> Any:
    url, key = server

    def send(path: str, **request: Any) -> tuple[int, str]:
        headers = {"Authorization": f"Bearer {key}", **request.pop("headers", {})}
        with httpx.Client(trust_env=False, timeout=60) as client:
            answer = client.post(url + path, headers=headers, **request)
        return answer.status_code, answer.text

    return send


def chat_at(url: str, hub: Gateway) -> str:
    """Where a server reads the bodies of completions."""
    place = "/proxy/rollout/r/attempt/0/mode/val/openai" if url == hub.url else ""
    return place + CHAT


def test_without_the_key_nothing_is_told(server, ask):
    url, _ = server
    for headers in ({"Authorization": ""}, {"Authorization": "Bearer wrong"}):
        for path in (CHAT, "/v1/models", "/v1/load_lora_adapter", "/sleep", "/docs"):
            status, text = ask(path, headers=headers, json={})
            assert (status, json.loads(text)["error"]["message"]) == (
                401,
                "the API key is wrong",
            )
    for path in ("/docs", "/openapi.json", "/api/rollouts"):
        assert httpx.get(url + path, trust_env=False).status_code == 401


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "localhost.evil.example", "", "[::1"]
)
def test_a_name_that_is_not_this_machine_s_is_refused(ask, host):
    status, text = ask(CHAT, headers={"Host": host}, json={})
    assert status == 403
    assert "ask it by its address" in text


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "[::1]:80", "10.0.0.7"])
def test_addresses_and_names_of_this_machine(ask, host):
    status, _ = ask("/v1/nothing", headers={"Host": host}, json={})
    assert status == 404


def test_another_page_may_not_ask(server, ask):
    url, _ = server
    for origin in ("http://evil.example", "null", "http://localhost:3000"):
        status, text = ask("/v1/nothing", headers={"Origin": origin}, json={})
        assert status == 403
        assert f"the page {origin} may not ask this server" in text
    assert ask("/v1/nothing", headers={"Origin": url}, json={})[0] == 404


def test_a_body_that_is_too_long_is_not_read(server, ask):
    url, key = server
    host, port = url.removeprefix("http://").split(":")
    head = (
        f"POST {CHAT} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Length: {MOST_BYTES + 1}\r\n\r\n"
    )
    with socket.create_connection((host, int(port)), timeout=60) as client:
        client.sendall(head.encode() + b"x" * 100)
        answer = client.makefile("rb").read().decode()
    assert answer.startswith("HTTP/1.1 413 ")
    assert "the body has more than 64 MiB: send a shorter prompt" in answer


def test_a_body_without_a_length_is_read_to_the_limit(server, ask, hub):
    path, sent = chat_at(server[0], hub), 0

    def endless():
        nonlocal sent
        while True:
            sent += 2**20
            yield b"x" * 2**20

    # The connection may be closed before the client reads why.
    with contextlib.suppress(httpx.ReadError, httpx.WriteError):
        assert ask(path, content=endless())[0] == 413
    assert MOST_BYTES < sent < 2 * MOST_BYTES


def test_a_connection_is_kept_where_the_body_was_read(server, hub):
    url, key = server
    head = {"Authorization": f"Bearer {key}"}
    with httpx.Client(trust_env=False, timeout=60) as client:
        for headers in (head, {}):
            for answer in (
                client.get(url + "/v1/models", headers=headers),
                client.post(url + chat_at(url, hub), headers=headers, json={}),
            ):
                assert "connection" not in answer.headers


def test_json_that_is_nested_too_deeply(server, ask, hub):
    body = b'{"messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    for path in (CHAT, "/v1/responses"):
        for place in ("", "/proxy/rollout/r/attempt/0/mode/val/openai"):
            status, text = ask(place + path, content=body)
            if not place and server[0] != hub.url:
                assert status == 400
                assert "the body is n" in text  # not JSON, or nested too deeply
            assert status in (400, 404), text  # nobody plays such a rollout


def test_the_head_of_a_request_is_limited(ask):
    headers = {f"x-{number}": "y" * 1000 for number in range(200)}
    # The connection may be closed while the rest is being sent.
    with contextlib.suppress(httpx.ReadError, httpx.WriteError):
        assert ask(CHAT, headers=headers, json={})[0] == 400


def test_the_key_is_in_no_list_of_processes(process):
    pid = process._process.pid
    shown = Path(f"/proc/{pid}/cmdline").read_bytes()
    assert b"agentgym.policy.server" in shown
    assert process.endpoint.api_key.encode() not in shown
    assert len(process.endpoint.api_key) >= 32


def test_a_key_of_the_user_s_own(process, monkeypatch, tmp_path):
    monkeypatch.setenv(SERVER_KEY, "  ")
    with pytest.raises(UsageError, match="AGENTGYM_SERVER_KEY is empty: give it a key"):
        PolicyProcess.start(tmp_path)
    folder = make_tiny(tmp_path / "tiny")
    command = [sys.executable, "-m", "agentgym.policy.server", "--model", str(folder)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as by_hand:
        _, told = by_hand.communicate(timeout=120)
    assert by_hand.returncode == 4
    assert told.startswith("error: AGENTGYM_SERVER_KEY is empty")
    monkeypatch.setenv(SERVER_KEY, "mine")
    with PolicyProcess.start(folder) as started:
        assert started.endpoint.api_key == "mine"
        answer = httpx.post(
            f"{started.endpoint.base_url}/chat/completions",
            headers={"x-api-key": "mine"},
            json={"messages": conversation(), "max_tokens": 1},
            trust_env=False,
            timeout=60,
        )
        assert answer.status_code == 200


async def echo(scope: Any, receive: Any, send: Any) -> None:
    body = await Request(scope, receive).body()
    await PlainTextResponse(f"{len(body)}")(scope, receive, send)


@pytest.fixture
def listen() -> Iterator[Any]:
    """Starts a guarded server in this process, whose limits a test may change."""
    stops = []

    def start() -> tuple[str, int]:
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        config = listening.configured(Guard(echo, key="k"), lifespan="off")
        server = uvicorn.Server(config)
        thread = threading.Thread(
            target=lambda: asyncio.run(server.serve([listener])), daemon=True
        )
        thread.start()
        while not server.started:
            time.sleep(0.01)

        def stop() -> None:
            server.should_exit = server.force_exit = True
            thread.join()

        stops.append(stop)
        return listener.getsockname()

    yield start
    for stop in stops:
        stop()


HEAD = b"POST /x HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer k\r\n"


def test_a_body_that_does_not_come(listen, monkeypatch):
    monkeypatch.setattr(guard, "BODY_SECONDS", 0.2)
    monkeypatch.setattr(guard, "_READ_SECONDS", 0.1)
    with socket.create_connection(listen(), timeout=60) as client:
        client.sendall(HEAD + b"Content-Length: 9\r\n\r\nabc")
        answer = client.makefile("rb").read().decode()
    assert answer.startswith("HTTP/1.1 408 ")
    assert "the body did not come within 0.2 s" in answer


@pytest.mark.parametrize("sent", [b"", HEAD[:20]])
def test_a_request_that_does_not_come(listen, monkeypatch, sent):
    monkeypatch.setattr(listening, "HEAD_SECONDS", 0.2)
    with socket.create_connection(listen(), timeout=60) as client:
        client.sendall(sent)
        assert client.makefile("rb").read() == b""


def test_a_second_request_that_does_not_come(listen, monkeypatch):
    monkeypatch.setattr(listening, "HEAD_SECONDS", 0.2)
    with socket.create_connection(listen(), timeout=60) as client:
        client.sendall(HEAD + b"Content-Length: 2\r\n\r\nab")
        file = client.makefile("rb")
        assert file.readline() == b"HTTP/1.1 200 OK\r\n"
        client.sendall(HEAD[:20])
        assert file.read().endswith(b"\r\n\r\n2")


def test_connections_are_limited(listen, monkeypatch):
    monkeypatch.setattr(listening, "MOST_CONNECTIONS", 3)
    address = listen()
    kept = [socket.create_connection(address, timeout=60) for _ in range(2)]
    with socket.create_connection(address, timeout=60) as client:
        client.sendall(HEAD + b"Content-Length: 0\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 503 ")
    kept.pop().close()
    for client in kept:
        client.sendall(HEAD + b"Content-Length: 0\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 200 ")
        client.close()
