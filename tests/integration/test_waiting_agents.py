"""Agents that stop to ask a person, in each framework's own way."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import agentgym
from agentgym.errors import AgentError, UsageError
from agentgym.playing.tool_table import tool_table
from agentgym.recording.recorder import Recorder
from agentgym.testing import ScriptedModel, call, say
from tests.framework_agents import (
    ag2_config,
    agent_framework_client,
    langchain_model,
    openai_client,
    pydantic_ai_model,
)

pytestmark = [
    pytest.mark.slow,
    # Of the frameworks, not of ours.
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.usefixtures("unclosed_connections"),
]

SENDS = [call("send", to="the shop"), say("I am done.")]


@pytest.fixture
def model() -> Iterator[ScriptedModel]:
    with ScriptedModel(SENDS) as model:
        yield model


@contextmanager
def episode() -> Iterator[Recorder]:
    recorder = Recorder()
    with recorder.activate():
        yield recorder


class TestLangGraph:
    @staticmethod
    def asking_tool(model: ScriptedModel, sent: list[str], checkpointer: Any) -> Any:
        from langchain.agents import create_agent
        from langgraph.types import interrupt

        def send(to: str) -> str:
            """Sends a letter."""
            if not interrupt(f"Send it to {to}?"):
                return "not sent"
            sent.append(to)
            return "sent"

        return create_agent(
            langchain_model(model.endpoint), [send], checkpointer=checkpointer
        )

    @staticmethod
    def asking_node(**options: Any) -> Any:
        from langgraph.graph import START, MessagesState, StateGraph
        from langgraph.types import interrupt

        def greet(state: Any) -> Any:
            return {"messages": [("ai", f"Hello {interrupt('Who are you?')}!")]}

        builder = StateGraph(MessagesState)
        builder.add_node("greet", greet)
        builder.add_edge(START, "greet")
        return builder.compile(**options)

    def test_a_tool_that_asks_has_not_run(self, model: ScriptedModel) -> None:
        from langgraph.checkpoint.memory import InMemorySaver

        sent: list[str] = []
        agent = agentgym.wrap(self.asking_tool(model, sent, InMemorySaver()))
        with episode():
            run = agent.run("Write to the shop.")
            assert not run.called("send")
            assert run.called("send").requested()
            assert run.interrupts[0].value == "Send it to the shop?"
            run = agent.approve()
        assert run.called("send", to="the shop")
        assert run.calls[0].result == "sent"
        assert sent == ["the shop"]
        assert run.reply == "I am done."

    def test_a_tool_that_is_told_no_has_run(self, model: ScriptedModel) -> None:
        """It decides itself what that means."""
        from langgraph.checkpoint.memory import InMemorySaver

        sent: list[str] = []
        agent = agentgym.wrap(self.asking_tool(model, sent, InMemorySaver()))
        with episode():
            agent.run("Write to the shop.")
            run = agent.reject("no letters today")
        assert (run.calls[0].result, sent) == ("not sent", [])

    def test_without_a_checkpointer_it_cannot_go_on(self, model: ScriptedModel) -> None:
        agent = agentgym.wrap(self.asking_tool(model, [], None))
        with episode():
            run = agent.run("Write to the shop.")
            assert run.interrupted
            with pytest.raises(UsageError, match="the graph has no checkpointer"):
                agent.approve()

    def test_a_node_that_asks(self) -> None:
        from langgraph.checkpoint.memory import InMemorySaver

        agent = agentgym.wrap(self.asking_node(checkpointer=InMemorySaver()))
        with episode() as recorder:
            run = agent.run("Hello")
            assert run.interrupted
            assert not run.waiting
            assert run.reply == ""
            run = agent.run(resume="Ada")
        assert run.reply == "Hello Ada!"
        assert recorder.trajectory.interrupts[0].answer == "'Ada'"
        assert not recorder.trajectory.interrupted

    @pytest.mark.parametrize("asynchronous", [False, True])
    def test_a_breakpoint(self, model: ScriptedModel, asynchronous: bool) -> None:
        from langchain.agents import create_agent
        from langgraph.checkpoint.memory import InMemorySaver

        sent: list[str] = []

        def send(to: str) -> str:
            """Sends a letter."""
            sent.append(to)
            return "sent"

        agent = agentgym.wrap(
            create_agent(
                langchain_model(model.endpoint),
                [send],
                checkpointer=InMemorySaver(),
                interrupt_before=["tools"],
            )
        )

        async def main() -> Any:
            run = await agent.run("Write to the shop.")
            assert run.waiting
            return await agent.approve()

        with episode():
            if asynchronous:
                run = asyncio.run(main())
            else:
                run = agent.run("Write to the shop.")
                assert run.waiting
                assert not run.called("send")
                run = agent.approve()
        assert run.called("send")
        assert sent == ["the shop"]

    def test_a_breakpoint_takes_no_answer(self) -> None:
        from langgraph.checkpoint.memory import InMemorySaver

        graph = self.asking_node(
            checkpointer=InMemorySaver(), interrupt_before=["greet"]
        )
        agent = agentgym.wrap(graph)
        with episode():
            assert agent.run("Hello").interrupts[0].value == {"next": ["greet"]}
            with pytest.raises(UsageError, match="at a breakpoint before greet"):
                agent.reject()

    def test_calls_beside_the_one_that_waits(self) -> None:
        """What needs nobody's word has run; what waits is told apart by its call."""
        from langchain.agents import create_agent
        from langgraph.checkpoint.memory import InMemorySaver
        from langgraph.types import interrupt

        def look(at: str) -> str:
            """Looks."""
            return f"{at} is there"

        def send(to: str) -> str:
            """Sends a letter."""
            return interrupt(to)

        both = call("look", at="it") & call("send", to="a") & call("send", to="b")
        with ScriptedModel([both, say("Done.")]) as model:
            agent = agentgym.wrap(
                create_agent(
                    langchain_model(model.endpoint),
                    [look, send],
                    checkpointer=InMemorySaver(),
                )
            )
            with episode():
                run = agent.run("Go.")
                assert run.called("look")
                assert [str(c) for c in run.waiting] == [
                    "send(to='a') <- waiting",
                    "send(to='b') <- waiting",
                ]
                assert len(run.interrupts[0].value) == 2
                run = agent.approve()
            assert run.called("send").times(2)
            assert run.reply == "Done."


