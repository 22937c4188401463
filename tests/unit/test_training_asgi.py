"""The layer before Agent Lightning, around a small application that stands for it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from starlette.requests import Request

from agentgym.training.hub.asgi import AgentLayer, events, prepare

BASE = "/proxy/rollout/r1/attempt/0/mode/train/openai/v1/"
ANSWER: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "v1",
    "prompt_token_ids": [1, 2],
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {
                        "id": f"call_{order}",
                        "type": "function",
                        "function": {"name": "look", "arguments": order},
                    }
                    for order in ("{}", "[")
                ],
            },
            "finish_reason": "tool_calls",
            "token_ids": [3],
            "logprobs": {"content": [{"token": "a", "logprob": -1.0}]},
        }
    ],
    "usage": {"prompt_tokens": 2, "completion_tokens": 1, "total_tokens": 3},
}


class Inner:
    """Gives one answer, and remembers what it got."""

    def __init__(self, answer: Any = ANSWER, status: int = 200) -> None:
        self.answer = answer
        self.status = status
        self.body: bytes | None = None
        self.scope: Any = None
        self.then: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scope = scope
        self.body = await Request(scope, receive).body()
        self.then = receive
        headers = [(b"x-inner", b"yes")]
        start = {"type": "http.response.start", "status": self.status}
        await send({**start, "headers": headers})
        raw = json.dumps(self.answer).encode()
        middle = len(raw) // 2
        body = {"type": "http.response.body"}
        await send({**body, "body": raw[:middle], "more_body": True})
        await send({**body, "body": raw[middle:]})


class Client:
    """Asks the layer without a network."""

    def __init__(self, inner: Any) -> None:
        self.layer = AgentLayer(inner, model="policy")
        self.sent: list[Any] = []
        self.messages: list[Any] = []

    def ask(self, path: str, body: Any = b"", *, method: str = "POST") -> None:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        middle = len(raw) // 2
        self.messages = [
            {"type": "http.request", "body": raw[:middle], "more_body": True},
            {"type": "http.request", "body": raw[middle:]},
            {"type": "http.disconnect"},
        ]
        scope = {"type": "http", "method": method, "path": path, "headers": []}
        self.sent = []
        asyncio.run(self.layer(scope, self.receive, self.send))

    async def receive(self) -> Any:
        return self.messages.pop(0)

    async def send(self, message: Any) -> None:
        self.sent.append(message)

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.sent[0]["headers"])

    @property
    def body(self) -> bytes:
        return b"".join(message["body"] for message in self.sent[1:])

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def chunks(body: bytes) -> list[Any]:
    """The data of a stream's events."""
    lines = body.decode().split("\n\n")
    assert lines.pop() == ""
    assert lines.pop() == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def test_training_samples_from_the_policy_itself():
    body = {"messages": [], "top_p": 0.5, "seed": 1, "temperature": 0.2, "stop": "x"}
    prepare(body, "r1", "0", "train")
    assert body == {
        "messages": [],
        "stop": "x",
        "temperature": 0.2,
        "rollout_id": "r1.0",
    }


@pytest.mark.parametrize("temperature", [0, 0.3])
def test_what_is_measured_keeps_the_agents_sampling(temperature):
    body = {"temperature": temperature, "top_p": 0.5, "seed": 1}
    prepare(body, "r1", "0", "val")
    assert body["sampling_temperature"] == temperature
    assert (body["top_p"], body["seed"]) == (0.5, 1)


@pytest.mark.parametrize("body", [{}, {"temperature": None}])
def test_no_temperature_stays_none(body):
    prepare(body, "r1", "0", "val")
    assert "sampling_temperature" not in body


def test_a_request_goes_on_as_a_plain_one_with_the_rollouts_id():
    inner = Inner()
    client = Client(inner)
    asked = {"messages": [{"content": "\ud83d \u20ac"}], "stream": True}
    client.ask(BASE + "chat/completions", {**asked, "stream_options": {}})
    assert json.loads(inner.body or b"") == {
        "messages": asked["messages"],
        "rollout_id": "r1.0",
    }
    # Then the inner application sees what the client does.
    assert asyncio.run(inner.then()) == {"type": "http.disconnect"}


def test_the_answer_has_only_what_the_agent_asked_for():
    client = Client(Inner())
    client.ask(BASE + "chat/completions", {})
    plain = client.json
    assert "prompt_token_ids" not in plain
    assert "token_ids" not in plain["choices"][0]
    assert plain["choices"][0]["logprobs"] is None
    assert plain["choices"][0]["message"] == ANSWER["choices"][0]["message"]
    client.ask(BASE + "chat/completions", {"logprobs": True, "return_token_ids": True})
    assert client.json == ANSWER
    assert int(client.headers[b"content-length"]) == len(client.body)


def test_a_stream_has_the_whole_answer():
    client = Client(Inner())
    options = {"include_usage": True}
    client.ask(BASE + "chat/completions", {"stream": True, "stream_options": options})
    assert client.headers[b"content-type"].startswith(b"text/event-stream")
    streamed = chunks(client.body)
    assert {chunk["object"] for chunk in streamed} == {"chat.completion.chunk"}
    deltas = [chunk["choices"][0]["delta"] for chunk in streamed if chunk["choices"]]
    assert deltas[0] == {"role": "assistant", "content": ""}
    calls = [call for delta in deltas for call in delta.get("tool_calls", ())]
    assert [call.pop("index") for call in calls] == [0, 1]
    assert calls == ANSWER["choices"][0]["message"]["tool_calls"]
    reasons = [c["choices"][0]["finish_reason"] for c in streamed if c["choices"]]
    assert reasons == [None, None, None, "tool_calls"]
    assert streamed[-1]["choices"] == []
    assert streamed[-1]["usage"] == ANSWER["usage"]
    client.ask(BASE + "chat/completions", {"stream": True})
    assert all(chunk["choices"] for chunk in chunks(client.body))


