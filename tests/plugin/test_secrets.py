"""The secrets of a policy's address are nowhere: not in a file, not on the terminal."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

pytest.importorskip("httpx")  # the agents ask with it

SECRET = "plum-jam-77"


class _Model(BaseHTTPRequestHandler):
    """Lists one model, and answers 500 to what it is asked."""

    seen: list[str]

    def do_GET(self) -> None:
        self.seen.append(f"{self.path} {self.headers['Authorization']}")
        self._answer(200, {"data": [{"id": "m"}]})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(500, {"error": "out of order"})

    def _answer(self, status: int, found: dict[str, Any]) -> None:
        body = json.dumps(found).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    """Host and port of a model server, and what it was asked."""
    seen: list[str] = []
    kind = type("Model", (_Model,), {"seen": seen})
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{httpd.server_port}", seen
    httpd.shutdown()
    httpd.server_close()


@pytest.mark.parametrize(
    ("address", "workers"),
    [
        (f"http://keeper:{SECRET}@HOST/v1", ()),
        (f"http://HOST/v1?key={SECRET}", ("-n", "1")),
    ],
    ids=["password", "key-xdist"],
)
def test_nothing_tells_the_secrets_of_the_policys_address(
    gym, server, address, workers
):
    host, seen = server
    gym.conftest("""
        import agentgym, httpx, logging, pytest

        @pytest.fixture
        def agent(policy):
            logging.getLogger("agent").warning("asking %s", policy.base_url)

            @agentgym.tool
            def fetch():
                httpx.post(policy.base_url, json={}).raise_for_status()

            def ask(message):
                if message == "in a tool":
                    fetch()
                httpx.post(policy.base_url, json={}).raise_for_status()

            return agentgym.wrap(ask)

        @pytest.fixture
        def broken(policy):
            raise LookupError(policy.base_url)
    """)
    gym.file("""
        from agentgym import scenario

        @scenario(episodes=2)
        def test_error(agent):
            agent.run("hi")

        @scenario(episodes=2)
        def test_tool(agent):
            agent.run("in a tool")

        @scenario(episodes=2)
        def test_fixture(agent, broken):
            assert agent.run("hi").reply

        @scenario(episodes=2)
        def test_check(agent, policy):
            assert repr(policy) == "elsewhere"
    """)
    policy = address.replace("HOST", host)
    plugins = ("xdist.plugin",) if workers else ()
    options = ["--agentgym-infra-retries=0", "--junitxml=out.xml", "-rA", *workers]
    result = gym.start(f"--agentgym-policy={policy}", *options, plugins=plugins)
    assert len(gym.episodes()) == 8
    said = result.stdout.str() + result.stderr.str()
    stored = {
        path.name: path.read_bytes()
        for path in [*gym.runs[-1].rglob("*"), gym.pytester.path / "out.xml"]
        if path.is_file()
    }
    assert {"episodes.jsonl", "summary.json", "out.xml"} <= stored.keys()
    assert SECRET not in said
    assert [name for name, text in stored.items() if SECRET.encode() in text] == []
    assert b"***" in stored["episodes.jsonl"]
    assert gym.summary()["policy"] == address.replace("HOST", host).replace(
        f"keeper:{SECRET}" if "@" in address else SECRET, "***"
    )
    # The server's first model was asked for as clients ask: with the secret.
    wanted = SECRET
    if "@" in address:
        wanted = base64.b64encode(f"keeper:{SECRET}".encode()).decode()
    assert any(wanted in line and line.startswith("/v1/models") for line in seen)