def openai_agents(model: ScriptedModel, sent: list[str]) -> Any:
    from agents import Agent, OpenAIChatCompletionsModel, function_tool

    @function_tool(needs_approval=True)
    def send(to: str) -> str:
        """Sends a letter."""
        sent.append(to)
        return "sent"

    client = openai_client(model.endpoint)
    asked = OpenAIChatCompletionsModel(model.name, client)
    return Agent(name="desk", model=asked, tools=[send])


def pydantic_ai(model: ScriptedModel, sent: list[str]) -> Any:
    from pydantic_ai import Agent, DeferredToolRequests

    agent: Any = Agent(
        pydantic_ai_model(model.endpoint), output_type=[str, DeferredToolRequests]
    )

    @agent.tool_plain(requires_approval=True)
    def send(to: str) -> str:
        """Sends a letter."""
        sent.append(to)
        return "sent"

    return agent


def pydantic_ai_raising(model: ScriptedModel, sent: list[str]) -> Any:
    from pydantic_ai import Agent, ApprovalRequired, DeferredToolRequests, RunContext

    agent: Any = Agent(
        pydantic_ai_model(model.endpoint), output_type=[str, DeferredToolRequests]
    )

    def send(ctx: Any, to: str) -> str:
        """Sends a letter."""
        if not ctx.tool_call_approved:
            raise ApprovalRequired
        sent.append(to)
        return "sent"

    # The name stands in this function only, where pydantic cannot look it up.
    send.__annotations__["ctx"] = RunContext[None]
    agent.tool(send)
    return agent


def agent_framework(model: ScriptedModel, sent: list[str]) -> Any:
    from agent_framework import Agent, tool

    @tool(approval_mode="always_require")
    def send(to: str) -> str:
        """Sends a letter."""
        sent.append(to)
        return "sent"

    return Agent(agent_framework_client(model.endpoint), name="desk", tools=[send])


def langchain(model: ScriptedModel, sent: list[str]) -> Any:
    from langchain.agents import create_agent
    from langchain.agents.middleware import HumanInTheLoopMiddleware
    from langgraph.checkpoint.memory import InMemorySaver

    def send(to: str) -> str:
        """Sends a letter."""
        sent.append(to)
        return "sent"

    person = HumanInTheLoopMiddleware(interrupt_on={"send": True})
    return create_agent(
        langchain_model(model.endpoint),
        [send],
        middleware=[person],
        checkpointer=InMemorySaver(),
    )


