"""`record_openai`: every way in which a client asks is recorded and not changed."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from agentgym.integrations.openai import record_openai
from agentgym.recording.recorder import Recorder

openai = pytest.importorskip("openai")
httpx = pytest.importorskip("httpx")
pytestmark = pytest.mark.slow

SAID = [{"role": "user", "content": "How is the weather in Ulm?"}]
FUNCTION = {"name": "weather", "arguments": '{"city": "Ulm"}'}
CALL = {"id": "c1", "type": "function", "function": FUNCTION}
CHAT = {
    "id": "1",
    "object": "chat.completion",
    "created": 0,
    "model": "m",
    "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
    "choices": [
        {
            "index": 0,
            "finish_reason": "tool_calls",
            "message": {"role": "assistant", "content": None, "tool_calls": [CALL]},
        }
    ],
}
OUTPUT = {"type": "function_call", "id": "f", "call_id": "c1", "status": "completed"}
RESPONSE = {
    "id": "r1",
    "object": "response",
    "created_at": 0,
    "status": "completed",
    "model": "m",
    "tools": [],
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "output": [{**OUTPUT, **FUNCTION}],
    "usage": {
        "input_tokens": 5,
        "output_tokens": 2,
        "total_tokens": 7,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 0},
    },
}


def chunk(delta: Any, reason: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    about = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "m"}
    return {**about, "choices": [choice], **more}


CHUNKS = [
    chunk({"role": "assistant", "content": None}),
    chunk({"tool_calls": [{"index": 0, **CALL}]}),
    chunk({}, "tool_calls"),
    {**chunk({}), "choices": [], "usage": CHAT["usage"]},
]
EVENTS = [
    {"type": "response.created", "sequence_number": 0, "response": RESPONSE},
    {
        "type": "response.output_item.added",
        "sequence_number": 1,
        "output_index": 0,
        "item": {**OUTPUT, **FUNCTION, "arguments": ""},
    },
    {
        "type": "response.output_item.done",
        "sequence_number": 2,
        "output_index": 0,
        "item": {**OUTPUT, **FUNCTION},
    },
    {"type": "response.completed", "sequence_number": 3, "response": RESPONSE},
]


def events(*parts: Any) -> str:
    return "".join(f"data: {json.dumps(part)}\n\n" for part in parts)


def respond(request: Any) -> Any:
    asked = json.loads(request.content)
    chat = request.url.path.endswith("/chat/completions")
    if not asked.get("stream"):
        return httpx.Response(200, json=CHAT if chat else RESPONSE)
    text = events(*(CHUNKS if chat else EVENTS)) + "data: [DONE]\n\n"
    kind = {"content-type": "text/event-stream"}
    return httpx.Response(200, text=text, headers=kind)


def sync_client(answer: Callable[[Any], Any] = respond) -> Any:
    http = httpx.Client(transport=httpx.MockTransport(answer))
    return openai.OpenAI(
        base_url="http://model.invalid/v1",
        api_key="k",
        http_client=http,
        max_retries=0,
    )


def async_client(answer: Callable[[Any], Any] = respond) -> Any:
    http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    return openai.AsyncOpenAI(
        base_url="http://model.invalid/v1",
        api_key="k",
        http_client=http,
        max_retries=0,
    )


ASKED = {"model": "m", "messages": SAID}
GIVEN = {"model": "m", "input": SAID}
CREATE: dict[str, Callable[[Any], Any]] = {
    "create": lambda c: c.chat.completions.create(**ASKED),
    "parse": lambda c: c.chat.completions.parse(**ASKED),
    "beta.parse": lambda c: c.beta.chat.completions.parse(**ASKED),
    "raw": lambda c: c.chat.completions.with_raw_response.create(**ASKED),
    "raw of the client": lambda c: c.with_raw_response.chat.completions.create(**ASKED),
    "with_options": lambda c: c.with_options(timeout=3).chat.completions.create(
        **ASKED
    ),
    "copy of a copy": lambda c: (
        c.copy().copy(timeout=3).chat.completions.create(**ASKED)
    ),
    "post": lambda c: c.post(
        "/chat/completions", cast_to=openai.types.chat.ChatCompletion, body=ASKED
    ),
    "responses.create": lambda c: c.responses.create(**GIVEN),
    "responses.parse": lambda c: c.responses.parse(**GIVEN),
    "responses raw": lambda c: c.responses.with_raw_response.create(**GIVEN),
    "responses of with_options": lambda c: c.with_options(
        max_retries=1
    ).responses.create(**GIVEN),
}
STREAM: dict[str, Callable[[Any], Any]] = {
    "create": lambda c: c.chat.completions.create(**ASKED, stream=True),
    "raw": lambda c: c.chat.completions.with_raw_response.create(**ASKED, stream=True),
    "responses": lambda c: c.responses.create(**GIVEN, stream=True),
}
MANAGERS: dict[str, Callable[[Any], Any]] = {
    "stream": lambda c: c.chat.completions.stream(**ASKED),
    "beta.stream": lambda c: c.beta.chat.completions.stream(**ASKED),
    "responses.stream": lambda c: c.responses.stream(**GIVEN),
}
STREAMED: dict[str, Callable[[Any], Any]] = {
    "create": lambda c: c.chat.completions.with_streaming_response.create(**ASKED),
    "of the client": lambda c: c.with_streaming_response.chat.completions.create(
        **ASKED
    ),
    "parse": lambda c: c.chat.completions.with_streaming_response.parse(**ASKED),
    "responses": lambda c: c.responses.with_streaming_response.create(**GIVEN),
}


def check(recorder: Recorder, *, times: int = 1) -> None:
    """That the one call was recorded, once."""
    trajectory = recorder.trajectory
    assert [str(c) for c in trajectory.tool_calls] == ["weather(city='Ulm')"] * times
    assert [
        (m.model, m.finish_reason, m.prompt_tokens, m.completion_tokens, m.error)
        for m in trajectory.model_calls
    ] == [("m", "tool_calls", 5, 2, None)] * times
    assert recorder.infra_failure is None
    assert recorder.model_in_flight() is None


def play(
    sync: Callable[[Any], Any], asynchronous: Callable[[Any], Any], how: str
) -> Recorder:
    with (recorder := Recorder()).activate():
        if how == "sync":
            sync(record_openai(sync_client()))
        else:
            asyncio.run(asynchronous(record_openai(async_client())))
    return recorder


both = pytest.mark.parametrize("how", ["sync", "async"])


@both
@pytest.mark.parametrize("way", CREATE)
def test_whole_answers(way: str, how: str) -> None:
    async def ask(client: Any) -> Any:
        return await CREATE[way](client)

    check(play(CREATE[way], ask, how))


@both
@pytest.mark.parametrize("way", STREAM)
def test_streams(way: str, how: str) -> None:
    def read(client: Any) -> None:
        given = STREAM[way](client)
        assert len(list(given.parse() if way == "raw" else given)) == 4

    async def read_async(client: Any) -> None:
        given = await STREAM[way](client)
        given = given.parse() if way == "raw" else given
        assert len([part async for part in given]) == 4

    check(play(read, read_async, how))


@both
@pytest.mark.parametrize("way", MANAGERS)
def test_streams_that_the_client_puts_together(way: str, how: str) -> None:
    def read(client: Any) -> None:
        with MANAGERS[way](client) as stream:
            assert list(stream)

    async def read_async(client: Any) -> None:
        async with MANAGERS[way](client) as stream:
            assert [event async for event in stream]

    check(play(read, read_async, how))


READ: dict[str, Callable[[Any], Any]] = {
    "parse": lambda r: r.parse(),
    "json": lambda r: r.json(),
    "text": lambda r: r.text(),
    "read": lambda r: r.read(),
}


@both
@pytest.mark.parametrize("read", READ)
@pytest.mark.parametrize("way", STREAMED)
def test_streamed_responses(way: str, read: str, how: str) -> None:
    def ask(client: Any) -> None:
        with STREAMED[way](client) as response:
            assert READ[read](response)

    async def ask_async(client: Any) -> None:
        async with STREAMED[way](client) as response:
            assert await READ[read](response)

    check(play(ask, ask_async, how))


@both
def test_the_events_of_a_streamed_response(how: str) -> None:
    def ask(client: Any) -> None:
        completions = client.chat.completions.with_streaming_response
        with completions.create(**ASKED, stream=True) as response:
            assert sum(line.startswith("data:") for line in response.iter_lines()) == 5
        with completions.create(**ASKED, stream=True) as response:
            assert len(list(response.parse())) == 4

    async def ask_async(client: Any) -> None:
        completions = client.chat.completions.with_streaming_response
        async with completions.create(**ASKED, stream=True) as response:
            lines = [line async for line in response.iter_lines()]
            assert sum(line.startswith("data:") for line in lines) == 5
        async with completions.create(**ASKED, stream=True) as response:
            assert len([part async for part in await response.parse()]) == 4

    check(play(ask, ask_async, how), times=2)


@both
def test_a_response_that_nobody_reads_ends_with_its_block(how: str) -> None:
    def ask(client: Any) -> None:
        with client.chat.completions.with_streaming_response.create(**ASKED) as r:
            assert r.status_code == 200

    async def ask_async(client: Any) -> None:
        streamed = client.chat.completions.with_streaming_response
        async with streamed.create(**ASKED) as r:
            assert r.status_code == 200

    recorder = play(ask, ask_async, how)
    assert recorder.model_in_flight() is None
    assert recorder.infra_failure is None


@both
def test_a_stream_that_the_agent_closes_has_what_was_read(how: str) -> None:
    def ask(client: Any) -> None:
        with client.chat.completions.create(**ASKED, stream=True) as stream:
            assert next(stream)

    async def ask_async(client: Any) -> None:
        async with await client.chat.completions.create(**ASKED, stream=True) as s:
            assert await anext(s)

    recorder = play(ask, ask_async, how)
    assert recorder.model_in_flight() is None
    assert recorder.infra_failure is None


def test_a_stream_that_is_forgotten_locks_nothing() -> None:
    client, recorder = record_openai(sync_client()), Recorder()
    with recorder.activate():
        stream = client.chat.completions.create(**ASKED, stream=True)
        assert next(stream)
        del stream
        with recorder._lock:
            # It may be collected at any time.
            gc.collect()


def test_a_client_that_was_used_before_is_recorded() -> None:
    client = sync_client()
    kept = [client.chat.completions, client.beta.chat.completions]
    raw = client.chat.completions.with_raw_response
    record_openai(client)
    with (recorder := Recorder()).activate():
        for completions in (*kept, raw):
            completions.create(**ASKED)
    check(recorder, times=3)


def test_twice_recorded_is_recorded_once_and_other_clients_are_not() -> None:
    client, other = sync_client(), sync_client()
    record_openai(record_openai(client).with_options(timeout=2))
    with (recorder := Recorder()).activate():
        other.chat.completions.create(**ASKED)
        assert not recorder.trajectory.steps
        client.with_options(timeout=3).chat.completions.create(**ASKED)
    check(recorder)


def test_outside_of_an_episode_nothing_happens() -> None:
    client = record_openai(sync_client())
    assert client.chat.completions.create(**ASKED).choices[0].message.tool_calls


def test_messages_that_are_read_once_reach_the_server() -> None:
    seen = []

    def answer(request: Any) -> Any:
        seen.append(json.loads(request.content)["messages"])
        return httpx.Response(200, json=CHAT)

    client = record_openai(sync_client(answer))
    with Recorder().activate():
        client.chat.completions.create(model="m", messages=iter(SAID))
    assert seen == [SAID]


WHOLE = {
    "truncated": (json.dumps(CHAT)[:70], "application/json"),
    "HTML": ("<html><body>restarting</body></html>", "text/html"),
    "empty": ("", "application/json"),
    "empty, no JSON": ("", "text/plain"),
    "null": ("null", "application/json"),
    "a list": ("[]", "application/json"),
    "a text": ('"busy"', "application/json"),
    "no fields": ("{}", "application/json"),
    "a detail": ('{"detail": "loading"}', "application/json"),
    "an error": ('{"error": {"message": "m", "code": 503}}', "application/json"),
    "an error's text": ('{"error": "overloaded"}', "application/json"),
}
CHOICES: dict[str, Any] = {
    "null": None,
    "none": [],
    "an object": {},
    "a null in them": [None],
    "no message": [{"index": 0, "finish_reason": "stop"}],
    "message null": [{"index": 0, "finish_reason": "stop", "message": None}],
    "message a text": [{"index": 0, "finish_reason": "stop", "message": "hi"}],
    "error": [
        {"index": 0, "finish_reason": "error", "message": {"content": ""}, "error": {}}
    ],
}
WHOLE |= {
    f"choices {name}": (json.dumps({**CHAT, "choices": c}), "application/json")
    for name, c in CHOICES.items()
}


@pytest.mark.parametrize("raw", [False, True], ids=["plain", "raw"])
@pytest.mark.parametrize("name", WHOLE)
def test_an_answer_that_is_none_is_handed_on_and_is_the_servers_fault(
    name: str, raw: bool
) -> None:
    text, kind = WHOLE[name]

    def answer(request: Any) -> Any:
        return httpx.Response(200, text=text, headers={"content-type": kind})

    def ask(client: Any) -> str:
        completions = client.chat.completions
        try:
            if raw:
                return str(completions.with_raw_response.create(**ASKED).text)
            return repr(completions.create(**ASKED))
        except Exception as exc:  # noqa: BLE001 - whatever the client raises
            return repr(exc)

    alone = ask(sync_client(answer))
    with (recorder := Recorder()).activate():
        assert ask(record_openai(sync_client(answer))) == alone
    assert recorder.infra_failure is not None
    [model] = recorder.trajectory.model_calls
    assert model.error
    assert not model.message
    assert recorder.model_in_flight() is None


RESPONSES: dict[str, Any] = {
    "output null": {**RESPONSE, "output": None},
    "no output": {**RESPONSE, "output": []},
    "an item null": {**RESPONSE, "output": [None]},
    "failed": {**RESPONSE, "status": "failed", "error": {"code": "server_error"}},
    "an error": {"error": {"code": "rate_limit_exceeded", "message": "later"}},
    "nothing": {},
}


@pytest.mark.parametrize("name", RESPONSES)
def test_a_response_that_is_none_is_the_servers_fault(name: str) -> None:
    client = sync_client(lambda _: httpx.Response(200, json=RESPONSES[name]))
    with (recorder := Recorder()).activate():
        record_openai(client).responses.create(**GIVEN)
    assert recorder.infra_failure is not None


PART = {"role": "assistant", "content": "It is"}
BROKEN: dict[str, str] = {
    "an error": events({"error": {"message": "m", "code": "rate_limit_exceeded"}}),
    "an error of no code": events({"error": {"message": "m", "code": None}}),
    "an error's number": events({"error": {"message": "m", "code": 502}}),
    "an error after a part": events(chunk(PART), {"error": {"message": "m"}}),
    "delta null": events(chunk(None)),
    "choices null": events({**chunk(PART), "choices": None}),
    "choices missing": events({"id": "1", "model": "m"}),
    "no JSON": 'data: {"id": "1", "cho\n\n',
    "null": events(None),
    "nothing": "",
    "nothing said": "data: [DONE]\n\n",
    "HTML": "<html></html>",
    "broken off in a text": events(chunk({"content": "To"}), chunk({"content": "mor"})),
    "broken off in a call": events(
        chunk(
            {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "weather"}}]}
        ),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"ci'}}]}),
    ),
}


@both
@pytest.mark.parametrize("name", BROKEN)
def test_a_stream_that_is_no_answer_is_the_servers_fault(name: str, how: str) -> None:
    def answer(request: Any) -> Any:
        kind = {"content-type": "text/event-stream"}
        return httpx.Response(200, text=BROKEN[name], headers=kind)

    def ask(client: Any) -> list[str]:
        got = []
        try:
            got += map(repr, client.chat.completions.create(**ASKED, stream=True))
        except Exception as exc:  # noqa: BLE001 - whatever the client raises
            got.append(repr(exc))
        return got

    async def ask_async(client: Any) -> list[str]:
        got: list[str] = []
        try:
            stream = await client.chat.completions.create(**ASKED, stream=True)
            async for part in stream:
                got.append(repr(part))  # noqa: PERF401 - what came before it raised
        except Exception as exc:  # noqa: BLE001 - whatever the client raises
            got.append(repr(exc))
        return got

    with (recorder := Recorder()).activate():
        if how == "sync":
            alone = ask(sync_client(answer))
            recorded = ask(record_openai(sync_client(answer)))
        else:
            alone = asyncio.run(ask_async(async_client(answer)))
            recorded = asyncio.run(ask_async(record_openai(async_client(answer))))
    assert recorded == alone
    assert recorder.infra_failure is not None
    [model] = recorder.trajectory.model_calls
    assert model.error


def test_a_stream_that_only_says_that_it_is_done_is_an_answer() -> None:
    text = events(chunk({"content": "Tomorrow."})) + "data: [DONE]\n\n"

    def answer(request: Any) -> Any:
        kind = {"content-type": "text/event-stream"}
        return httpx.Response(200, text=text, headers=kind)

    with (recorder := Recorder()).activate():
        client = record_openai(sync_client(answer))
        list(client.chat.completions.create(**ASKED, stream=True))
        with client.chat.completions.with_streaming_response.create(
            **ASKED, stream=True
        ) as response:
            list(response.iter_lines())
    assert recorder.infra_failure is None
    said = [model.message for model in recorder.trajectory.model_calls]
    assert [message and message["content"] for message in said] == ["Tomorrow."] * 2


USAGES: dict[str, tuple[Any, Any]] = {
    "null": (None, (None, None)),
    "nulls": ({"prompt_tokens": None, "completion_tokens": None}, (None, None)),
    "texts": ({"prompt_tokens": "12", "completion_tokens": "many"}, (12, None)),
    "empty": ({}, (None, None)),
    "a list": ([1, 2], (None, None)),
}


@pytest.mark.parametrize("name", USAGES)
def test_an_odd_usage_loses_no_answer(name: str) -> None:
    usage, tokens = USAGES[name]
    client = sync_client(lambda _: httpx.Response(200, json={**CHAT, "usage": usage}))
    with (recorder := Recorder()).activate():
        record_openai(client).chat.completions.create(**ASKED)
    [model] = recorder.trajectory.model_calls
    assert (model.prompt_tokens, model.completion_tokens) == tokens
    assert recorder.infra_failure is None
    assert recorder.trajectory.tool_calls


def test_what_the_agent_did_wrong_stays_its_own() -> None:
    def refuse(request: Any) -> Any:
        return httpx.Response(400, json={"error": {"message": "too long"}})

    def blame(request: Any) -> Any:
        body = {"type": "invalid_request_error", "code": "context_length_exceeded"}
        return httpx.Response(200, json={"error": body})

    for answer in (refuse, blame, respond):
        client = record_openai(sync_client(answer))
        with (recorder := Recorder()).activate():
            try:
                # What cannot be sent is no answer, either.
                said = SAID if answer is not respond else [{"role": {1, 2}}]
                client.chat.completions.create(model="m", messages=said)
            except (openai.BadRequestError, TypeError):
                pass
        assert recorder.infra_failure is None, answer


def test_words_of_the_model_that_do_not_fit_are_not_the_servers() -> None:
    pydantic = pytest.importorskip("pydantic")

    class Weather(pydantic.BaseModel):  # type: ignore[misc, name-defined]
        degrees: int

    message = {"role": "assistant", "content": "warm"}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    client = sync_client(
        lambda _: httpx.Response(200, json={**CHAT, "choices": [choice]})
    )
    with (recorder := Recorder()).activate(), pytest.raises(pydantic.ValidationError):
        record_openai(client).chat.completions.parse(**ASKED, response_format=Weather)
    assert recorder.infra_failure is None
    assert [m.message for m in recorder.trajectory.model_calls] == [message]


def test_a_client_of_another_make_is_recorded_by_its_methods() -> None:
    answer = SimpleNamespace(choices=None, usage=None)
    completions = SimpleNamespace(create=lambda **_: answer)
    client = record_openai(
        SimpleNamespace(chat=SimpleNamespace(completions=completions))
    )
    with (recorder := Recorder()).activate():
        assert client.chat.completions.create(**ASKED) is answer
    assert "has no choices: None" in str(recorder.infra_failure)
