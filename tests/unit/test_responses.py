"""The Responses API made of chat completions: requests, answers and streams."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agentgym.policy.server.openai_http import BadRequestError
from agentgym.policy.server.openai_json import sse_event
from agentgym.policy.server.responses_reply import response, response_events
from agentgym.policy.server.responses_request import chat_request

USER = {"role": "user", "content": "Where is A17?"}
USAGE = {
    "prompt_tokens": 7,
    "completion_tokens": 2,
    "total_tokens": 9,
    "prompt_tokens_details": {"cached_tokens": 5},
}


def tool_call(index: int, arguments: str = '{"id": 1}') -> dict[str, Any]:
    function = {"name": f"look_{index}", "arguments": arguments}
    return {"id": f"call_{index}", "type": "function", "function": function}


def completion(reason: str = "stop", **message: Any) -> dict[str, Any]:
    whole = {"role": "assistant", "content": None, **message}
    return {
        "id": "chatcmpl-k1",
        "created": 12,
        "model": "policy",
        "choices": [{"index": 0, "message": whole, "finish_reason": reason}],
        "usage": USAGE,
    }


def chunks(*deltas: dict[str, Any], reason: str = "stop") -> list[dict[str, Any]]:
    frame = {"id": "chatcmpl-k1", "created": 12, "model": "policy"}
    frames = [
        {**frame, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        for delta in ({"role": "assistant", "content": ""}, *deltas)
    ]
    end = {"index": 0, "delta": {}, "finish_reason": reason}
    usage = {**frame, "choices": [], "usage": USAGE}
    return [*frames, {**frame, "choices": [end]}, usage]


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events]


# Requests.


def test_a_text_with_instructions() -> None:
    body = {
        "model": "policy",
        "instructions": "Help.",
        "input": "Where is A17?",
        "temperature": 0.5,
        "top_p": 0.9,
        "max_output_tokens": 20,
        "parallel_tool_calls": True,
        "store": True,
        "previous_response_id": None,
        "include": ["reasoning.encrypted_content"],
        "truncation": "auto",
        "reasoning": {"effort": "low"},
    }
    assert chat_request(body) == {
        "model": "policy",
        "messages": [{"role": "system", "content": "Help."}, USER],
        "temperature": 0.5,
        "top_p": 0.9,
        "max_completion_tokens": 20,
        "parallel_tool_calls": True,
    }


def test_a_stream_is_asked_for_with_its_usage() -> None:
    chat = chat_request({"input": "hi", "stream": True})
    assert chat["stream"] is True
    assert chat["stream_options"] == {"include_usage": True}


def test_a_whole_conversation() -> None:
    items = [
        {"type": "message", "role": "developer", "content": "Be short."},
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "Where is "},
                {"type": "input_text", "text": "A17?"},
            ],
        },
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "I look.", "annotations": []}],
        },
        {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"},
        {"type": "function_call", "call_id": "c2", "name": "find", "arguments": "["},
        {"type": "function_call_output", "call_id": "c1", "output": "shipped"},
        {
            "type": "function_call_output",
            "call_id": "c2",
            "output": [{"type": "input_text", "text": "no JSON"}],
        },
        {
            "role": "assistant",
            "content": [{"type": "refusal", "refusal": "I cannot say."}],
        },
    ]
    calls = [
        {
            "id": "c1",
            "type": "function",
            "function": {"name": "look", "arguments": "{}"},
        },
        {
            "id": "c2",
            "type": "function",
            "function": {"name": "find", "arguments": "["},
        },
    ]
    assert chat_request({"input": items})["messages"] == [
        {"role": "developer", "content": "Be short."},
        USER,
        {"role": "assistant", "content": "I look.", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "c1", "content": "shipped"},
        {"role": "tool", "tool_call_id": "c2", "content": "no JSON"},
        {"role": "assistant", "content": "I cannot say."},
    ]


def test_a_replys_text_may_come_behind_its_calls() -> None:
    call = {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"}
    said = {"role": "assistant", "content": "I look."}
    [message] = chat_request({"input": [call, said]})["messages"]
    assert message["content"] == "I look."
    assert len(message["tool_calls"]) == 1


def test_tools_and_the_choice_of_one() -> None:
    tool = {
        "type": "function",
        "name": "look",
        "description": "Looks.",
        "parameters": {"type": "object"},
        "strict": True,
    }
    bare = {"type": "function", "name": "wait", "description": None}
    body = {"input": "hi", "tools": [tool, bare]}
    chat = chat_request(body | {"tool_choice": {"type": "function", "name": "look"}})
    look = {
        "name": "look",
        "description": "Looks.",
        "parameters": {"type": "object"},
    }
    assert chat["tools"] == [
        {"type": "function", "function": look},
        {"type": "function", "function": {"name": "wait"}},
    ]
    assert chat["tool_choice"] == {"type": "function", "function": {"name": "look"}}
    assert chat_request(body | {"tool_choice": "required"})["tool_choice"] == "required"
    assert "tools" not in chat_request({"input": "hi", "tools": []})


def test_the_form_of_the_text() -> None:
    schema = {"type": "object", "properties": {}}
    form = {"type": "json_schema", "name": "answer", "schema": schema, "strict": True}
    chat = chat_request({"input": "hi", "text": {"format": form, "verbosity": "low"}})
    assert chat["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": schema, "strict": True},
    }
    free = chat_request({"input": "hi", "text": {"format": {"type": "json_object"}}})
    assert free["response_format"] == {"type": "json_object"}
    assert "response_format" not in chat_request({"input": "hi", "text": {}})


@pytest.mark.parametrize(
    ("body", "sentence", "param"),
    [
        (
            {"previous_response_id": "resp_1"},
            "previous_response_id is not kept here: send the whole input",
            "previous_response_id",
        ),
        (
            {"conversation": "conv_1"},
            "conversation is not kept here: send the whole input",
            "conversation",
        ),
        ({"background": True}, "background is not possible here", "background"),
        ({"input": None}, "input must be a text or a list", "input"),
        ({"input": ["hi"]}, "input[0] is no object", "input[0]"),
        (
            {"input": [{"type": "item_reference", "id": "msg_1"}]},
            "input[0] has the type 'item_reference': only messages, function calls and "
            "their outputs can be read here",
            "input[0]",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image"}]}]},
            "input[0] has content of the type 'input_image': only text can be read",
            "input[0]",
        ),
        ({"input": [{"role": "user", "content": 1}]}, "of the type 'int'", "input[0]"),
        (
            {"tools": [{"type": "function", "name": "a"}, {"type": "web_search"}]},
            "tools[1] has the type 'web_search': only function tools are possible here",
            "tools[1]",
        ),
        ({"tools": "look"}, "tools must be a list", "tools"),
        (
            {"tool_choice": {"type": "file_search"}},
            "tool_choice has the type 'file_search': use none, auto, required or a "
            "function",
            "tool_choice",
        ),
        ({"text": {"format": "json"}}, "text.format is no object", "text.format"),
    ],
)
def test_what_is_not_possible_gets_a_sentence(
    body: dict[str, Any], sentence: str, param: str
) -> None:
    with pytest.raises(BadRequestError) as caught:
        chat_request({"input": "hi"} | body)
    assert sentence in str(caught.value)
    assert caught.value.param == param


# Answers.


def test_a_text_in_one_piece() -> None:
    tools = [{"type": "function", "name": "look"}]
    body = {"input": "hi", "instructions": "Help.", "tools": tools, "store": True}
    made = response(body, completion(content="Here."))
    assert made["id"] == "resp_k1"
    assert (made["object"], made["status"]) == ("response", "completed")
    assert (made["created_at"], made["model"]) == (12, "policy")
    [message] = made["output"]
    assert (message["type"], message["role"]) == ("message", "assistant")
    assert message["status"] == "completed"
    [part] = message["content"]
    assert part == {
        "type": "output_text",
        "text": "Here.",
        "annotations": [],
        "logprobs": [],
    }
    assert made["usage"] == {
        "input_tokens": 7,
        "input_tokens_details": {"cached_tokens": 5, "cache_write_tokens": 0},
        "output_tokens": 2,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 9,
    }
    # The request is echoed, and says that nothing is kept.
    assert (made["instructions"], made["tools"]) == ("Help.", tools)
    assert (made["store"], made["previous_response_id"]) == (False, None)
    assert made["tool_choice"] == "auto"


def test_text_and_calls_in_one_piece() -> None:
    calls = [tool_call(0), tool_call(1, "[")]
    made = response({}, completion("tool_calls", content="I look.", tool_calls=calls))
    said, first, second = made["output"]
    assert said["content"][0]["text"] == "I look."
    assert first == {
        "id": "fc_k1_1",
        "status": "completed",
        "type": "function_call",
        "call_id": "call_0",
        "name": "look_0",
        "arguments": '{"id": 1}',
    }
    assert (second["call_id"], second["arguments"]) == ("call_1", "[")
    assert len({item["id"] for item in made["output"]}) == 3


def test_a_reply_that_was_cut_off_is_incomplete() -> None:
    made = response({}, completion("length", content="I", tool_calls=[tool_call(0)]))
    assert made["status"] == "incomplete"
    assert made["incomplete_details"] == {"reason": "max_output_tokens"}
    assert [item["status"] for item in made["output"]] == ["completed", "incomplete"]


def test_an_empty_reply_is_an_empty_message() -> None:
    for content in (None, ""):
        [message] = response({}, completion(content=content))["output"]
        assert message["content"][0]["text"] == ""


def test_usage_may_be_unknown() -> None:
    assert response({}, completion(content="a") | {"usage": None})["usage"] is None


def test_what_goes_back_is_what_came() -> None:
    calls = [tool_call(0), tool_call(1, "[")]
    made = response({}, completion(content="I look.", tool_calls=calls))
    [message] = chat_request({"input": made["output"]})["messages"]
    assert message == {"role": "assistant", "content": "I look.", "tool_calls": calls}


# Streams.


def test_the_events_of_a_text() -> None:
    events = list(response_events({}, chunks({"content": "He"}, {"content": "re."})))
    assert kinds(events) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert [event["sequence_number"] for event in events] == list(range(10))
    created, added, done = events[0]["response"], events[2], events[8]
    assert (created["status"], created["output"]) == ("in_progress", [])
    assert added["item"]["content"] == []
    assert added["item"]["id"] == done["item"]["id"] == events[4]["item_id"]
    assert [event["delta"] for event in events[4:6]] == ["He", "re."]
    assert events[6]["text"] == events[7]["part"]["text"] == "Here."
    assert events[-1]["response"] == response({}, completion(content="Here."))


def test_the_events_of_text_and_calls() -> None:
    calls = [tool_call(0), tool_call(1)]
    opened = {"index": 1, "id": "call_1", "function": {"name": "look_1"}}
    pieces = [{"index": 1, "function": {"arguments": a}} for a in ('{"id"', ": 1}")]
    stream = chunks(
        {"content": "I look."},
        {"tool_calls": [{"index": 0, **calls[0]}]},
        {"tool_calls": [opened]},
        *({"tool_calls": [piece]} for piece in pieces),
        reason="tool_calls",
    )
    events = list(response_events({}, stream))
    call = ["output_item.added", "function_call_arguments.delta"]
    end = ["function_call_arguments.done", "output_item.done"]
    assert kinds(events)[8:] == [*call, *end, *call, call[1], *end, "completed"]
    done = [e for e in events if e["type"].endswith("arguments.done")]
    assert [event["arguments"] for event in done] == ['{"id": 1}', '{"id": 1}']
    assert [event["name"] for event in done] == ["look_0", "look_1"]
    assert [event["output_index"] for event in done] == [1, 2]
    whole = completion("tool_calls", content="I look.", tool_calls=calls)
    assert events[-1]["response"] == response({}, whole)


def test_the_events_of_a_reply_that_was_cut_off() -> None:
    *_, last = response_events({}, chunks({"content": "He"}, reason="length"))
    assert last["type"] == "response.incomplete"
    assert last["response"] == response({}, completion("length", content="He"))


def test_a_reply_that_breaks_off_has_failed() -> None:
    broken = {"error": {"message": "out of memory"}}
    stream = [*chunks({"content": "He"})[:2], broken]
    *_, last = response_events({}, stream)
    assert last["type"] == "response.failed"
    assert last["response"]["status"] == "failed"
    error = {"code": "server_error", "message": "out of memory"}
    assert last["response"]["error"] == error
    assert kinds(list(response_events({}, [broken])))[-1] == "failed"


def test_an_event_goes_over_the_wire_with_its_name() -> None:
    event = {"type": "response.created", "text": "é\nx"}
    name, data = sse_event(event, event["type"]).decode().split("\n", 1)
    assert name == "event: response.created"
    assert data.endswith("\n\n")
    assert json.loads(data.removeprefix("data: ")) == event