AGENTS = {
    "langchain": langchain,
    "openai_agents": openai_agents,
    "pydantic_ai": pydantic_ai,
    "pydantic_ai_raising": pydantic_ai_raising,
    "agent_framework": agent_framework,
}
TELL_THE_REASON = ("langchain", "openai_agents", "pydantic_ai", "pydantic_ai_raising")
"""Those with a place for it."""


@pytest.mark.parametrize("built", AGENTS)
class TestEachFramework:
    def test_a_call_that_waits_has_not_run(
        self, built: str, model: ScriptedModel
    ) -> None:
        sent: list[str] = []
        agent = agentgym.wrap(AGENTS[built](model, sent))
        with episode() as recorder:
            run = agent.run("Write to the shop, please.")
        assert not run.called("send")
        assert run.called("send", to="the shop").requested()
        assert [call.approval for call in run.waiting] == ["waiting"]
        assert run.interrupted
        assert "send" in str(run.interrupts[0].value)
        assert run.reply == ""
        assert not sent
        [row] = tool_table(recorder.trajectory, [], passed=True)
        assert (row["calls"], row["waiting"], row["latencies"]) == (1, 1, [])

    def test_it_is_approved(self, built: str, model: ScriptedModel) -> None:
        sent: list[str] = []
        agent = agentgym.wrap(AGENTS[built](model, sent))
        with episode() as recorder:
            agent.run("Write to the shop, please.")
            run = agent.approve()
        assert sent == ["the shop"]
        assert run.called("send", to="the shop").times(1)
        [made] = recorder.trajectory.tool_calls
        assert (made.approval, made.executed, made.result) == ("approved", True, "sent")
        assert made.error is None
        assert run.reply == "I am done."
        assert not run.interrupted
        roles = [m["role"] for m in recorder.trajectory.messages]
        assert roles == ["user", "assistant", "tool", "assistant"]
        [row] = tool_table(recorder.trajectory, [], passed=True)
        assert (row["calls"], row["correct"], row["waiting"]) == (1, 1, 0)

    def test_it_is_rejected(self, built: str, model: ScriptedModel) -> None:
        sent: list[str] = []
        agent = agentgym.wrap(AGENTS[built](model, sent))
        with episode() as recorder:
            agent.run("Write to the shop, please.")
            run = agent.reject("write to nobody")
        assert sent == []
        assert not run.called("send")
        assert run.called("send").requested()
        [made] = recorder.trajectory.tool_calls
        assert (made.approval, made.executed) == ("rejected", False)
        if built in TELL_THE_REASON:
            assert "write to nobody" in (made.error or "")
        assert made.error
        assert run.reply == "I am done."
        [row] = tool_table(recorder.trajectory, [], passed=False)
        assert row["not_allowed"] == 1

    def test_in_an_async_scenario(self, built: str, model: ScriptedModel) -> None:
        async def main() -> Any:
            agent = agentgym.wrap(AGENTS[built](model, []))
            run = await agent.run("Write to the shop, please.")
            assert run.waiting
            return await agent.approve()

        with episode():
            assert asyncio.run(main()).called("send")

    def test_it_is_redirected(self, built: str, model: ScriptedModel) -> None:
        """What goes on asks the policy, too."""
        with ScriptedModel(SENDS, name="the-policy") as policy:
            agent = agentgym.redirect(AGENTS[built](model, []), policy.endpoint)
            with episode() as recorder:
                agent.run("Write to the shop, please.")
                agent.approve()
        names = {call.model for call in recorder.trajectory.model_calls}
        assert names == {"the-policy"}
        assert not model.requests


def test_values_of_the_frameworks_own(model: ScriptedModel) -> None:
    for built in (openai_agents, pydantic_ai):
        for allowed in (True, False):
            sent: list[str] = []
            agent = agentgym.wrap(built(model, sent))
            with episode():
                run = agent.run("Write to the shop, please.")
                agent.run(resume={run.waiting[0].id: allowed})
            assert bool(sent) is allowed
        agent = agentgym.wrap(built(model, sent))
        with episode():
            agent.run("Write to the shop, please.")
            with pytest.raises(
                UsageError, match=r"for each call|each call is answered"
            ):
                agent.run(resume="yes")


