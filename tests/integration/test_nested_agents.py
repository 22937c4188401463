"""Agents of frameworks within a function, or within another framework's agent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import agentgym
from agentgym.recording.recorder import Recorder
from agentgym.testing import ScriptedModel, call, error, malformed, say
from tests.framework_agents import (
    is_there,
    langchain_model,
    look_up,
    make,
    openai_client,
    pydantic_ai_model,
)

pytestmark = [
    pytest.mark.slow,
    # Of the frameworks, not of ours.
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.usefixtures("unclosed_connections"),
]


def langchain_invoke(agent: Any) -> Any:
    def ask(message: str) -> str:
        state = agent.invoke({"messages": [("user", message)]})
        return str(state["messages"][-1].text)

    return ask


def langchain_stream(agent: Any) -> Any:
    async def ask(message: str) -> str:
        last = None
        given = {"messages": [("user", message)]}
        async for state in agent.astream(given, stream_mode="values"):
            last = state
        assert last is not None
        return str(last["messages"][-1].text)

    return ask


def crewai_kickoff(agent: Any) -> Any:
    return lambda message: agent.kickoff(message).raw


def crewai_crew(agent: Any) -> Any:
    from crewai import Crew, Task

    def ask(message: str) -> str:
        task = Task(description=message, expected_output="An answer", agent=agent)
        return str(Crew(agents=[agent], tasks=[task]).kickoff().raw)

    return ask


def crewai_async(agent: Any) -> Any:
    async def ask(message: str) -> str:
        return str((await agent.kickoff_async(message)).raw)

    return ask


def autogen_run(agent: Any) -> Any:
    async def ask(message: str) -> str:
        return str((await agent.run(task=message)).messages[-1].content)

    return ask


def autogen_stream(agent: Any) -> Any:
    async def ask(message: str) -> str:
        events = [event async for event in agent.run_stream(task=message)]
        return str(events[-1].messages[-1].content)

    return ask


def autogen_team(agent: Any) -> Any:
    from autogen_agentchat.teams import RoundRobinGroupChat

    async def ask(message: str) -> str:
        team = RoundRobinGroupChat([agent], max_turns=1)
        return str((await team.run(task=message)).messages[-1].content)

    return ask


def openai_agents_run(agent: Any) -> Any:
    from agents import Runner

    async def ask(message: str) -> str:
        return str((await Runner.run(agent, message)).final_output)

    return ask


def openai_agents_sync(agent: Any) -> Any:
    from agents import Runner

    return lambda message: Runner.run_sync(agent, message).final_output


def openai_agents_stream(agent: Any) -> Any:
    from agents import Runner

    async def ask(message: str) -> str:
        result = Runner.run_streamed(agent, message)
        async for _ in result.stream_events():
            pass
        return str(result.final_output)

    return ask


def pydantic_ai_run(agent: Any) -> Any:
    async def ask(message: str) -> str:
        return str((await agent.run(message)).output)

    return ask


def pydantic_ai_sync(agent: Any) -> Any:
    return lambda message: agent.run_sync(message).output


def pydantic_ai_stream(agent: Any) -> Any:
    async def ask(message: str) -> str:
        async with agent.run_stream(message) as result:
            return str(await result.get_output())

    return ask


def ag2_ask(agent: Any) -> Any:
    async def ask(message: str) -> str:
        return str((await agent.ask(message)).body)

    return ask


def agent_framework_run(agent: Any) -> Any:
    async def ask(message: str) -> str:
        return str((await agent.run(message)).text)

    return ask


def agent_framework_stream(agent: Any) -> Any:
    async def ask(message: str) -> str:
        parts = [part.text async for part in agent.run(message, stream=True)]
        return "".join(parts)

    return ask


WAYS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    made.__name__: (made.__name__.rpartition("_")[0], made)
    for made in (
        langchain_invoke,
        langchain_stream,
        crewai_kickoff,
        crewai_crew,
        crewai_async,
        autogen_run,
        autogen_stream,
        autogen_team,
        openai_agents_run,
        openai_agents_sync,
        openai_agents_stream,
        pydantic_ai_run,
        pydantic_ai_sync,
        pydantic_ai_stream,
        ag2_ask,
        agent_framework_run,
        agent_framework_stream,
    )
}
"""A framework, and a function of the user's own around its agent."""


@pytest.fixture(params=sorted(WAYS))
def way(request: pytest.FixtureRequest) -> str:
    if not is_there(WAYS[request.param][0]):
        pytest.skip(f"{WAYS[request.param][0]} is not installed")
    return str(request.param)


def played(way: str, script: Any, *, asynchronous: bool = False) -> Recorder:
    framework, around = WAYS[way]
    recorder = Recorder()
    with ScriptedModel(script) as model:
        agent = agentgym.wrap(around(make(framework, model.endpoint)))
        assert agent.recognised.startswith("the function")
        with recorder.activate():
            if asynchronous:
                asyncio.run(_awaited(agent))
            else:
                agent.run("Where is my order A1?")
    return recorder


async def _awaited(agent: Any) -> None:
    await agent.run("Where is my order A1?")


def test_a_framework_within_a_function_is_recorded_once(way: str) -> None:
    script = [
        call("look_up", order_id="A1"),
        call("refund", order_id="A1", amount=2.0),
        say("Done."),
    ]
    trajectory = played(way, script).trajectory
    assert [(c.name, c.arguments, c.executed) for c in trajectory.tool_calls] == [
        ("look_up", {"order_id": "A1"}, True),
        ("refund", {"order_id": "A1", "amount": 2.0}, True),
    ]
    assert [c.result for c in trajectory.tool_calls] == ["A1 is paid", "A1 refunded"]
    assert len(trajectory.model_calls) == 3
    assert trajectory.reply == "Done."
    # The OpenAI Agents SDK does not ask for the tokens of a stream.
    assert trajectory.tokens > 0 or way == "openai_agents_stream"


