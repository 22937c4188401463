"""Every framework's adapter tells the same trajectory of the same model's behaviour."""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

import agentgym
from agentgym.errors import UsageError
from agentgym.playing.tool_table import tool_table
from agentgym.recording.blame import classify
from agentgym.recording.recorder import Recorder
from agentgym.testing import ScriptedModel, call, error, malformed, say
from tests.framework_agents import (
    MAKERS,
    NESTED,
    STREAMING,
    ag2_config,
    agent_framework_client,
    autogen_client,
    is_there,
    langchain_model,
    look_up,
    make,
    make_crewai,
    pydantic_ai_model,
)

pytestmark = [
    pytest.mark.slow,
    # Of the frameworks, not of ours.
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.usefixtures("unclosed_connections"),
]

# One model call and what came of its tool calls: name, arguments, "ran", "failed" or
# "refused"; malformed arguments are their text.
Turn = list[tuple[str, Any, str]]


@dataclass(frozen=True)
class Behaviour:
    """What the model does, and the trajectory that every adapter must tell."""

    script: Any
    steps: list[Turn]
    reply: str | None = None
    outcome: str = "passed"
    ends_in: frozenset[str] = frozenset()
    """Frameworks that end the run at its first answer, where others tell the model."""


RIGHT = ("look_up", {"order_id": "A1"}, "ran")
BEHAVIOURS = {
    "right call": Behaviour(
        [call("look_up", order_id="A1"), say("It is paid.")],
        [[RIGHT], []],
        "It is paid.",
    ),
    "wrong name": Behaviour(
        [call("find", order_id="A1"), say("Sorry.")],
        [[("find", {"order_id": "A1"}, "refused")], []],
        "Sorry.",
        ends_in=frozenset({"openai_agents"}),
    ),
    "malformed JSON": Behaviour(
        [malformed("look_up", '{"order_id": "A1'), say("Sorry.")],
        [[("look_up", '{"order_id": "A1', "refused")], []],
        "Sorry.",
        # AG2 cannot send the malformed arguments back to the model.
        ends_in=frozenset({"shipped", "langchain", "ag2"}),
    ),
    "two calls at once": Behaviour(
        [
            call("look_up", order_id="A1")
            & call("look_up", order_id="B2")
            & call("refund", order_id="B2", amount=3.5),
            say("Done."),
        ],
        [
            [
                RIGHT,
                ("look_up", {"order_id": "B2"}, "ran"),
                ("refund", {"order_id": "B2", "amount": 3.5}, "ran"),
            ],
            [],
        ],
        "Done.",
    ),
    "tool error": Behaviour(
        [call("refund", order_id="A1", amount=-1.0), say("It failed.")],
        [[("refund", {"order_id": "A1", "amount": -1.0}, "failed")], []],
        "It failed.",
        # Their tools tell the model of an error in ways of their own.
        ends_in=frozenset({"langchain", "pydantic_ai"}),
    ),
    "refusal": Behaviour([say("I cannot help.")], [[]], "I cannot help."),
    "two steps": Behaviour(
        [
            call("look_up", order_id="A1"),
            call("refund", order_id="A1", amount=2.0),
            say("Done."),
        ],
        [[RIGHT], [("refund", {"order_id": "A1", "amount": 2.0}, "ran")], []],
        "Done.",
    ),
    "server error": Behaviour(
        [call("look_up", order_id="A1"), error(503)],
        [[RIGHT], []],
        outcome="infra_error",
    ),
}


@pytest.fixture(params=sorted(MAKERS))
def framework(request: pytest.FixtureRequest) -> str:
    if not is_there(request.param):
        pytest.skip(f"{request.param} is not installed")
    return str(request.param)


