"""Agents that stop to ask a person, in each framework's own way."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import agentgym
from agentgym.errors import AgentError, UsageError
from agentgym.recording.recorder import Recorder
from agentgym.testing import ScriptedModel, call, say
from tests.framework_agents import langchain_model

pytestmark = [
    pytest.mark.slow,
    # Of the frameworks, not of ours.
    pytest.mark.filterwarnings("ignore"),
]

SENDS = [call("send", to="the shop"), say("I am done.")]


@pytest.fixture(scope="module", autouse=True)
def unclosed_connections() -> Iterator[None]:
    """The frameworks' clients leave theirs open: found here, where it is ignored."""
    yield
    gc.collect()


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


def test_an_agent_that_waits_for_nobody() -> None:
    agent = agentgym.wrap(lambda message: message)
    with pytest.raises(AgentError, match=r"agent\.approve\(\): the agent waits for no"):
        agent.approve()
    with pytest.raises(AgentError, match=r"agent\.run\(resume='yes'\): the agent wai"):
        agent.run(resume="yes")
    with pytest.raises(UsageError, match="give a message or resume=, not both"):
        agent.run("Hello", resume="yes")
