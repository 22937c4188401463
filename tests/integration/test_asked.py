"""What models are asked by, of every framework: system prompt and tools, by digest."""

from __future__ import annotations

from typing import Any

import pytest

import agentgym
from agentgym.integrations.openai import record_openai
from agentgym.recording.recorder import Recorder
from agentgym.testing import ScriptedModel, call, say
from tests.framework_agents import INSTRUCTIONS, MAKERS, is_there, langchain_model, make

pytestmark = [
    pytest.mark.slow,
    # Of the frameworks, not of ours.
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.usefixtures("unclosed_connections"),
]


@pytest.mark.parametrize("framework", sorted(MAKERS))
def test_the_system_prompt_and_the_tools_are_noted_once(framework: str) -> None:
    if not is_there(framework):
        pytest.skip(f"{framework} is not installed")
    digests = set()
    for _ in range(2):
        with ScriptedModel([call("look_up", order_id="A1"), say("Paid.")]) as model:
            agent = agentgym.wrap(make(framework, model.endpoint))
            with Recorder().activate():
                trajectory = agent.run("Where is my order A1?").trajectory
            sent = model.requests[0]
        asked = [(each.system, each.tools) for each in trajectory.model_calls]
        assert len(asked) == 2
        digests.update(asked)
    # The same in both requests of an episode, and in another agent made alike.
    [(system, tools)] = digests
    assert system is not None
    assert tools is not None
    assert set(trajectory.prompts) == {system, tools}
    [first, *_] = sent["messages"]
    assert trajectory.prompts[system] == {"system": first["content"]}
    assert INSTRUCTIONS in first["content"]
    named = {tool["name"]: tool for tool in trajectory.prompts[tools]["tools"]}
    assert set(named) == {"look_up", "refund"}
    for tool in sent["tools"]:
        function = tool["function"]
        assert named[function["name"]]["description"] == function["description"]
    assert "order_id" in str(named["look_up"]["parameters"])


def test_a_recorded_clients_requests_are_noted() -> None:
    openai = pytest.importorskip("openai")
    tool = {"name": "look_up", "description": "Shows.", "parameters": {"a": 1}}
    with ScriptedModel([say("Paid.")]) as model:
        client = record_openai(openai.OpenAI(base_url=model.base_url, api_key="none"))

        def ask(message: str) -> str:
            answer = client.chat.completions.create(
                model="m",
                messages=[
                    {"role": "developer", "content": "Be brief."},
                    {"role": "user", "content": message},
                ],
                tools=[{"type": "function", "function": tool}],
            )
            return str(answer.choices[0].message.content)

        with Recorder().activate():
            trajectory = agentgym.wrap(ask).run("Is it paid?").trajectory
    [asked] = trajectory.model_calls
    assert trajectory.prompts == {
        asked.system: {"system": "Be brief."},
        asked.tools: {"tools": [tool]},
    }


def test_the_result_of_a_command_is_what_the_model_is_told() -> None:
    if not is_there("langchain"):
        pytest.skip("langchain is not installed")
    from typing import Annotated

    from langchain.agents import create_agent
    from langchain_core.messages import ToolMessage
    from langchain_core.tools import InjectedToolCallId, tool
    from langgraph.types import Command

    def keep(order_id: str, tool_call_id: Any) -> Any:
        """Keeps an order."""
        messages = [ToolMessage(f"{order_id} is kept", tool_call_id=tool_call_id)]
        return Command(update={"messages": messages})

    # The annotations are read by LangChain, whichever module they stand in.
    keep.__annotations__ = {
        "order_id": str,
        "tool_call_id": Annotated[str, InjectedToolCallId],
    }
    script = [call("keep", order_id="A1") & call("keep", order_id="B2"), say("Kept.")]
    with ScriptedModel(script) as model:
        agent = create_agent(langchain_model(model.endpoint), [tool(keep)])
        with Recorder().activate():
            run = agentgym.wrap(agent).run("Keep A1 and B2.")
    assert [made.result for made in run.calls] == ["A1 is kept", "B2 is kept"]
    told = sorted(m["content"] for m in run.messages if m["role"] == "tool")
    assert told == ["A1 is kept", "B2 is kept"]