@dataclass
class Played:
    recorder: Recorder
    run: Any = None
    error: Exception | None = None

    @property
    def outcome(self) -> str:
        if self.recorder.infra_failure is not None:
            return "infra_error"
        if self.error is None:
            return "passed"
        return classify(self.error, from_tool=self.recorder.is_tool_error).value

    @property
    def steps(self) -> list[Turn]:
        return [
            [
                (c.name, c.arguments if c.malformed is None else c.malformed, how(c))
                for c in step.tool_calls
            ]
            for step in self.recorder.trajectory.steps
        ]


def how(made: Any) -> str:
    if not made.executed:
        return "refused" if made.error else "not told"
    return "failed" if made.error else "ran"


def play(
    framework: str,
    script: Any,
    *messages: str,
    max_tool_calls: int | None = None,
    maker: Callable[[Any], Any] | None = None,
) -> Played:
    with ScriptedModel(script) as model:
        agent = agentgym.wrap(make(framework, model.endpoint, maker))
        played = Played(Recorder(max_tool_calls=max_tool_calls))
        with played.recorder.activate():
            try:
                played.run = agent.run(list(messages) or "Where is my order A1?")
            except Exception as exc:  # noqa: BLE001 - whatever the framework raises
                played.error = exc
    return played


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_the_trajectory_is_the_same(framework: str, name: str) -> None:
    wanted = BEHAVIOURS[name]
    played = play(framework, wanted.script)
    if framework in wanted.ends_in:
        # A request that would tell the model may have been tried, in vain: what cannot
        # be sent is not the server's fault.
        assert played.outcome != "infra_error", played.error
        told, *rest = played.steps
        assert not any(rest)
        assert [ask[:2] for ask in told] == [ask[:2] for ask in wanted.steps[0]]
        assert {ask[2] for ask in told} <= {wanted.steps[0][0][2], "not told"}
        return
    assert played.outcome == wanted.outcome, played.error
    assert played.steps == wanted.steps
    if wanted.reply is not None:
        assert played.run.reply == wanted.reply
        roles = [m["role"] for m in played.run.messages]
        tools = sum(len(step) for step in wanted.steps)
        assert roles.count("tool") == tools
        assert roles.count("assistant") == len(wanted.steps)
    for step in played.recorder.trajectory.steps:
        assert step.model is not None
        assert all(c.duration > 0 for c in step.tool_calls if c.executed)


def test_an_endless_loop_ends_and_is_the_agents_doing(framework: str) -> None:
    def loop(request: dict[str, Any]) -> Any:
        return call("look_up", order_id=f"A{len(request['messages'])}")

    played = play(framework, loop, max_tool_calls=5)
    assert played.outcome == "failed"
    assert len(played.recorder.trajectory.tool_calls) <= 6


def test_an_empty_reply(framework: str) -> None:
    played = play(framework, [say("")])
    if played.error is not None:  # some frameworks refuse it, after asking again
        assert played.outcome == "failed"
    else:
        assert played.run.reply == ""


def test_the_conversation_goes_on(framework: str) -> None:
    played = play(
        framework,
        [call("look_up", order_id="A1"), say("It is paid."), say("You are welcome.")],
        "Where is my order A1?",
        "Thank you very much!",
    )
    assert played.error is None
    texts = [
        m["content"]
        for m in played.run.messages
        if m["role"] == "user" or (m["role"] == "assistant" and m["content"])
    ]
    assert texts == [
        "Where is my order A1?",
        "It is paid.",
        "Thank you very much!",
        "You are welcome.",
    ]


def test_results_and_errors_are_the_tools_own(framework: str) -> None:
    played = play(
        framework,
        [
            call("look_up", order_id="A1"),
            call("refund", order_id="A1", amount=-1.0),
            say("Done."),
        ],
    )
    shown, refused = played.recorder.trajectory.tool_calls
    assert shown.result == "A1 is paid"
    assert "too little" in (refused.error or "")


def test_arguments_that_do_not_fit_are_told_apart_from_a_tools_error(
    framework: str,
) -> None:
    script = [call("refund", order_id="A1", amount="much"), say("Sorry.")]
    played = play(framework, script)
    assert played.error is None
    [row] = tool_table(played.recorder.trajectory, [], passed=False)
    assert (row["calls"], row["wrong_arguments"]) == (1, 1)
    assert played.run.reply == "Sorry."


