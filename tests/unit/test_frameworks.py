"""How agents are recognised, and what is said of those that are not as they should."""

from __future__ import annotations

import functools
import importlib.metadata
import sys
import types
import warnings
from typing import Any

import pytest

import agentgym
from agentgym.endpoint import PolicyEndpoint
from agentgym.errors import UsageError
from agentgym.integrations import frameworks
from agentgym.integrations.frameworks import FRAMEWORKS
from agentgym.integrations.shipped import made_tools

POLICY = PolicyEndpoint("http://127.0.0.1:1/v1", "key", "policy")


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A framework of one class, `made_up.Agent`, and the module here that knows it."""

    class Driver:
        def take(self, message: str, recorder: Any) -> Any:
            recorder.message({"role": "user", "content": message})
            recorder.reply("made up")

    module = types.ModuleType("agentgym.integrations.made_up")
    module.TESTED = ("1.2.0", "1.4.1")  # type: ignore[attr-defined]
    module.driver = lambda agent: Driver()  # type: ignore[attr-defined]
    module.watch = lambda: None  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    entry = frameworks.Framework(
        name="Made Up",
        module="made_up",
        package="made-up",
        classes={"made_up.Agent": "a made-up agent"},
    )
    monkeypatch.setattr(frameworks, "FRAMEWORKS", (*FRAMEWORKS, entry))
    monkeypatch.setattr(frameworks, "_warned", set())
    watching = set(frameworks._watching)
    monkeypatch.setattr(frameworks, "_watching", watching)
    kind = type("Agent", (), {"__module__": "made_up.core"})
    return kind()


def installed(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda _: version)


def test_an_agent_is_recognised_by_its_class(
    made_up: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(monkeypatch, "1.4.1")
    agent = agentgym.wrap(made_up)
    assert agent.recognised == "a made-up agent"
    assert agent.run("hi").reply == "made up"
    assert agentgym.wrap(type("Mine", (type(made_up),), {})()).recognised == (
        "a made-up agent"
    )


def test_the_class_itself_is_no_agent(made_up: Any) -> None:
    with pytest.raises(UsageError, match="the class Agent is no agent: give an agent"):
        agentgym.wrap(type(made_up))


@pytest.mark.parametrize("version", ["1.2.0", "1.3.9", "1.4.1", "1.4.7", "1.4.2rc1"])
def test_tested_versions_and_patches_are_fine(
    made_up: Any, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    installed(monkeypatch, version)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        agentgym.wrap(made_up)


@pytest.mark.parametrize("version", ["1.1.9", "0.9", "1.5.0", "2.0"])
def test_other_versions_are_warned_of_once(
    made_up: Any, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    installed(monkeypatch, version)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        agentgym.wrap(made_up)
        agentgym.wrap(made_up)
    assert [str(w.message) for w in warned] == [
        f"made-up {version} was not tested with agentgym (1.2.0 to 1.4.1 were)"
    ]


def test_a_package_of_the_same_name_is_no_framework(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Many projects have a package `agents` with a class `Agent`."""
    monkeypatch.setitem(sys.modules, "agents", types.ModuleType("agents"))

    class Agent:
        def run(self, message: str) -> str:
            return message

    AgentBase = type("AgentBase", (), {"__module__": "agents.core"})
    mine = type("Agent", (Agent, AgentBase), {"__module__": "agents.core"})()
    assert agentgym.wrap(mine).recognised == "Agent.run(message)"


def test_ag2_before_1_is_refused() -> None:
    """Its package is `autogen`; what its `run` returns is no reply."""
    core = {"__module__": "autogen.agentchat.conversable_agent"}
    base = type("ConversableAgent", (), {**core, "run": lambda self, message: message})
    with pytest.raises(UsageError) as told:
        agentgym.wrap(type("AssistantAgent", (base,), core)())
    assert str(told.value) == (
        "AG2 before 1.0 is not supported: update to ag2 1.x, or give a callable "
        "message -> reply"
    )


def test_a_function_cannot_be_redirected() -> None:
    def answer(message: str) -> str:
        return message

    with pytest.raises(UsageError) as raised:
        agentgym.redirect(answer, POLICY)
    assert str(raised.value) == (
        "redirect(): the function answer builds its client itself: give it the "
        "policy's base_url, api_key and model in the `agent` fixture, or let that "
        "fixture ask for `policy_environment`, which sets OPENAI_BASE_URL and "
        "OPENAI_API_KEY"
    )


@pytest.mark.parametrize("policy", [None, "http://localhost:8000/v1"])
def test_what_is_no_policy(policy: Any) -> None:
    with pytest.raises(UsageError, match=r"^redirect\(agent, .*\): give what the `po"):
        agentgym.redirect(lambda message: message, policy)


class Shop:
    def nothing(self) -> str:
        return "ok"

    def reply(self, message: str) -> str:
        return "ok"

    def reply_in(self, message: str, language: str = "en") -> str:
        return "ok"

    def reply_about(self, message: str, order: str) -> str:
        return "ok"

    @staticmethod
    def of_none(message: str) -> str:
        return "ok"


def like(function: Any, other: Any) -> Any:
    return functools.wraps(other)(function)


