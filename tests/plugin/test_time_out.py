"""A part of an episode that does not end in time: whose fault that is."""

from __future__ import annotations

import pytest

WORLD = """
import asyncio, json, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


def hang():
    threading.Event().wait(60)


@pytest.fixture
def shelf(where):
    if where == "set-up":
        hang()
    yield
    if where == "tear-down":
        hang()
    if where == "broken tear-down":
        raise ConnectionError("the shelf is gone")


@pytest.fixture
async def async_shelf(where):
    if where == "set-up":
        await asyncio.sleep(60)
    yield
    if where == "tear-down":
        await asyncio.sleep(60)
    if where == "broken tear-down":
        raise ConnectionError("the shelf is gone")


@pytest.fixture
def agent(where):
    def reply(message):
        if where == "agent":
            hang()
        return "" if where == "agent is wrong" else "here"
    return reply


@pytest.fixture
def async_agent(where):
    async def reply(message):
        if where == "agent":
            await asyncio.sleep(60)
        return "" if where == "agent is wrong" else "here"
    return reply
"""

SYNC = """
    import pytest
    from agentgym import scenario, wrap

    @pytest.mark.parametrize("where", {where})
    @scenario(episodes=2, timeout=1)
    def test_find(agent, shelf, where):
        run = agent.run("find it")
        assert run.reply == "here"
"""

ASYNC = """
    import pytest
    from agentgym import scenario, wrap

    @pytest.mark.parametrize("where", {where})
    @scenario(episodes=2, timeout=1)
    async def test_find(async_agent, {shelf}, where):
        run = await wrap(async_agent).run("find it")
        assert run.reply == "here"
"""

RIGHT = {
    "set-up": "harness_error",
    "tear-down": "harness_error",
    "broken tear-down": "harness_error",
    "agent": "failed",
    "nowhere": "passed",
}


def outcomes(gym):
    """The outcomes and errors of each parameter set."""
    found = {}
    for episode in gym.episodes():
        where = episode["scenario"].partition("[")[2].rstrip("]")
        found.setdefault(where, []).append((episode["outcome"], episode["error"]))
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "workers"),
    [
        pytest.param(SYNC, 0, id="sync"),
        pytest.param(SYNC, 2, id="xdist"),
        pytest.param(ASYNC.replace("{shelf}", "async_shelf"), 0, id="async"),
        # It blocks the event loop, which therefore cannot keep the limit itself.
        pytest.param(ASYNC.replace("{shelf}", "shelf"), 0, id="blocked loop"),
    ],
)
def test_a_fixture_that_does_not_end_is_the_harnesss(gym, source, workers):
    gym.conftest(WORLD)
    gym.file(source.format(where=list(RIGHT)))
    xdist = ("-n", str(workers)) if workers else ()
    result = gym.start(*xdist, plugins=("xdist",) if workers else ())
    assert result.ret == 6
    found = outcomes(gym)
    assert {k: {o for o, _ in v} for k, v in found.items()} == {
        where: {outcome} for where, outcome in RIGHT.items()
    }
    shelf = "async_shelf" if "async_shelf" in source else "shelf"
    for part in ("set-up", "tear-down"):
        assert {error for _, error in found[part]} == {
            f"HarnessError: the {part} of the fixture '{shelf}' did not end within "
            "1 s (--agentgym-timeout)"
        }
    for _, error in found["broken tear-down"]:
        assert error.startswith("ConnectionError: the shelf is gone (conftest.py:")


def test_a_tear_down_changes_no_verdict_of_the_agents_own_error(gym):
    gym.conftest(WORLD)
    gym.file("""
        import pytest
        from agentgym import scenario

        @pytest.mark.parametrize("where", ["tear-down", "broken tear-down"])
        @scenario(episodes=1, timeout=1)
        def test_find(agent, shelf, where):
            agent.run("find it")
            raise ValueError("the scenario's own")
    """)
    gym.start()
    assert {o for found in outcomes(gym).values() for o in found} == {
        ("failed", "ValueError: the scenario's own")
    }


def test_each_part_has_the_limit_for_itself(gym):
    """A slow fixture takes nothing of the agent's time."""
    gym.conftest("""
        import time
        import pytest

        @pytest.fixture
        def shelf():
            time.sleep(1.4)
            yield
            time.sleep(1.4)

        @pytest.fixture
        def agent():
            def reply(message):
                time.sleep(1.4)
                return "here"
            return reply
    """)
    gym.file("""
        from agentgym import scenario

        @scenario(episodes=3, timeout=3)
        def test_find(agent, shelf):
            run = agent.run("find it")
            assert run.reply == "here"
    """)
    gym.start()
    assert gym.summary()["episodes"]["passed"] == 3


def test_a_fixtures_lost_connection_is_the_harnesss_and_not_tried_again(gym):
    gym.more_conftest("""
        @pytest.fixture
        def shelf():
            raise ConnectionError("the shelf is gone")
    """)
    gym.file("""
        from agentgym import scenario

        @scenario(episodes=2)
        def test_find(agent, shelf):
            assert agent.run("find it").reply
    """)
    assert gym.run().ret == 6
    assert [(e["outcome"], e["attempts"]) for e in gym.episodes()] == [
        ("harness_error", 1),
        ("harness_error", 1),
    ]


MODEL = """
import openai
from agentgym.integrations.openai import record_openai

class Model(BaseHTTPRequestHandler):
    asked = 0

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        kind = self.path.split("/")[1]
        Model.asked += 1
        if kind == "slow":
            time.sleep(1)
        refused = kind in ("refusing", "refused-once") and Model.asked % 2
        message = {"role": "assistant", "content": "here"}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        answer = {
            "id": "1", "object": "chat.completion", "created": 0, "model": "m",
            "choices": [choice],
        }
        body = {"error": {"message": "later"}} if refused else answer
        self.send_response(429 if refused else 200)
        if refused:
            self.send_header("retry-after", "1")
        text = json.dumps(body).encode()
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args):
        pass


@pytest.fixture(scope="session")
def model_url():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Model)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture
def agent(where, model_url):
    server, _, how = where.partition(" ")
    client = record_openai(openai.OpenAI(
        base_url=f"{model_url}/{server}/v1", api_key="none",
        max_retries=0 if how == "asks again" else 2,
    ))

    def ask(message):
        told = [{"role": "user", "content": message}]
        while True:
            try:
                client.chat.completions.create(model="m", messages=told)
            except openai.RateLimitError:
                time.sleep(2)
            if how == "dawdles":
                time.sleep(2)
    return ask
"""


@pytest.mark.slow
def test_waiting_for_the_model_is_not_the_agents_time(gym):
    """Hidden retries, slow calls, and an agent that sleeps after a refusal."""
    gym.conftest(WORLD + MODEL)
    servers = ["refusing client", "refusing asks again", "slow client"]
    gym.file(f"""
        import pytest
        from agentgym import scenario

        @pytest.mark.parametrize("where", {[*servers, "quick dawdles"]})
        @scenario(episodes=1, timeout=6)
        def test_find(agent, where):
            assert agent.run("find it").reply
    """)
    gym.start("--agentgym-infra-retries=0")
    found = outcomes(gym)
    for where in servers:
        [(outcome, error)] = found[where]
        assert outcome == "infra_error", where
        assert error.startswith("InfraError: the agent waited "), where
        assert error.endswith(" (--agentgym-timeout)")
    assert " of them refused) " in found["refusing asks again"][0][1]
    [(outcome, error)] = found["quick dawdles"]
    assert (outcome, error.split(":")[0]) == ("failed", "EpisodeTimeout")