def test_in_an_async_scenario(framework: str) -> None:
    async def main(endpoint: Any) -> Any:
        agent = agentgym.wrap(make(framework, endpoint))
        with Recorder().activate():
            return await agent.run("Where is my order A1?")

    with ScriptedModel([call("look_up", order_id="A1"), say("Paid.")]) as model:
        run = asyncio.run(main(model.endpoint))
    assert run.called("look_up", order_id="A1")
    assert run.reply == "Paid."


def test_redirected(framework: str) -> None:
    with (
        ScriptedModel([say("own model")], name="own") as own,
        ScriptedModel([call("look_up", order_id="A1"), say("policy")]) as policy,
    ):
        agent = make(framework, own.endpoint)
        redirected = agentgym.redirect(agent, policy.endpoint)
        with Recorder().activate():
            run = redirected.run("Where is my order A1?")
        assert run.reply == "policy"
        assert run.called("look_up", order_id="A1")
        asked = [step.model for step in run.trajectory.steps if step.model]
        assert {told.model for told in asked} == {"scripted"}
        assert not own.requests
        assert policy.requests[0]["model"] == "scripted"
        # Only in the redirected agent's own runs: others can share the object.
        plain = agentgym.wrap(make(framework, own.endpoint))
        with Recorder().activate():
            assert plain.run("Where is it now, please?").reply == "own model"


@pytest.mark.parametrize(
    "name",
    ["right call", "malformed JSON", "two calls at once", "tool error", "server error"],
)
@pytest.mark.parametrize("streaming", sorted(STREAMING))
def test_streamed_answers_tell_the_same(streaming: str, name: str) -> None:
    if not is_there(streaming):
        pytest.skip(f"{streaming} is not installed")
    wanted, maker = BEHAVIOURS[name], STREAMING[streaming]
    plain = play(streaming, wanted.script, maker=maker)
    streamed = play(
        streaming, wanted.script, maker=functools.partial(maker, streaming=True)
    )
    if (streaming, name) == ("langchain", "malformed JSON"):
        # LangChain repairs what was streamed, and runs the tool.
        assert streamed.steps == [[("look_up", '{"order_id": "A1', "ran")], []]
        return
    assert streamed.outcome == plain.outcome, streamed.error
    assert streamed.steps == plain.steps
    assert said(streamed) == said(plain)


def said(played: Played) -> list[Any]:
    """The messages; the results of tools that ran at once may come in any order."""
    messages = played.recorder.trajectory.messages
    return sorted(messages, key=lambda message: message.get("tool_call_id", ""))


def nested(request: dict[str, Any]) -> Any:
    """The model of both agents of a nested pair; it knows them by their tools."""
    [tool] = (tool["function"] for tool in request["tools"])
    asked = any(message["role"] == "assistant" for message in request["messages"])
    if tool["name"] == "look_up":
        return say("A1 is paid.") if asked else call("look_up", order_id="A1")
    if asked:
        return say("Your order is paid.")
    needed = dict.fromkeys(tool["parameters"]["required"], "Is A1 paid?")
    return call(tool["name"], **needed)


@pytest.mark.parametrize("nesting", sorted(NESTED))
def test_an_agent_as_a_tool_is_seen_within_the_outer_one(nesting: str) -> None:
    if not is_there(nesting):
        pytest.skip(f"{nesting} is not installed")
    played = play(nesting, nested, maker=NESTED[nesting])
    assert played.error is None
    steps = played.recorder.trajectory.steps
    path = ("orders",)
    assert [step.model and step.model.path for step in steps] == [(), path, path, ()]
    [[outer], [inner], *rest] = [step.tool_calls for step in steps]
    assert not any(rest)
    assert how(outer) == "ran"
    assert outer.path == ()
    assert "A1 is paid." in str(outer.result)
    assert (inner.name, inner.arguments, how(inner)) == RIGHT
    assert (inner.path, inner.result) == (path, "A1 is paid")
    assert played.run.reply == "Your order is paid."