@pytest.mark.parametrize(
    "agent",
    [
        lambda: "ok",
        lambda message, shop: "ok",
        lambda message, *, shop: "ok",
        lambda *, message: "ok",
        Shop().nothing,
        Shop().reply_about,
        # Called by its own signature, it would be given what it cannot hand on.
        like(lambda *given: "ok", lambda message, shop: "ok"),
        functools.partial(lambda message, shop: "ok", "a", "b"),
    ],
)
def test_a_function_that_takes_no_message(agent: Any) -> None:
    with pytest.raises(UsageError, match="cannot be called with the user's message"):
        agentgym.wrap(agent)


def test_why_a_function_takes_no_message() -> None:
    with pytest.raises(UsageError) as told:
        agentgym.wrap(lambda message, shop: "ok")
    assert str(told.value) == (
        "the function <lambda> is no agent, as it cannot be called with the user's "
        "message alone: missing a required argument: 'shop'"
    )


@pytest.mark.parametrize(
    "agent",
    [
        lambda message: "ok",
        lambda message="": "ok",
        lambda *messages: "ok",
        lambda message, shop=None, *, key=None, **more: "ok",
        Shop().reply,
        Shop().reply_in,
        Shop().of_none,
        Shop.of_none,
        like(lambda message: "ok", lambda *given: "ok"),
        functools.partial(lambda shop, message: "ok", "a"),
        str.upper,
    ],
)
def test_a_function_that_takes_a_message(agent: Any) -> None:
    assert agentgym.wrap(agent).run("ok").reply.lower() == "ok"


def test_a_function_that_gives_its_reply_bit_by_bit() -> None:
    def talk(message: str) -> Any:
        yield message

    async def talk_async(message: str) -> Any:
        yield message

    for agent in (talk, talk_async):
        with pytest.raises(UsageError, match=r"returned a generator: give a callable"):
            agentgym.wrap(agent).run("hi")


def test_langchain_models_of_other_makers_cannot_be_redirected() -> None:
    pytest.importorskip("langchain_core")
    from langchain_core.language_models import FakeListChatModel
    from langchain_core.runnables import RunnableLambda

    with pytest.raises(UsageError, match=r"asks a FakeListChatModel, whose requests"):
        agentgym.redirect(FakeListChatModel(responses=["a"]), POLICY)
    with pytest.raises(UsageError, match="no chat model was found in this LangChain"):
        agentgym.redirect(RunnableLambda(str), POLICY)


def test_langchain_models_are_found_wherever_a_graph_keeps_them() -> None:
    pytest.importorskip("langchain_openai")
    from langchain_core.runnables import RunnableLambda
    from langchain_openai import ChatOpenAI

    from agentgym.integrations.langchain.redirection import chat_models

    def model() -> Any:
        return ChatOpenAI(model="m", base_url="http://127.0.0.1:1", api_key="k")

    inner, bound, method = model(), model(), model()

    class Node:
        def __init__(self) -> None:
            self.model = method

        def __call__(self, value: Any) -> Any:
            return self.model.invoke(value)

    chain = (
        RunnableLambda(lambda value: inner.invoke(value))
        | bound.bind_tools([])
        | RunnableLambda(Node().__call__)
    )
    found = {id(m) for m in chat_models(chain)}
    assert found == {id(inner), id(bound), id(method)}


class TestShippedTools:
    def make(self, *tools: Any) -> Any:
        pytest.importorskip("langchain_openai")
        from agentgym.integrations.shipped import create_langchain_agent

        return create_langchain_agent(POLICY, tools, None)

    def test_two_tools_of_one_name(self) -> None:
        def look(order: str) -> str:
            """Shows an order."""
            return order

        with pytest.raises(UsageError, match="two tools are called 'look': give one"):
            self.make(look, look)

    def test_a_tool_without_a_schema(self) -> None:
        def look(order):  # type: ignore[no-untyped-def]
            return order

        with pytest.raises(UsageError, match=r"the tool look has no schema: give"):
            self.make(look)

    def test_what_is_no_tool(self) -> None:
        with pytest.raises(UsageError, match=r"the tool 3 has no schema"):
            self.make(3)

    @pytest.mark.parametrize("tools", [len, "look", None])
    def test_what_is_no_list_of_tools(self, tools: Any) -> None:
        with pytest.raises(UsageError, match=r"^tools=.*: give a list of tools$"):
            made_tools(tools, lambda tool: tool)


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("llama_index.core.agent.workflow", "str(await agent.run(message))"),
        ("google.adk.agents.llm_agent", "a coroutine that reads runner.run_async"),
        ("crewai.flow.flow", "flow.kickoff(inputs={'message': message})"),
    ],
)
def test_agents_that_take_more_than_a_message_have_a_way_named(
    module: str, words: str
) -> None:
    kind = type("Agent", (), {"__module__": module, "run": lambda self: None})
    for made in (kind(), type("Mine", (kind,), {"__module__": "app"})()):
        with pytest.raises(UsageError, match="is given by a function around it") as err:
            agentgym.wrap(made)
        assert words in str(err.value)
        assert "docs/how-to/frameworks" in str(err.value)
