"""The hub and a runner's client, through Agent Lightning itself and real sockets."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

pytest.importorskip("agentlightning")

import httpx
import openai

from agentgym.endpoint import PolicyEndpoint
from agentgym.errors import AgentGymError, UsageError
from agentgym.policy.server.process import PolicyProcess
from agentgym.testing import ScriptedModel, call, error, say
from agentgym.training.hub import gateway as gateway_module
from agentgym.training.hub import runner_client
from agentgym.training.hub.gateway import Gateway
from agentgym.training.hub.runner_client import Claim, HubGone, RunnerClient
from agentgym.training.job.task import Phase, Task
from agentgym.training.job.traits import Traits
from tests.made_tools import made_tool

HELLO = [{"role": "user", "content": "Where is my order A4821?"}]
TOOLS = [made_tool("lookup_order", "Show an order.")]


@pytest.fixture
def hub() -> Iterator[Gateway]:
    hub = Gateway.start()
    yield hub
    hub.close()


@pytest.fixture
def connect(hub: Gateway) -> Iterator[Callable[..., RunnerClient]]:
    clients: list[RunnerClient] = []

    def connect(name: str = "main-1") -> RunnerClient:
        clients.append(RunnerClient(hub.url, hub.key, name))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()


@pytest.fixture
def runner(connect: Callable[..., RunnerClient]) -> RunnerClient:
    return connect()


@pytest.fixture
def model(hub: Gateway) -> Iterator[ScriptedModel]:
    with ScriptedModel([call("look_up", order="A1"), say("Done.")]) as model:
        hub.publish(model.endpoint, "v1", 1)
        yield model


def task(phase: Phase = "train", case: int = 0) -> Task:
    split = "train" if phase in ("train", "validate") else "held_out"
    return Task(scenario="test_it.py::test_x", split=split, case=case, phase=phase)


def queue(hub: Gateway, runner: RunnerClient, *phases: Phase) -> list[Claim]:
    """Queued and claimed rollouts, in the order of the phases."""
    tasks = {f"r{i}": task(phase, i) for i, phase in enumerate(phases)}
    hub.enqueue(tasks, timeout=60)
    return sorted(runner.claim(len(tasks)), key=lambda claim: claim.rollout_id)


def client_of(endpoint: PolicyEndpoint) -> openai.OpenAI:
    return openai.OpenAI(
        base_url=endpoint.base_url, api_key=endpoint.api_key, max_retries=0
    )


def chat(endpoint: PolicyEndpoint, **fields: Any) -> Any:
    with client_of(endpoint) as client:
        asked: dict[str, Any] = {"model": endpoint.model, "messages": HELLO, **fields}
        made = client.chat.completions.create(**asked)
        return list(made) if fields.get("stream") else made


def test_a_rollout_from_the_queue_to_its_result(hub, runner, model):
    hub.enqueue({"r1": task()}, timeout=60)
    assert (hub.running(), hub.finished()) == ([], [])
    [claim] = runner.claim(5)
    assert claim == Claim(rollout_id="r1", task=task())
    assert runner.claim(5) == []
    [running] = hub.running()
    assert (running.rollout_id, running.task, running.runner) == (
        "r1",
        task(),
        "main-1",
    )
    first = chat(runner.endpoint(claim, 0))
    assert first.choices[0].message.tool_calls[0].function.name == "look_up"
    traits = Traits(calls=1, did="d", said="s", checks={"run.called('x')": False})
    runner.finish(claim, 0, reward=0.75, passed=False, steps=[0.5], traits=traits)
    [finished] = hub.finished()
    assert (finished.rollout_id, finished.task, finished.state) == (
        "r1",
        task(),
        "succeeded",
    )
    assert (hub.running(), hub.finished()) == ([], [])
    result = hub.result("r1")
    assert (result.state, result.outcome) == ("succeeded", "failed")
    assert (result.reward, result.steps, result.error) == (0.75, [0.5], None)
    assert result.traits == traits
    [made] = result.calls
    assert (made.model, made.version, made.finish_reason) == ("v1", 1, "tool_calls")
    # A scripted model has no tokens to train on.
    assert not made.ok
    hub.forget(["r1"])
    with pytest.raises(KeyError):
        hub.result("r1")


def test_finished_goes_on_where_it_was(hub, runner):
    claims = queue(hub, runner, *["train"] * 3)
    runner.finish(claims[2], 0, reward=1, passed=True, steps=None)
    assert [f.rollout_id for f in hub.finished()] == ["r2"]
    runner.finish(claims[0], 0, reward=1, passed=True, steps=None)
    hub.forget(["r0"])
    runner.fail(claims[1], 0, "infra_error", "no network")
    assert [(f.rollout_id, f.state) for f in hub.finished()] == [("r1", "failed")]


def test_two_runners_get_all_rollouts_and_none_twice(hub, connect):
    tasks = {f"r{i}": task(case=i) for i in range(60)}
    hub.enqueue(tasks, timeout=60)
    got: dict[str, list[Claim]] = {"gw0-1": [], "gw1-2": []}
    start = threading.Barrier(2)

    def work(name: str) -> None:
        client = connect(name)
        start.wait()
        while True:
            claims = client.claim(4)
            got[name] += claims
            if not claims and len(got["gw0-1"]) + len(got["gw1-2"]) >= len(tasks):
                return

    threads = [threading.Thread(target=work, args=(name,)) for name in got]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    claims = [*got["gw0-1"], *got["gw1-2"]]
    assert sorted(claim.rollout_id for claim in claims) == sorted(tasks)
    assert all(claim.task == tasks[claim.rollout_id] for claim in claims)
    runners = {running.rollout_id: running.runner for running in hub.running()}
    for name, mine in got.items():
        assert {runners[claim.rollout_id] for claim in mine} <= {name}


def test_only_the_last_attempt_counts(hub, runner, model):
    [claim] = queue(hub, runner, "train")
    chat(runner.endpoint(claim, 0))
    chat(runner.endpoint(claim, 0))
    hub.publish(model.endpoint, "v2", 2)
    chat(runner.endpoint(claim, 1))
    runner.finish(claim, 1, reward=1.0, passed=True, steps=None)
    result = hub.result("r0")
    assert [made.version for made in result.calls] == [2]
    assert (result.outcome, result.steps) == ("passed", None)


def test_an_error_of_others_has_no_reward(hub, runner, model):
    [claim] = queue(hub, runner, "train")
    chat(runner.endpoint(claim, 0))
    runner.fail(claim, 0, "harness_error", "fixture\ud83d: it broke")
    result = hub.result("r0")
    assert (result.state, result.outcome, result.reward) == (
        "failed",
        "harness_error",
        None,
    )
    assert result.error == "fixture?: it broke"
    assert len(result.calls) == 1


def test_the_hub_can_end_a_rollout_itself(hub, runner):
    claims = queue(hub, runner, "train", "train")
    hub.fail("r0", "the runner died")
    # The runner lives after all, or has lost its answer: nothing happens.
    runner.finish(claims[0], 0, reward=1.0, passed=True, steps=None)
    runner.fail(claims[0], 0, "infra_error", "too late")
    assert [f.state for f in hub.finished()] == ["failed"]
    result = hub.result("r0")
    assert (result.reward, result.outcome) == (None, "infra_error")
    assert result.error == "the runner died"
    hub.fail("r0", "again")
    hub.fail("unknown", "never queued")
    hub.forget(["r1", "unknown"])
    runner.finish(claims[1], 0, reward=1.0, passed=True, steps=None)
    assert hub.finished() == []


def test_each_call_goes_to_the_published_version(hub, runner, model):
    [claim] = queue(hub, runner, "train")
    endpoint = runner.endpoint(claim, 0)
    chat(endpoint)
    hub.publish(model.endpoint, "v2", 2)
    chat(endpoint)
    with ScriptedModel(["Hi."]) as other:
        hub.publish(other.endpoint, "v1", 3)
        assert chat(endpoint).choices[0].message.content == "Hi."
    assert [request["model"] for request in model.requests] == ["v1", "v2"]
    assert [request["model"] for request in other.requests] == ["v1"]
    runner.finish(claim, 0, reward=0.0, passed=False, steps=None)
    made = hub.result("r0").calls
    assert [(m.model, m.version) for m in made] == [("v1", 1), ("v2", 2), ("v1", 3)]


def test_no_call_is_refused_while_versions_change(hub, runner, model):
    [claim] = queue(hub, runner, "train")
    with ScriptedModel(lambda request: "Hi.") as other:
        hub.publish(other.endpoint, "v0", 0)
        failures: list[Exception] = []

        def agent() -> None:
            try:
                for _ in range(10):
                    chat(runner.endpoint(claim, 0))
            except openai.OpenAIError as exc:
                failures.append(exc)

        threads = [threading.Thread(target=agent) for _ in range(3)]
        for thread in threads:
            thread.start()
        version = 0
        while any(thread.is_alive() for thread in threads):
            version += 1
            hub.publish(other.endpoint, f"v{version}", version)
            time.sleep(0.002)
        for thread in threads:
            thread.join()
    assert failures == []
    runner.finish(claim, 0, reward=0.0, passed=False, steps=None)
    made = hub.result("r0").calls
    assert len(made) == len(other.requests) == 30
    assert all(m.model == f"v{m.version}" for m in made)


def test_training_is_untempered_and_measuring_is_as_the_agent_is(hub, runner, model):
    claims = queue(hub, runner, "before", "train", "validate", "after")
    for claim in claims:
        chat(runner.endpoint(claim, 0), temperature=0.2, top_p=0.5, seed=7)
        sent = model.requests[-1]
        assert sent["rollout_id"] == f"{claim.rollout_id}.0"
        assert sent["return_token_ids"] is True
        if claim.task.phase == "train":
            assert sent["temperature"] == 1.0
            assert not {"top_p", "seed", "sampling_temperature"} & set(sent)
            assert sent["logprobs"] is True
        else:
            assert (sent["sampling_temperature"], sent["top_p"]) == (0.2, 0.5)
            assert sent["seed"] == 7
            assert "logprobs" not in sent
    chat(runner.endpoint(claims[0], 0))
    assert "sampling_temperature" not in model.requests[-1]


def test_a_stream_for_an_openai_client(hub, runner, model):
    [claim] = queue(hub, runner, "train")
    endpoint = runner.endpoint(claim, 0)
    parts = chat(endpoint, stream=True, stream_options={"include_usage": True})
    assert "stream" not in model.requests[-1]
    assert parts[-1].usage.total_tokens > 0
    deltas = [part.choices[0].delta for part in parts[:-1]]
    [asked] = [tool for delta in deltas for tool in delta.tool_calls or ()]
    assert (asked.index, asked.function.name) == (0, "look_up")
    assert json.loads(asked.function.arguments) == {"order": "A1"}
    assert parts[-2].choices[0].finish_reason == "tool_calls"
    runner.finish(claim, 0, reward=1.0, passed=True, steps=None)
    assert len(hub.result("r0").calls) == 1


@pytest.mark.parametrize("streaming", [False, True])
def test_a_response_is_recorded_as_a_model_call(hub, runner, model, streaming):
    [claim] = queue(hub, runner, "train")
    fields: dict[str, Any] = {"model": "policy", "tools": [{"type": "function"}]}
    fields["tools"][0] |= TOOLS[0]["function"]
    with client_of(runner.endpoint(claim, 0)) as client:

        def respond(items: Any) -> Any:
            made = client.responses.create(input=items, stream=streaming, **fields)
            return list(made)[-1].response if streaming else made

        first = respond("Where is A1?")
        [asked] = first.output
        assert (asked.type, asked.name) == ("function_call", "look_up")
        assert json.loads(asked.arguments) == {"order": "A1"}
        result = {"type": "function_call_output", "call_id": asked.call_id}
        question = {"role": "user", "content": "Where is A1?"}
        items = [question, asked.model_dump(), {**result, "output": "shipped"}]
        assert respond(items).output_text == "Done."
        with pytest.raises(openai.BadRequestError, match="send the whole input"):
            client.responses.create(
                model="policy", input="Go on.", previous_response_id=first.id
            )
    sent = model.requests[-1]
    assert [message["role"] for message in sent["messages"]] == [
        "user",
        "assistant",
        "tool",
    ]
    assert sent["tools"] == TOOLS
    assert sent["rollout_id"] == "r0.0"
    assert "stream" not in sent
    runner.finish(claim, 0, reward=1.0, passed=True, steps=None)
    reasons = [made.finish_reason for made in hub.result("r0").calls]
    assert reasons == ["tool_calls", "stop"]


@pytest.mark.parametrize("streaming", [False, True])
def test_openais_agents_use_responses(hub, runner, model, streaming):
    agents = pytest.importorskip("agents")
    [claim] = queue(hub, runner, "train")
    endpoint = runner.endpoint(claim, 0)
    seen: list[str] = []

    @agents.function_tool
    def look_up(order: str) -> str:
        """Shows an order."""
        seen.append(order)
        return "shipped"

    async def run() -> Any:
        async with openai.AsyncOpenAI(
            base_url=endpoint.base_url, api_key=endpoint.api_key, max_retries=0
        ) as client:
            spoken = agents.OpenAIResponsesModel(endpoint.model, client)
            agent = agents.Agent(name="support", tools=[look_up], model=spoken)
            config = agents.RunConfig(tracing_disabled=True)
            if not streaming:
                return await agents.Runner.run(agent, "A1?", run_config=config)
            result = agents.Runner.run_streamed(agent, "A1?", run_config=config)
            async for _ in result.stream_events():
                """The SDK checks them."""
            return result

    result = asyncio.run(run())
    assert (seen, result.final_output) == (["A1"], "Done.")
    runner.finish(claim, 0, reward=1.0, passed=True, steps=None)
    assert len(hub.result("r0").calls) == 2


def test_the_one_model_is_listed(hub, runner):
    [claim] = queue(hub, runner, "train")
    with client_of(runner.endpoint(claim, 0)) as client:
        assert [found.id for found in client.models.list()] == ["policy"]


def test_errors_are_told_as_openai_tells_them(hub, runner, model):
    [claim] = queue(hub, runner, "train")
    endpoint = runner.endpoint(claim, 0)
    sentence = "POST /v1/embeddings cannot be recorded"
    with client_of(endpoint) as client, pytest.raises(openai.NotFoundError) as caught:
        client.embeddings.create(model="policy", input="hi")
    assert sentence in str(caught.value)
    with ScriptedModel([error(400, "no such tool")]) as bad:
        hub.publish(bad.endpoint, "v1", 1)
        for stream in (False, True):
            with pytest.raises(openai.BadRequestError) as refused:
                chat(endpoint, stream=stream)
            assert refused.value.body == {
                "message": "no such tool",
                "type": "scripted",
                "param": None,
                "code": "400",
            }
    # What failed is no model call.
    runner.finish(claim, 0, reward=1.0, passed=True, steps=None)
    assert hub.result("r0").calls == []


def test_a_wrong_key_or_rollout_is_refused(hub, runner, model):
    [claim] = queue(hub, runner, "train")
    right = runner.endpoint(claim, 0)
    wrong = PolicyEndpoint(base_url=right.base_url, api_key="wrong", model="policy")
    with pytest.raises(openai.AuthenticationError):
        chat(wrong)
    with client_of(wrong) as client, pytest.raises(openai.AuthenticationError):
        client.models.list()
    stranger = RunnerClient(hub.url, "wrong", "x")
    with pytest.raises(HubGone, match="answers 401"):
        stranger.claim(1)
    stranger.close()
    unknown = Claim(rollout_id="nobody", task=task())
    with pytest.raises(openai.NotFoundError, match="Rollout not found: nobody"):
        chat(runner.endpoint(unknown, 0))
    assert not model.requests


def test_an_agent_that_goes_away_ends_its_call(hub, runner, capfd):
    [claim] = queue(hub, runner, "train")
    path = runner.endpoint(claim, 0).base_url.removeprefix(hub.url)
    with ScriptedModel([say("Too late.").after(60)]) as slow:
        hub.publish(slow.endpoint, "v1", 1)
        host, port = hub.url.removeprefix("http://").split(":")
        body = b'{"messages": [], "stream": true}'
        head = (
            f"POST {path}/chat/completions HTTP/1.1\r\nHost: {host}\r\n"
            f"Authorization: Bearer {hub.key}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        with socket.create_connection((host, int(port))) as agent:
            agent.sendall(head.encode() + body)
            wait_until(lambda: in_flight(hub) == 1 and len(slow.requests) == 1)
        wait_until(lambda: in_flight(hub) == 0)
    # Agent Lightning logs this; its log is not for the terminal.
    assert capfd.readouterr() == ("", "")


def in_flight(hub: Gateway) -> int:
    headers = {"Authorization": f"Bearer {hub.key}"}
    with httpx.Client(trust_env=False, headers=headers) as client:
        return int(client.get(f"{hub.url}/proxy/state").json()["inflight"])


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_end_refuses_calls_in_flight_and_leaves_nothing(capfd):
    refused: list[Exception] = []
    with ScriptedModel([say("Too late.").after(60)]) as slow:
        first = Gateway.start()
        first.publish(slow.endpoint, "v1", 1)
        runner = RunnerClient(first.url, first.key, "main-1")
        claims = queue(first, runner, "train", "train")
        runner.finish(claims[1], 0, reward=1.0, passed=True, steps=None)
        first.enqueue({"waiting": task()}, timeout=60)

        def agent() -> None:
            try:
                chat(runner.endpoint(claims[0], 0), stream=True)
            except openai.APIStatusError as exc:
                refused.append(exc)

        thread = threading.Thread(target=agent)
        thread.start()
        wait_until(lambda: len(slow.requests) == 1)
        first.close()
        first.close()
        thread.join(30)
    runner.close()
    assert [exc.status_code for exc in refused] == [503]  # type: ignore[attr-defined]
    with pytest.raises(AgentGymError, match="the training's hub has ended"):
        first.finished()
    second = Gateway.start()
    runner = RunnerClient(second.url, second.key, "main-1")
    assert (second.finished(), second.running(), runner.claim(5)) == ([], [], [])
    [claim] = queue(second, runner, "train")
    with pytest.raises(openai.InternalServerError, match="No servers available"):
        chat(runner.endpoint(claim, 0))
    runner.close()
    second.close()
    assert capfd.readouterr() == ("", "")


def test_a_hub_that_is_gone_is_told(monkeypatch):
    monkeypatch.setattr(runner_client, "_PATIENCE", 0.3)
    hub = Gateway.start()
    runner = RunnerClient(hub.url, hub.key, "main-1")
    [claim] = queue(hub, runner, "train")
    hub.close()
    with pytest.raises(
        HubGone, match=r"hub at http://127\.0\.0\.1:\d+ does not answer"
    ):
        runner.finish(claim, 0, reward=1.0, passed=True, steps=None)
    runner.close()


class Flaky(BaseHTTPRequestHandler):
    """A hub that first closes the connection, then fails, then has nothing queued."""

    protocol_version = "HTTP/1.1"
    asked = 0

    def do_GET(self) -> None:
        Flaky.asked += 1
        if Flaky.asked == 1:
            self.close_connection = True
            return
        self.send_response(500 if Flaky.asked == 2 else 200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"[]")

    def log_message(self, *args: object) -> None:
        pass


def test_a_runner_survives_a_failure_that_passes(monkeypatch):
    monkeypatch.setattr(runner_client, "_PAUSE", 0.01)
    with ThreadingHTTPServer(("127.0.0.1", 0), Flaky) as server:
        thread = threading.Thread(
            target=server.serve_forever, args=(0.01,), daemon=True
        )
        thread.start()
        runner = RunnerClient(f"http://127.0.0.1:{server.server_port}", "k", "x")
        assert runner.claim(1) == []
        runner.close()
        server.shutdown()
        thread.join()
    assert Flaky.asked == 3


def test_a_missing_package_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "agentlightning.schemas", None)
    with pytest.raises(UsageError, match=r"pip install 'pytest-agentgym\[train\]'"):
        Gateway.start()


def test_an_old_python_is_one_sentence(monkeypatch):
    monkeypatch.setattr(gateway_module, "_PYTHON", (3, 11, 9))
    with pytest.raises(UsageError, match=r"needs Python 3\.12 .* this is 3\.11\.9"):
        Gateway.start()


# With the real policy server.


@pytest.fixture
def served(hub: Gateway, embedded_server: PolicyProcess) -> PolicyProcess:
    endpoint = embedded_server.endpoint
    hub.publish(endpoint, endpoint.model, 4)
    return embedded_server


@pytest.mark.slow
@pytest.mark.usefixtures("served")
def test_exact_tokens_and_their_logprobs_are_recorded(hub, runner):
    [claim] = queue(hub, runner, "train")
    endpoint = runner.endpoint(claim, 0)
    forced = {"tools": TOOLS, "tool_choice": "required"}
    first = chat(endpoint, logprobs=True, **forced)
    message = first.choices[0].message.model_dump(exclude_none=True)
    answers = [
        {"role": "tool", "tool_call_id": asked["id"], "content": "A4821: shipped"}
        for asked in message.get("tool_calls", ())
    ]
    second = chat(endpoint, messages=[*HELLO, message, *answers], tools=TOOLS)
    assert second.choices[0].logprobs is None
    assert "prompt_token_ids" not in (second.model_extra or {})
    runner.finish(claim, 0, reward=1.0, passed=True, steps=None)
    made = hub.result("r0").calls
    assert [m.version for m in made] == [4, 4]
    for answer, record in zip((first, second), made, strict=True):
        assert record.ok
        assert len(record.prompt_ids) == record.prompt_tokens
        assert record.prompt_tokens == answer.usage.prompt_tokens
        assert len(record.token_ids) == answer.usage.completion_tokens
        assert record.finish_reason == answer.choices[0].finish_reason
        assert all(logprob <= 0 for logprob in record.logprobs)
    assert made[0].logprobs == [t.logprob for t in first.choices[0].logprobs.content]
    # One conversation is one row.
    known = made[0].prompt_ids + made[0].token_ids
    assert made[1].prompt_ids[: len(known)] == known


@pytest.mark.slow
@pytest.mark.usefixtures("served")
def test_a_held_response_is_recorded_with_the_free_policys_logprobs(hub, runner):
    schema = {
        "type": "object",
        "properties": {"state": {"enum": ["paid", "shipped"]}},
        "required": ["state"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "name": "state", "schema": schema, "strict": True}
    [claim] = queue(hub, runner, "train")
    with client_of(runner.endpoint(claim, 0)) as client:
        made = client.responses.create(
            model="policy", input="Where is A4821?", text={"format": form}
        )
    assert json.loads(made.output_text)["state"] in ("paid", "shipped")
    runner.finish(claim, 0, reward=1.0, passed=True, steps=None)
    [record] = hub.result("r0").calls
    assert record.ok
    assert len(record.token_ids) == made.usage.output_tokens
    # It would not have written JSON by itself.
    assert min(record.logprobs) < -3


@pytest.mark.slow
@pytest.mark.usefixtures("served")
def test_measuring_records_tokens_without_logprobs(hub, runner):
    [claim] = queue(hub, runner, "after")
    chat(runner.endpoint(claim, 0), temperature=0.0)
    runner.finish(claim, 0, reward=1.0, passed=True, steps=None)
    [made] = hub.result("r0").calls
    assert made.prompt_ids
    assert made.token_ids
    assert (made.logprobs, made.ok) == ([], False)


@pytest.mark.slow
@pytest.mark.usefixtures("served")
@pytest.mark.parametrize("streaming", [False, True])
def test_langchain_notices_nothing(hub, runner, streaming):
    langchain = pytest.importorskip("langchain_openai")
    [claim] = queue(hub, runner, "train")
    endpoint = runner.endpoint(claim, 0)
    with httpx.Client() as client:
        llm = langchain.ChatOpenAI(
            base_url=endpoint.base_url,
            api_key=endpoint.api_key,
            model=endpoint.model,
            streaming=streaming,
            stream_usage=streaming,
            http_client=client,
        ).bind_tools(TOOLS, tool_choice="lookup_order")
        reply = llm.invoke(HELLO)
    named = [*reply.tool_calls, *reply.invalid_tool_calls]
    assert {asked["name"] for asked in named} == {"lookup_order"}
    assert "logprobs" not in {k: v for k, v in reply.response_metadata.items() if v}
    runner.finish(claim, 0, reward=1.0, passed=True, steps=None)
    [made] = hub.result("r0").calls
    assert made.ok
    assert reply.usage_metadata["output_tokens"] == len(made.token_ids)