@pytest.mark.parametrize("nesting", sorted(NESTED))
def test_an_agent_as_a_tool_is_redirected_with_the_outer_one(nesting: str) -> None:
    if not is_there(nesting):
        pytest.skip(f"{nesting} is not installed")
    with (
        ScriptedModel([say("own model")], name="own") as own,
        ScriptedModel(nested) as policy,
    ):
        agent = make(nesting, own.endpoint, NESTED[nesting])
        redirected = agentgym.redirect(agent, policy.endpoint)
        with Recorder().activate():
            run = redirected.run("Where is my order A1?")
        assert run.reply == "Your order is paid."
        assert not own.requests
        assert len(policy.requests) == 4


def with_settings(framework: str, endpoint: Any, **settings: Any) -> Any:
    """An agent whose model, not the agent itself, has the settings."""
    if framework == "crewai":
        return make_crewai(endpoint, **settings)
    if framework == "langchain":
        from langchain.agents import create_agent

        return create_agent(langchain_model(endpoint, **settings), [look_up])
    if framework == "autogen":
        from autogen_agentchat.agents import AssistantAgent

        return AssistantAgent("desk", autogen_client(endpoint, **settings))
    if framework == "ag2":
        from ag2 import Agent

        return Agent("desk", config=ag2_config(endpoint, **settings))
    from pydantic_ai import Agent

    return Agent(pydantic_ai_model(endpoint, **settings))


@pytest.mark.parametrize(
    "built", ["ag2", "autogen", "crewai", "langchain", "pydantic_ai"]
)
def test_a_redirected_model_keeps_its_settings(built: str) -> None:
    if not is_there(built):
        pytest.skip(f"{built} is not installed")
    settings = {"temperature": 0.0, "top_p": 0.5, "max_tokens": 40}
    with ScriptedModel([say("It is paid.")]) as policy:
        agent = make(
            built, policy.endpoint, lambda at: with_settings(built, at, **settings)
        )
        with Recorder().activate():
            agentgym.redirect(agent, policy.endpoint).run("Where is my order A1?")
    [request] = policy.requests
    # Some frameworks ask by the newer name.
    request.setdefault("max_tokens", request.get("max_completion_tokens"))
    assert {name: request.get(name) for name in settings} == settings


# A driver of theirs keeps the conversation, the agent does not.
SHARED = ["ag2", "agent_framework", "langchain", "openai_agents", "pydantic_ai"]


@pytest.mark.parametrize("shared", SHARED)
def test_episodes_at_a_time_share_an_agent_object(shared: str) -> None:
    if not is_there(shared):
        pytest.skip(f"{shared} is not installed")

    def look_up_own(request: dict[str, Any]) -> Any:
        if any(message["role"] == "tool" for message in request["messages"]):
            return say("Done.").after(0.05)
        asked = next(m for m in request["messages"] if m["role"] == "user")
        return call("look_up", order_id=str(asked["content"]).split()[-1])

    def episode(number: int) -> list[Turn]:
        agent = agentgym.wrap(shared_agent)
        if number % 2:
            agent = agentgym.redirect(shared_agent, policy.endpoint)
        played = Played(Recorder())
        with played.recorder.activate():
            agent.run(f"Where is the order A{number}")
        return played.steps

    with (
        ScriptedModel(look_up_own) as own,
        ScriptedModel(look_up_own) as policy,
        ThreadPoolExecutor(64) as threads,
    ):
        shared_agent = make(shared, own.endpoint)
        told = list(threads.map(episode, range(64)))
    assert told == [
        [[("look_up", {"order_id": f"A{number}"}, "ran")], []] for number in range(64)
    ]
    assert len(own.requests) == len(policy.requests) == 64


