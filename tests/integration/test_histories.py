"""A conversation goes on from a list of OpenAI's messages, in every framework."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

import agentgym
from agentgym.errors import UsageError
from agentgym.recording.recorder import Recorder
from agentgym.recording.trajectory import Trajectory
from agentgym.testing import ScriptedModel, call, say
from tests.framework_agents import MAKERS, is_there, make

pytestmark = [
    pytest.mark.slow,
    # Of the frameworks, not of ours.
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.usefixtures("unclosed_connections"),
]

ASKED = {
    "role": "assistant",
    "content": None,
    "tool_calls": [
        {
            "id": "call_before",
            "type": "function",
            "function": {"name": "look_up", "arguments": '{"order_id": "A1"}'},
        }
    ],
}
SHOWN = {"role": "tool", "tool_call_id": "call_before", "content": "A1 is paid"}
HISTORY = [
    {"role": "user", "content": "Where is my order A1?"},
    ASKED,
    SHOWN,
    {"role": "assistant", "content": "It is paid."},
    {"role": "user", "content": "Then I want my money back."},
]


@pytest.fixture(params=sorted(MAKERS))
def framework(request: pytest.FixtureRequest) -> str:
    if not is_there(request.param):
        pytest.skip(f"{request.param} is not installed")
    return str(request.param)


def resumed(framework: str, history: list[Any], script: Any) -> tuple[Any, Any]:
    """The run, and the messages of the first request."""
    with ScriptedModel(script) as model:
        agent = agentgym.wrap(make(framework, model.endpoint))
        with Recorder().activate():
            run = agent.run(history)
        return run, model.requests[0]["messages"]


def said(messages: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """The conversation without the agent's own instructions."""
    return [
        (m["role"], words(m.get("content")))
        for m in messages
        if m["role"] in ("user", "tool")
        or (m["role"] == "assistant" and m.get("content"))
    ]


def words(content: Any) -> str:
    if isinstance(content, list):
        return "".join(part["text"] for part in content)
    # CrewAI's own words.
    return (content or "").removeprefix("\nCurrent Task: ")


def test_the_model_is_asked_with_the_history(framework: str) -> None:
    def script(request: dict[str, Any]) -> Any:
        if request["messages"][-1]["role"] == "tool":
            return say("You have it.")
        return call("refund", order_id="A1", amount=2.0)

    run, asked = resumed(framework, HISTORY, script)
    assert said(asked) == [
        ("user", "Where is my order A1?"),
        ("tool", "A1 is paid"),
        ("assistant", "It is paid."),
        ("user", "Then I want my money back."),
    ]
    [before] = [m for m in asked if m.get("tool_calls")]
    function = before["tool_calls"][0]["function"]
    assert (function["name"], json.loads(function["arguments"])) == (
        "look_up",
        {"order_id": "A1"},
    )
    # The agent's own instructions are there as ever.
    assert "help desk" in str(asked[0])
    # What was called before is nothing that the agent did now.
    assert run.called("refund", order_id="A1").times(1)
    assert not run.called("look_up")
    assert not run.called("refund").after("look_up")
    assert run.reply == "You have it."
    assert [m["role"] for m in run.messages] == [
        "user",
        "assistant",
        "tool",
        "assistant",
    ]
    history = run.trajectory.history
    assert [m["role"] for m in history] == ["user", "assistant", "tool", "assistant"]
    stored = json.loads(json.dumps(run.trajectory.to_json()))
    assert Trajectory.from_json(stored).history == history


def test_the_conversation_goes_on_after_the_history(framework: str) -> None:
    with ScriptedModel(lambda _: say("Of course.")) as model:
        agent = agentgym.wrap(make(framework, model.endpoint))
        with Recorder().activate():
            agent.run(HISTORY)
            agent.run("Thank you very much!")
        assert said(model.requests[-1]["messages"])[-3:] == [
            ("user", "Then I want my money back."),
            ("assistant", "Of course."),
            ("user", "Thank you very much!"),
        ]


def test_from_the_answer_of_a_tool(framework: str) -> None:
    if framework == "ag2":
        with pytest.raises(UsageError, match="AG2 agent goes on with a user's message"):
            resumed(framework, HISTORY[:3], [say("")])
        return
    run, asked = resumed(framework, HISTORY[:3], lambda _: say("It is paid."))
    assert said(asked) == [("user", "Where is my order A1?"), ("tool", "A1 is paid")]
    assert run.reply == "It is paid."
    assert not run.calls


def test_a_system_message_is_a_part_of_it(framework: str) -> None:
    history = [{"role": "system", "content": "Be brief."}, *HISTORY]
    if framework == "ag2":
        with pytest.raises(UsageError, match="leave system messages out"):
            resumed(framework, history, [say("")])
        return
    _, asked = resumed(framework, history, lambda _: say("Yes."))
    systems = "\n".join(words(m["content"]) for m in asked if m["role"] == "system")
    assert "Be brief." in systems


def test_in_an_async_scenario(framework: str) -> None:
    async def main(endpoint: Any) -> Any:
        agent = agentgym.wrap(make(framework, endpoint))
        with Recorder().activate():
            return await agent.run(HISTORY)

    with ScriptedModel(lambda _: say("Yes.")) as model:
        assert asyncio.run(main(model.endpoint)).reply == "Yes."
        assert len(said(model.requests[0]["messages"])) == 4
