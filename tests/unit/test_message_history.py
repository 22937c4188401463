"""Histories that no model could be sent end in one sentence that says which message."""

from typing import Any

import pytest

import agentgym
from agentgym.errors import UsageError
from agentgym.integrations.conversation.opening import opening
from agentgym.recording.recorder import Recorder


def asks(*ids: str, arguments: Any = "{}") -> dict[str, Any]:
    calls = [
        {
            "id": call_id,
            "type": "function",
            "function": {"name": "look", "arguments": arguments},
        }
        for call_id in ids
    ]
    return {"role": "assistant", "content": None, "tool_calls": calls}


def answers(call_id: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": "seen"}


USER = {"role": "user", "content": "Hello"}


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ([], "give a message, a list of messages"),
        (None, "give a message, a list of messages"),
        (["Hello", 3], "give a message, a list of messages"),
        ([USER, "Hello"], "message 1 of the history is 'Hello': give a dict with"),
        ([{"content": "x"}], "message 0 of the history has the role None: give one of"),
        ([{"role": "bot", "content": "x"}], "message 0 of the history has the role"),
        ([{"role": "user"}], "message 0 of the history has the content None: give a"),
        (
            [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}],
            "has the content .*: give a text, or a list of text parts",
        ),
        ([answers("a"), USER], "message 0 of the history answers the call 'a', which"),
        ([USER, {**answers("a"), "tool_call_id": 3}], "message 1 .* no tool_call_id"),
        (
            [USER, asks("a"), answers("a"), answers("a")],
            "message 3 of the history answers the call 'a', which no",
        ),
        (
            [USER, asks("a", "b"), answers("a"), USER],
            "message 3 of the history: the call 'b' of message 1 has no tool's answer",
        ),
        ([USER, asks("a")], "the call 'a' of message 1 has no tool's answer in the hi"),
        ([USER, asks("a", "a")], "message 1 of the history has two calls with the id"),
        (
            [USER, asks("a", arguments="{"), answers("a")],
            "message 1 of the history calls look with the arguments '{': give a JSON",
        ),
        (
            [USER, {"role": "assistant", "content": "", "tool_calls": [{}]}],
            "message 1 of the history has the tool call {}: give",
        ),
        (
            [USER, {"role": "assistant", "content": "Hi"}],
            "ends with the assistant's message: end it with the user's",
        ),
    ],
)
def test_a_bad_history_is_one_sentence(given: Any, sentence: str) -> None:
    with pytest.raises(UsageError, match=r"^agent\.run\(.*" + sentence) as raised:
        opening(given)
    assert "\n" not in str(raised.value)


def test_texts_are_said_in_turn() -> None:
    assert opening("Hello").messages == ("Hello",)
    assert opening(["Hello", "you"]).messages == ("Hello", "you")


def test_text_parts_and_arguments_as_objects_are_taken() -> None:
    parts = [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]
    begin = opening(
        [
            asks("a", arguments={"x": 1}),
            answers("a"),
            {"role": "user", "content": parts},
        ]
    )
    assert begin.messages == ("Hello",)
    asked = begin.history[0]["tool_calls"][0]
    assert asked["function"]["arguments"] == '{"x": 1}'


def test_a_callable_with_a_parameter_history_gets_it_once() -> None:
    given: list[Any] = []

    def answer(message: str, history: Any = ()) -> str:
        given.append([m["content"] for m in history])
        return message

    agent = agentgym.wrap(answer)
    with Recorder().activate():
        first = agent.run([USER, {"role": "assistant", "content": "Hi"}, USER])
        agent.run("And now?")
    assert given == [["Hello", "Hi"], []]
    assert first.reply == "Hello"
    assert [m["role"] for m in first.messages] == ["user", "assistant"]


def test_a_callable_without_one_is_one_sentence() -> None:
    agent = agentgym.wrap(lambda message: message)
    with pytest.raises(UsageError, match="takes one message and no history"):
        agent.run([USER, {"role": "assistant", "content": "Hi"}, USER])


def test_a_history_begins_a_conversation() -> None:
    agent = agentgym.wrap(lambda message, history=(): message)
    history = [USER, {"role": "assistant", "content": "Hi"}, USER]
    with Recorder().activate():
        agent.run("Hello")
        with pytest.raises(UsageError, match="the conversation has begun"):
            agent.run(history)
        # A message in OpenAI's shape is no history.
        assert agent.run([USER]).reply == "Hello"