def test_a_shared_agent_that_keeps_its_state_is_refused() -> None:
    pytest.importorskip("autogen_ext")
    with ScriptedModel(lambda request: say("It is paid.")) as model:
        shared = make("autogen", model.endpoint)
        for number in range(2):
            with Recorder().activate():
                agentgym.wrap(shared).run(f"Where is my order A{number}?")
        with (
            Recorder().activate(),
            pytest.raises(UsageError, match="keeps its state between episodes"),
        ):
            agentgym.wrap(shared).run("Where is my order B2?")


@dataclass
class Answer:
    paid: bool


class TestPydanticAI:
    def test_a_retry_that_a_tool_asks_for_is_its_error(self) -> None:
        pydantic_ai = pytest.importorskip("pydantic_ai")

        def maker(endpoint: Any) -> Any:
            def refund(order_id: str, amount: float) -> str:
                """Pays an order back."""
                raise pydantic_ai.ModelRetry("too little")

            return pydantic_ai.Agent(pydantic_ai_model(endpoint), tools=[refund])

        script = BEHAVIOURS["tool error"].script
        played = play("pydantic_ai", script, maker=maker)
        assert played.steps == BEHAVIOURS["tool error"].steps
        [refund] = played.recorder.trajectory.tool_calls
        assert refund.error == "ModelRetry: too little"
        [told] = [m["content"] for m in played.run.messages if m["role"] == "tool"]
        assert "too little" in told
        assert "ModelRetry" not in told

    def test_a_structured_answer_is_the_reply(self) -> None:
        pydantic_ai = pytest.importorskip("pydantic_ai")

        def maker(endpoint: Any) -> Any:
            return pydantic_ai.Agent(
                pydantic_ai_model(endpoint), tools=[look_up], output_type=Answer
            )

        script = [call("look_up", order_id="A1"), call("final_result", paid=True)]
        played = play("pydantic_ai", script, maker=maker)
        assert played.steps == [[RIGHT], []]
        assert json.loads(played.run.reply) == {"paid": True}
        assert played.run.value.output == Answer(paid=True)

    def test_a_wrapped_agent_is_recognised(self) -> None:
        pytest.importorskip("pydantic_ai")
        from pydantic_ai.agent import WrapperAgent

        def maker(endpoint: Any) -> Any:
            return WrapperAgent(make("pydantic_ai", endpoint))

        played = play("pydantic_ai", BEHAVIOURS["right call"].script, maker=maker)
        assert played.steps == BEHAVIOURS["right call"].steps


class TestAgentFramework:
    def test_what_a_tool_returns_is_kept(self) -> None:
        agent_framework = pytest.importorskip("agent_framework")

        def maker(endpoint: Any) -> Any:
            async def look_up(order_id: str) -> dict[str, Any]:
                """Shows an order."""
                return {"id": order_id, "paid": True}

            client = agent_framework_client(endpoint)
            return agent_framework.Agent(client, tools=[look_up])

        played = play("agent_framework", BEHAVIOURS["right call"].script, maker=maker)
        [shown] = played.recorder.trajectory.tool_calls
        assert shown.result == {"id": "A1", "paid": True}

    @pytest.mark.parametrize("as_agent", [True, False])
    def test_the_agents_of_a_workflow_are_nested_in_it(self, as_agent: bool) -> None:
        agent_framework = pytest.importorskip("agent_framework")

        def maker(endpoint: Any) -> Any:
            client = agent_framework_client(endpoint)
            first = agent_framework.Agent(client, name="first", tools=[look_up])
            second = agent_framework.Agent(client, name="second")
            builder = agent_framework.WorkflowBuilder(start_executor=first)
            workflow = builder.add_edge(first, second).build()
            return workflow.as_agent() if as_agent else workflow

        def model(request: dict[str, Any]) -> Any:
            if not request.get("tools"):
                return say("Goodbye.")
            asked = any(m["role"] == "assistant" for m in request["messages"])
            return say("It is paid.") if asked else call("look_up", order_id="A1")

        played = play("agent_framework", model, maker=maker)
        assert played.error is None
        steps = played.recorder.trajectory.steps
        paths = [step.model and step.model.path for step in steps]
        assert paths == [("first",), ("first",), ("second",)]
        assert played.steps == [[RIGHT], [], []]
        assert played.run.reply.endswith("Goodbye.")


