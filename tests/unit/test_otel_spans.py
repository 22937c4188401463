"""Episodes as spans, without OpenTelemetry: names, times, messages, errors."""

from __future__ import annotations

import json

import pytest

from agentgym.errors import UsageError
from agentgym.recording.trajectory import ModelCall, Step, ToolCall, Trajectory
from agentgym.report.otel.export import endpoint_of
from agentgym.report.otel.messages import heard, inputs, instructions
from agentgym.report.otel.spans import spans_of
from tests.made_episodes import made_call, made_episode, made_trajectory


def said(text):
    return {"role": "assistant", "content": text}


def asked(call_id, name="look"):
    function = {"name": name, "arguments": '{"a": 1}'}
    call = {"id": call_id, "type": "function", "function": function}
    return {"role": "assistant", "content": None, "tool_calls": [call]}


def model(message, **fields):
    return ModelCall(message=message, **fields)


def test_what_each_model_call_was_told():
    user = {"role": "user", "content": "Hi"}
    system = {"role": "system", "content": "Be kind."}
    first, inner, last = asked("c1"), said("of a nested agent"), said("done")
    answer = {"role": "tool", "tool_call_id": "c1", "content": "found"}
    calls = [
        model(first),
        model(inner, path=("helper",)),
        model({}, error="OSError: down"),
        model(last),
    ]
    trajectory = Trajectory(
        steps=[Step(model=call) for call in calls],
        messages=[system, user, first, inner, answer, last],
    )
    told = heard(trajectory)
    assert told[id(calls[0])] == [system, user]
    assert id(calls[1]) not in told
    assert told[id(calls[2])] == told[id(calls[3])] == [system, user, first, answer]
    # Also from a file, where nothing is the same object.
    again = Trajectory.from_json(trajectory.to_json())
    assert list(heard(again).values()) == [told[id(calls[i])] for i in (0, 2, 3)]


def test_a_nested_agents_tools_are_its_own():
    outer, inner, last = asked("c1"), asked("c2"), said("done")
    nested = ToolCall(id="c2", name="look", arguments={}, executed=True, path=("b",))
    steps = [
        Step(model=model(outer), tool_calls=[made_call("look", "c1")]),
        Step(model=model(inner, path=("b",)), tool_calls=[nested]),
        Step(model=model(last)),
    ]
    answers = [{"role": "tool", "tool_call_id": i, "content": i} for i in ("c2", "c1")]
    trajectory = Trajectory(steps=steps, messages=[outer, inner, *answers, last])
    assert heard(trajectory)[id(steps[2].model)] == [outer, answers[1]]
    _, spans = spans_of(made_episode(trajectory=trajectory), content=False)
    named = [span.attributes.get("gen_ai.agent.name") for span in spans]
    assert named == [None, None, "b", "b", None]


def test_parts_of_messages():
    text = {"type": "text", "text": "Look:"}
    image = {"type": "image_url", "image_url": {"url": "http://x/y.png"}}
    messages = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [text, image, {"type": "x", "y": 1}, "plain"]},
        {"role": "assistant", "content": "", "tool_calls": [{"id": "c"}]},
    ]
    assert instructions(messages) == [{"type": "text", "content": "Be brief."}]
    user, assistant = inputs(messages)
    assert user["parts"] == [
        {"type": "text", "content": "Look:"},
        {"type": "uri", "modality": "image", "uri": "http://x/y.png"},
        {"type": "x", "y": 1},
        {"type": "text", "content": "plain"},
    ]
    call = {"type": "tool_call", "id": "c", "name": None, "arguments": None}
    assert assistant["parts"] == [call]


def test_times_are_those_of_the_last_attempt():
    trajectory = made_trajectory(made_call("look", start=0.5, duration=0.25))
    trajectory.steps[0].model.duration = 0.4
    episode = made_episode(
        trajectory=trajectory, start=1000.0, duration=9.0, attempt_start=7.0, attempts=2
    )
    root, spans = spans_of(episode, content=False)
    assert (root.start, root.duration) == (1000.0, 9.0)
    found = {span.name: (span.start, span.duration) for span in spans}
    assert found["execute_tool look"] == (1007.5, 0.25)
    assert spans[0].start == 1007.0


@pytest.mark.parametrize(
    ("name", "policy", "provider"),
    [
        ("gpt-4o", None, "openai"),
        ("anthropic/claude-sonnet-4-5", None, "anthropic"),
        ("Gemini-2.5-pro", "https://proxy.example/v1#gemini", "gcp.gemini"),
        ("gpt-4o", "embedded", "agentgym"),
        (None, None, "openai"),
    ],
)
def test_provider(name, policy, provider):
    trajectory = Trajectory(steps=[Step(model=model(said("hi"), model=name))])
    episode = made_episode(trajectory=trajectory, policy=policy)
    root, (chat,) = spans_of(episode, content=False)
    for span in (root, chat):
        assert span.attributes["gen_ai.provider.name"] == provider
    assert chat.name == (f"chat {name}" if name else "chat")


def test_where_a_hosted_policy_is():
    episode = made_episode(
        trajectory=made_trajectory(), policy="https://models.example/v1#m"
    )
    root, (chat,) = spans_of(episode, content=False)
    for span in (root, chat):
        assert span.attributes["server.address"] == "models.example"
        assert span.attributes["server.port"] == 443


def test_calls_that_never_ran():
    calls = [
        made_call("look", "c1", executed=False),
        made_call("lok", "c2", executed=False, error="no tool lok"),
        made_call("look", "c3", executed=False, malformed="{", error="bad JSON"),
        made_call("look", "c4", error="the order: unknown"),
    ]
    episode = made_episode(trajectory=made_trajectory(*calls))
    _, spans = spans_of(episode, content=True)
    tools = [span for span in spans if span.name.startswith("execute_tool")]
    assert [
        (span.attributes["gen_ai.tool.call.id"], span.attributes["error.type"])
        for span in tools
    ] == [("c2", "not_executed"), ("c3", "not_executed"), ("c4", "_OTHER")]
    assert json.loads(tools[1].attributes["gen_ai.tool.call.arguments"]) == "{"
    assert all(span.failed for span in tools)
    _, spans = spans_of(episode, content=False)
    assert not [span for span in spans if span.description]


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("http://localhost:4318", "http://localhost:4318/v1/traces"),
        ("https://x.example/otel/", "https://x.example/otel/v1/traces"),
        ("https://x.example/v1/traces", "https://x.example/v1/traces"),
        ("https://x.example/a?k=1", "https://x.example/a/v1/traces?k=1"),
    ],
)
def test_endpoint(url, endpoint):
    assert endpoint_of(url) == endpoint


@pytest.mark.parametrize("url", ["localhost:4318", "grpc://x", "http://", "tests/"])
def test_what_is_no_endpoint(url):
    with pytest.raises(UsageError, match=r"is no http\(s\) URL"):
        endpoint_of(url)