@pytest.mark.parametrize(
    "way", [name for name in sorted(WAYS) if not name.endswith("_sync")], indirect=True
)
def test_the_same_in_an_async_scenario(way: str) -> None:
    script = [call("look_up", order_id="A1"), say("Done.")]
    trajectory = played(way, script, asynchronous=True).trajectory
    assert [(c.name, c.executed) for c in trajectory.tool_calls] == [("look_up", True)]
    assert len(trajectory.model_calls) == 2


def test_the_servers_fault_is_seen_within_a_function(way: str) -> None:
    framework, around = WAYS[way]
    recorder = Recorder()
    with ScriptedModel([call("look_up", order_id="A1"), error(503)]) as model:
        agent = agentgym.wrap(around(make(framework, model.endpoint)))
        with recorder.activate(), pytest.raises(Exception):  # noqa: B017, PT011
            agent.run("Where is my order A1?")
    assert recorder.infra_failure is not None
    assert recorder.model_in_flight() is None


def test_calls_that_never_ran_are_told_apart(way: str) -> None:
    if way.startswith(("ag2", "langchain")):
        pytest.skip("it ends the run")
    script = [malformed("look_up", '{"order_id": "A1'), say("Sorry.")]
    [made] = played(way, script).trajectory.tool_calls
    assert made.malformed is not None
    assert not made.executed
    assert made.error


def test_a_flow_of_crewai_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    if not is_there("crewai"):
        pytest.skip("crewai is not installed")
    monkeypatch.setenv("CREWAI_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("CREWAI_TRACING_ENABLED", "false")
    from crewai import LLM
    from crewai.flow.flow import Flow, listen, start

    def script(request: dict[str, Any]) -> Any:
        if "tools" not in request:
            return say("A question about an order.")
        asked = any(m["role"] == "assistant" for m in request["messages"])
        return say("Paid.") if asked else call("look_up", order_id="A1")

    with ScriptedModel(script) as model:
        endpoint = model.endpoint
        desk = make("crewai", endpoint)

        class Support(Flow[dict[str, Any]]):
            @start()
            def sort(self) -> Any:
                # A model of its own, without an agent.
                llm = LLM(
                    model=f"openai/{endpoint.model}",
                    base_url=endpoint.base_url,
                    api_key=endpoint.api_key,
                )
                return llm.call(f"What is it about? {self.state['message']}")

            @listen(sort)
            def answer(self, about: str) -> Any:
                return desk.kickoff(f"{about} {self.state['message']}").raw

        def ask(message: str) -> Any:
            return Support().kickoff(inputs={"message": message})

        with Recorder().activate():
            run = agentgym.wrap(ask).run("Where is my order A1?")
    assert run.reply == "Paid."
    assert run.called("look_up", order_id="A1")
    assert len(run.trajectory.model_calls) == 3


def test_a_frameworks_agent_within_another_ones() -> None:
    if not (is_there("langchain") and is_there("pydantic_ai")):
        pytest.skip("a framework is not installed")
    from langchain.agents import create_agent
    from pydantic_ai import Agent

    def script(request: dict[str, Any]) -> Any:
        [tool] = (tool["function"]["name"] for tool in request["tools"])
        asked = any(m["role"] == "assistant" for m in request["messages"])
        if tool == "look_up":
            return say("A1 is paid.") if asked else call("look_up", order_id="A1")
        return say("Paid.") if asked else call("ask_orders", question="Is A1 paid?")

    with ScriptedModel(script) as model:
        inner = Agent(pydantic_ai_model(model.endpoint), name="orders", tools=[look_up])

        def ask_orders(question: str) -> str:
            """Asks who knows about orders."""
            return str(inner.run_sync(question).output)

        outer = create_agent(langchain_model(model.endpoint), [ask_orders])
        with Recorder().activate():
            run = agentgym.wrap(outer).run("Is my order A1 paid?")
    assert [call.name for call in run.trajectory.tool_calls] == [
        "ask_orders",
        "look_up",
    ]
    paths = [asked.path for asked in run.trajectory.model_calls]
    assert paths == [(), ("langchain",), ("langchain",), ()]


def test_a_recorded_client_within_a_framework_is_not_recorded_again() -> None:
    if not is_there("openai_agents"):
        pytest.skip("agents is not installed")
    from agents import Agent, OpenAIChatCompletionsModel, Runner, function_tool

    from agentgym.integrations.openai import record_openai

    with ScriptedModel([call("look_up", order_id="A1"), say("Paid.")]) as model:
        client = record_openai(openai_client(model.endpoint))
        agent = Agent(
            name="desk",
            model=OpenAIChatCompletionsModel(model.name, client),
            tools=[function_tool(agentgym.tool(look_up))],
        )

        async def ask(message: str) -> str:
            return str((await Runner.run(agent, message)).final_output)

        for given in (ask, agent):
            with Recorder().activate():
                run = agentgym.wrap(given).run("Where is my order A1?")
            assert len(run.trajectory.model_calls) == 2
            assert len(run.trajectory.tool_calls) == 1


def test_what_a_scenario_itself_asks_is_not_the_agents_doing() -> None:
    if not is_there("langchain"):
        pytest.skip("langchain is not installed")
    with ScriptedModel([say("A good answer.")]) as model:
        judge = langchain_model(model.endpoint)
        recorder = Recorder()
        with recorder.activate():
            agentgym.wrap(lambda message: "Done.").run("Do it.")
            judge.invoke("Is that right?")
    assert not recorder.trajectory.model_calls