def test_a_manager_that_a_crew_makes_is_seen_and_redirected() -> None:
    crewai = pytest.importorskip("crewai")

    def model(request: dict[str, Any]) -> Any:
        tool = request["tools"][0]["function"]["name"]
        if any(message["role"] == "tool" for message in request["messages"]):
            return say("It is paid.")
        if tool == "look_up":
            return call(tool, order_id="A1")
        return call(tool, task="Is A1 paid?", context="none", coworker="Help desk")

    def crew(endpoint: Any) -> Any:
        task = crewai.Task(description="Answer: {message}", expected_output="A text")
        return crewai.Crew(
            agents=[make("crewai", endpoint)],
            tasks=[task],
            process=crewai.Process.hierarchical,
            manager_llm="gpt-4.1-mini",
        )

    with (
        ScriptedModel([say("own model")], name="own") as own,
        ScriptedModel(model, name="the policy") as policy,
    ):
        agent = agentgym.redirect(make("crewai", own.endpoint, crew), policy.endpoint)
        with Recorder().activate():
            run = agent.run("Where is my order A1?")
    assert not own.requests
    manager, desk = ("Crew Manager",), ("Help desk",)
    models = [step.model for step in run.trajectory.steps if step.model]
    assert [m.path for m in models] == [manager, desk, desk, manager]
    assert {m.model for m in models} == {"the policy"}
    assert [(c.name, c.path) for c in run.calls] == [
        ("delegate_work_to_coworker", manager),
        ("look_up", desk),
    ]
    assert run.reply == "It is paid."


def test_the_model_that_chooses_who_speaks_is_seen_and_redirected() -> None:
    pytest.importorskip("autogen_ext")

    def team(endpoint: Any) -> Any:
        from autogen_agentchat.agents import AssistantAgent
        from autogen_agentchat.conditions import MaxMessageTermination
        from autogen_agentchat.teams import SelectorGroupChat

        client = autogen_client(endpoint)
        other = AssistantAgent("other", model_client=client, description="Poetry")
        return SelectorGroupChat(
            [make("autogen", endpoint), other],
            model_client=client,
            termination_condition=MaxMessageTermination(2),
        )

    def model(request: dict[str, Any]) -> Any:
        return say("It is paid." if request.get("tools") else "help_desk")

    with (
        ScriptedModel([say("own model")], name="own") as own,
        ScriptedModel(model, name="the policy") as policy,
    ):
        agent = agentgym.redirect(make("autogen", own.endpoint, team), policy.endpoint)
        with Recorder().activate():
            run = agent.run("Where is my order A1?")
    assert not own.requests
    models = [step.model for step in run.trajectory.steps if step.model]
    assert [(m.path, m.model) for m in models] == [
        ((), "the policy"),
        (("help_desk",), "the policy"),
    ]
    assert run.reply == "It is paid."