def test_a_plain_completion_streams_its_text():
    answer = {
        "object": "text_completion",
        "choices": [{"index": 0, "text": "hi", "finish_reason": "stop"}],
    }
    [chunk] = chunks(b"".join(events(answer, usage=False)))
    assert chunk["object"] == "text_completion"
    assert chunk["choices"][0]["text"] == "hi"
    assert chunk["choices"][0]["finish_reason"] == "stop"


def test_an_error_is_passed_on_as_it_is():
    error = {"error": {"message": "no", "type": "invalid_request_error"}}
    client = Client(Inner(error, status=400))
    client.ask(BASE + "chat/completions", {"stream": True})
    assert (client.status, client.json) == (400, error)
    assert client.headers == {b"x-inner": b"yes"}


@pytest.mark.parametrize("body", [b"{", b"[1]", b""])
def test_a_body_that_is_no_object_is_the_inner_applications_matter(body):
    inner = Inner({"detail": "bad"}, status=400)
    client = Client(inner)
    client.ask(BASE + "chat/completions", body)
    assert inner.body == body
    assert client.status == 400


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/rollouts"),
        ("GET", "/proxy/state"),
        ("POST", "/proxy/rollout/r1/attempt/0/elsewhere"),
    ],
)
def test_everything_else_is_untouched(method, path):
    inner = Inner()
    client = Client(inner)
    client.ask(path, {"stream": True}, method=method)
    assert inner.body == b'{"stream": true}'
    assert client.json == ANSWER
    assert client.headers == {b"x-inner": b"yes"}


def test_a_client_that_goes_before_it_has_asked_is_not_answered():
    inner = Inner()
    client = Client(inner)

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    client.receive = receive  # type: ignore[method-assign]
    client.ask(BASE + "chat/completions")
    assert inner.scope is None
    assert client.sent == []


def test_the_one_model_is_listed():
    client = Client(Inner())
    client.ask(BASE + "models", method="GET")
    assert [model["id"] for model in client.json["data"]] == ["policy"]


@pytest.mark.parametrize("route", ["responses/r1", "embeddings", "files/1/content"])
def test_other_apis_get_one_sentence(route):
    inner = Inner()
    client = Client(inner)
    client.ask(BASE + route, {})
    assert client.status == 404
    assert client.json["error"]["message"] == (
        f"POST /v1/{route} cannot be recorded for training: "
        "use an agent that calls /v1/chat/completions"
    )
    assert inner.scope is None


def test_a_response_is_recorded_as_a_chat_completion():
    inner = Inner()
    client = Client(inner)
    asked = {"model": "policy", "input": "hi", "temperature": 0.2, "top_p": 0.5}
    client.ask(BASE + "responses", asked)
    assert inner.scope["path"] == BASE + "chat/completions"
    assert inner.scope["raw_path"] == inner.scope["path"].encode()
    assert json.loads(inner.body or b"") == {
        "model": "policy",
        "messages": [{"role": "user", "content": "hi"}],
        "temperature": 0.2,
        "rollout_id": "r1.0",
    }
    assert client.status == 200
    made = client.json
    assert (made["object"], made["id"]) == ("response", "resp_1")
    assert [item["arguments"] for item in made["output"]] == ["{}", "["]
    assert made["usage"]["total_tokens"] == 3
    client.ask(BASE + "responses", {**asked, "stream": True})
    assert "stream" not in json.loads(inner.body or b"")
    assert client.headers[b"content-type"].startswith(b"text/event-stream")
    *_, last = client.body.decode().strip().split("\n\n")
    name, data = last.split("\n")
    assert name == "event: response.completed"
    whole = json.loads(data.removeprefix("data: "))["response"]
    assert whole == made


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"[1]", "the body is no JSON object"),
        (
            {"input": "hi", "previous_response_id": "resp_1"},
            "previous_response_id is not kept here: send the whole input",
        ),
    ],
)
def test_a_response_that_is_not_possible_gets_one_sentence(body, sentence):
    inner = Inner()
    client = Client(inner)
    client.ask(BASE + "responses", body)
    assert (client.status, inner.scope) == (400, None)
    assert sentence in client.json["error"]["message"]


def test_a_responses_error_is_passed_on_as_it_is():
    error = {"error": {"message": "no", "type": "invalid_request_error"}}
    client = Client(Inner(error, status=400))
    client.ask(BASE + "responses", {"input": "hi", "stream": True})
    assert (client.status, client.json) == (400, error)


def test_a_request_that_the_end_cancels_is_answered():
    async def inner(scope: Any, receive: Any, send: Any) -> None:
        raise asyncio.CancelledError

    client = Client(inner)
    client.ask(BASE + "chat/completions", {"stream": True})
    assert client.status == 503
    assert client.json["error"]["message"] == "agentgym's gateway is closing"