def test_a_tool_that_is_run_elsewhere(model: ScriptedModel) -> None:
    from pydantic_ai import Agent, CallDeferred, DeferredToolRequests

    asked = pydantic_ai_model(model.endpoint)
    built: Any = Agent(asked, output_type=[str, DeferredToolRequests])

    @built.tool_plain
    def send(to: str) -> str:
        """Sends a letter."""
        raise CallDeferred

    agent = agentgym.wrap(built)
    with episode():
        run = agent.run("Write to the shop, please.")
        run = agent.run(resume={run.waiting[0].id: "sent by post"})
    assert not run.called("send")
    [made] = run.calls
    assert (made.approval, made.result) == ("answered", "sent by post")
    assert run.reply == "I am done."


def ag2(model: ScriptedModel, sent: list[str], answer: str | None) -> Any:
    from ag2 import Agent, tool
    from ag2.middleware import approval_required

    @tool(middleware=[approval_required()])
    def send(to: str) -> str:
        """Sends a letter."""
        sent.append(to)
        return "sent"

    hook: Any = None if answer is None else lambda event: answer
    config = ag2_config(model.endpoint)
    return Agent("desk", config=config, tools=[send], hitl_hook=hook)


class TestAG2:
    """It asks a person within the run, by a function of the agent's."""

    @pytest.mark.parametrize("answer", ["y", "n"])
    def test_a_hook_answers(self, answer: str, model: ScriptedModel) -> None:
        sent: list[str] = []
        agent = agentgym.wrap(ag2(model, sent, answer))
        with episode() as recorder:
            run = agent.run("Write to the shop, please.")
        [made] = recorder.trajectory.tool_calls
        assert run.called("send").requested()
        assert bool(run.called("send")) is bool(sent) is (answer == "y")
        if answer == "y":
            assert (made.approval, made.result, made.error) == (
                "approved",
                "sent",
                None,
            )
        else:
            assert made.approval == "rejected"
            assert "denied" in (made.error or "")
        assert run.reply == "I am done."

    def test_nobody_answers(self, model: ScriptedModel) -> None:
        sent: list[str] = []
        agent = agentgym.wrap(ag2(model, sent, None))
        with episode():
            run = agent.run("Write to the shop, please.")
            assert not run.called("send")
            assert [call.name for call in run.waiting] == ["send"]
            assert run.interrupts[0].value[0]["name"] == "send"
            assert not sent
            with pytest.raises(UsageError, match="give it a hitl_hook that answers"):
                agent.approve()


DOCS = Path(__file__).parents[2] / "docs" / "how-to" / "people.md"
MODELS: dict[str, Callable[[Any], Any]] = {
    "Agents SDK": lambda at: openai_agents_model(at),
    "Pydantic AI": pydantic_ai_model,
    "Agent Framework": agent_framework_client,
    "LangGraph": langchain_model,
}


def openai_agents_model(endpoint: Any) -> Any:
    from agents import OpenAIChatCompletionsModel

    return OpenAIChatCompletionsModel(endpoint.model, openai_client(endpoint))


@pytest.mark.parametrize("framework", MODELS)
def test_the_example_of_the_docs(framework: str, model: ScriptedModel) -> None:
    blocks = re.findall(
        rf"```python\n# {framework}\n(.*?)```", DOCS.read_text(), re.DOTALL
    )
    [block] = blocks
    # A module, as the frameworks look the annotations of tools up in it.
    made = {"model": MODELS[framework](model.endpoint), "__name__": "docs_example"}
    exec(compile(block, str(DOCS), "exec"), made)
    agent = agentgym.wrap(made["agent"])
    with episode():
        run = agent.run("Write to the shop, please.")
        assert not run.called("send")
        assert run.waiting
        assert agent.approve().called("send", to="the shop")


def test_an_agent_that_waits_for_nobody() -> None:
    agent = agentgym.wrap(lambda message: message)
    with pytest.raises(AgentError, match=r"agent\.approve\(\): the agent waits for no"):
        agent.approve()
    with pytest.raises(AgentError, match=r"agent\.run\(resume='yes'\): the agent wai"):
        agent.run(resume="yes")
    with pytest.raises(UsageError, match="give a message or resume=, not both"):
        agent.run("Hello", resume="yes")