class TestOpenAIAgents:
    def test_an_agent_that_a_function_runs_is_nested_and_redirected(self) -> None:
        agents = pytest.importorskip("agents")
        inner = agents.Agent(name="orders", tools=[agents.function_tool(look_up)])

        @agents.function_tool  # type: ignore[untyped-decorator]
        async def ask_orders(question: str) -> str:
            config = {"workflow_name": "orders"}
            answer = await agents.Runner.run(inner, question, run_config=config)
            return str(answer.final_output)

        @agents.function_tool  # type: ignore[untyped-decorator]
        async def ask_orders_streaming(question: str) -> str:
            answer = agents.Runner.run_streamed(inner, question)
            async for _ in answer.stream_events():
                pass
            return str(answer.final_output)

        def model(request: dict[str, Any]) -> Any:
            tools = [tool["function"]["name"] for tool in request["tools"]]
            asked = sum(m["role"] == "assistant" for m in request["messages"])
            if asked == len(tools):
                return say("It is paid.")
            if tools == ["look_up"]:
                return call("look_up", order_id="A1")
            return call(tools[asked], question="Is A1 paid?")

        with ScriptedModel(model, name="the policy") as policy:
            agent = agentgym.redirect(
                agents.Agent(name="desk", tools=[ask_orders, ask_orders_streaming]),
                policy.endpoint,
            )
            with Recorder().activate():
                run = agent.run("Where is my order A1?")
        path = ("orders",)
        calls = [(c.name, c.path, how(c)) for c in run.calls]
        assert calls == [
            ("ask_orders", (), "ran"),
            ("look_up", path, "ran"),
            ("ask_orders_streaming", (), "ran"),
            ("look_up", path, "ran"),
        ]
        models = [step.model for step in run.trajectory.steps if step.model]
        assert [m.path for m in models] == [(), path, path, (), path, path, ()]
        assert {m.model for m in models} == {"the policy"}
        assert run.reply == "It is paid."

    def test_a_handoff_ran_and_its_agent_is_also_a_tool(self) -> None:
        agents = pytest.importorskip("agents")

        def model(request: dict[str, Any]) -> Any:
            messages = request["messages"]
            done = {
                asked["function"]["name"]
                for message in messages
                for asked in message.get("tool_calls") or ()
            }
            for tool in (tool["function"] for tool in request["tools"]):
                if tool["name"] not in done:
                    needed = dict.fromkeys(tool["parameters"]["properties"], "A1")
                    return call(tool["name"], **needed)
            return say("It is paid.")

        def maker(endpoint: Any) -> Any:
            orders = make("openai_agents", endpoint)
            orders.name, orders.tools = "orders", [agents.function_tool(look_up)]
            return orders.clone(
                name="desk",
                tools=[orders.as_tool("ask_orders", "Knows about orders.")],
                handoffs=[orders],
            )

        played = play("openai_agents", model, maker=maker)
        assert played.error is None
        assert [(c.name, c.path, how(c)) for c in played.run.calls] == [
            ("ask_orders", (), "ran"),
            ("look_up", ("orders",), "ran"),
            ("transfer_to_orders", (), "ran"),
            ("look_up", (), "ran"),
        ]
        assert not played.run.errors
        assert len(played.run.trajectory.model_calls) == 6

    def test_a_nested_agents_model_that_fails_is_told(self) -> None:
        pytest.importorskip("agents")

        def model(request: dict[str, Any]) -> Any:
            asked = request["tools"][0]["function"]["name"]
            return error(503) if asked == "look_up" else nested(request)

        played = play("openai_agents", model, maker=NESTED["openai_agents"])
        assert played.error is None
        outer, inner, _ = played.recorder.trajectory.steps
        assert inner.model is not None
        assert inner.model.path == ("orders",)
        assert "503" in str(inner.model.error)
        assert played.recorder.model_in_flight() is None
        assert how(outer.tool_calls[0]) == "failed"


def test_a_tool_that_ends_the_openai_agents_run_is_to_blame() -> None:
    """Not the network, whatever the tool raised."""
    agents = pytest.importorskip("agents")

    def look_up(order_id: str) -> str:
        """Shows an order."""
        raise ConnectionError(f"{order_id} is out of reach")

    with ScriptedModel([call("look_up", order_id="A1"), say("Paid.")]) as model:
        agent = make("openai_agents", model.endpoint)
        agent.tools = [agents.function_tool(look_up, failure_error_function=None)]
        played = Played(Recorder())
        with played.recorder.activate(), pytest.raises(Exception) as raised:  # noqa: PT011
            agentgym.wrap(agent).run("Where is my order A1?")
        played.error = raised.value
    [made] = played.recorder.trajectory.tool_calls
    assert made.executed
    assert made.error == "ConnectionError: A1 is out of reach"
    assert played.outcome == "failed"
