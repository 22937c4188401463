"""How many episodes are in flight: as many as pay, no more than a server takes."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from agentgym.playing.in_flight import default_concurrency

WAITING = """
    import threading
    import agentgym, pytest
    from agentgym import scenario

    lock, enough, inside = threading.Lock(), threading.Event(), 0
    most = 0

    @pytest.fixture
    def agent():
        def wait(message):
            global inside, most
            with lock:
                inside += 1
                most = max(most, inside)
            if inside >= WANTED:
                enough.set()
            enough.wait(SECONDS)
            with lock:
                inside -= 1
            return "done"

        return agentgym.wrap(wait)

    @scenario(episodes=EPISODES)
    def test_waits(agent):
        assert agent.run("hello").reply == "done"

    def test_after():
        print("most:", most)
        assert most EXPECTED
"""


def waiting(*, wanted: int, seconds: float, episodes: int, expected: str) -> str:
    """A scenario whose episodes wait until so many are in flight."""
    values = {"WANTED": wanted, "SECONDS": seconds, "EPISODES": episodes}
    text = WAITING.replace("EXPECTED", expected)
    for name, value in values.items():
        text = text.replace(name, str(value))
    return text


def test_more_than_at_the_beginning_where_they_only_wait(gym):
    wanted = 3 * default_concurrency()
    source = waiting(
        wanted=wanted, seconds=120, episodes=2 * wanted, expected=f">= {wanted}"
    )
    gym.file(source)
    gym.start("--agentgym-timeout=200").assert_outcomes(passed=2)


@pytest.mark.parametrize(
    "option",
    [
        "--agentgym-concurrency=3",
        "--agentgym-stop=sequential",
        "--agentgym-max-tokens=1000000",
    ],
)
def test_no_more_than_asked_for_or_where_each_is_paid(gym, option):
    most = 3 if "concurrency" in option else default_concurrency()
    source = waiting(
        wanted=10_000, seconds=0.5, episodes=2 * most + 1, expected=f"<= {most}"
    )
    gym.file(source)
    gym.start(option).assert_outcomes(passed=2)


class _Server(BaseHTTPRequestHandler):
    """Answers five at a time, and refuses all others as a rate limit does."""

    lock: threading.Lock
    counts: dict[str, int]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        with self.lock:
            free = self.counts["now"] < 5
            self.counts["now"] += free
            self.counts["refused"] += not free
        if free:
            time.sleep(0.05)
        with self.lock:
            self.counts["now"] -= free
        message = {"role": "assistant", "content": "Tomorrow."}
        self._answer(200 if free else 429, {"choices": [{"message": message}]})

    def _answer(self, status: int, found: dict[str, Any]) -> None:
        body = json.dumps(found).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[tuple[str, dict[str, int]]]:
    """Its address, and how often it refused."""
    counts = {"now": 0, "refused": 0}
    kind = type("Server", (_Server,), {"lock": threading.Lock(), "counts": counts})
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{httpd.server_port}/v1", counts
    httpd.shutdown()
    httpd.server_close()


def test_a_rate_limit_loses_no_episode(gym, server):
    """Where 16 ask a server that takes five, refused ones wait for their turn."""
    pytest.importorskip("httpx")
    url, counts = server
    gym.conftest(f"""
        import agentgym, httpx, pytest

        @pytest.fixture
        def agent():
            def ask(message):
                answer = httpx.post("{url}", json={{}}, timeout=60)
                answer.raise_for_status()
                return answer.json()["choices"][0]["message"]["content"]

            return agentgym.wrap(ask)
    """)
    gym.file("""
        from agentgym import scenario

        @scenario(episodes=120)
        def test_arrival(agent):
            assert agent.run("When?").reply == "Tomorrow."
    """)
    gym.start("--agentgym-infra-retries=20").assert_outcomes(passed=1)
    assert counts["refused"] > 0
    assert gym.summary()["episodes"]["passed"] == 120
    # Without a limit that shrinks, each episode is refused several times.
    assert counts["refused"] < 480
