"""Agents whose runs take options: a context, a session, a limit of turns, ..."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import pytest

import agentgym
from agentgym.recording.recorder import Recorder
from agentgym.testing import ScriptedModel, call, say
from tests.framework_agents import (
    ag2_config,
    agent_framework_client,
    is_there,
    openai_client,
    pydantic_ai_model,
)

pytestmark = [
    pytest.mark.slow,
    # Of the frameworks, not of ours.
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.usefixtures("unclosed_connections"),
]


POINTS = [call("balance"), say("You have 12 points.")]


@pytest.fixture
def points() -> Iterator[ScriptedModel]:
    with ScriptedModel(POINTS) as model:
        yield model


def needs(framework: str) -> None:
    if not is_there(framework):
        pytest.skip(f"{framework} is not installed")


def balance_of(agent: Any, policy: Any = None) -> Any:
    agent = agentgym.wrap(agent) if policy is None else agentgym.redirect(agent, policy)
    with Recorder().activate():
        run = agent.run("How many points do I have left?")
    assert run.reply == "You have 12 points."
    [made] = run.calls
    return made.result


def openai_agent(**more: Any) -> Any:
    from agents import Agent, RunContextWrapper, function_tool

    def balance(context: RunContextWrapper[dict[str, int]]) -> int:
        """The customer's points."""
        return context.context["points"]

    # The annotation is read by the SDK, whichever module it stands in.
    balance.__annotations__ = {
        "context": RunContextWrapper[dict[str, int]],
        "return": int,
    }
    return Agent(name="points", tools=[function_tool(balance)], **more)


@pytest.mark.parametrize("run", ["run", "run_sync"])
@pytest.mark.parametrize("by_name", [False, True])
def test_a_context_of_the_openai_agents_sdk(
    points: ScriptedModel, run: str, by_name: bool
) -> None:
    needs("openai_agents")
    from agents import Runner

    method = getattr(Runner, run)
    bound = (
        functools.partial(method, starting_agent=openai_agent(), context={"points": 12})
        if by_name
        else functools.partial(method, openai_agent(), context={"points": 12})
    )
    assert balance_of(bound, points.endpoint) == 12
    assert agentgym.wrap(bound).recognised == "an agent of the OpenAI Agents SDK"


def test_a_session_keeps_the_conversation() -> None:
    needs("openai_agents")
    from agents import Agent, Runner, SQLiteSession

    with ScriptedModel([say("Hello."), say("You are Ann.")]) as model:
        bound = functools.partial(
            Runner.run, Agent(name="desk"), session=SQLiteSession("of-a-test")
        )
        agent = agentgym.redirect(bound, model.endpoint)
        with Recorder().activate():
            run = agent.run(["I am Ann.", "Who am I?"])
    assert run.reply == "You are Ann."
    texts = [m["content"] for m in model.requests[-1]["messages"]]
    assert texts == ["I am Ann.", "Hello.", "Who am I?"]


def test_max_turns_and_a_run_config() -> None:
    needs("openai_agents")
    from agents import MaxTurnsExceeded, ModelSettings, RunConfig, Runner

    config = RunConfig(model_settings=ModelSettings(temperature=0.25))
    with ScriptedModel([call("balance"), call("balance"), say("12")]) as model:
        bound = functools.partial(
            Runner.run,
            openai_agent(),
            context={"points": 12},
            max_turns=2,
            run_config=config,
        )
        agent = agentgym.redirect(bound, model.endpoint)
        recorder = Recorder()
        with recorder.activate(), pytest.raises(MaxTurnsExceeded):
            agent.run("How many points do I have left?")
    assert {request["temperature"] for request in model.requests} == {0.25}
    assert len(recorder.trajectory.tool_calls) == 2


def several_agents(request: dict[str, Any]) -> Any:
    """The models of a triage agent, of the desk that it hands off to, and a guard."""
    system = request["messages"][0]["content"]
    results = [m for m in request["messages"] if m["role"] == "tool"]
    if system == "guard":
        return say("fine")
    if system == "triage":
        return call("transfer_to_desk")
    if len(results) < 2:
        return call("balance")
    return say("You have 12 points.")


def test_several_agents_with_guardrails_and_handoffs() -> None:
    needs("openai_agents")
    from agents import (
        Agent,
        GuardrailFunctionOutput,
        RunHooks,
        Runner,
        input_guardrail,
    )

    seen: list[Any] = []
    started: list[str] = []
    guard = Agent(name="guard", instructions="guard")

    @input_guardrail
    async def polite(context: Any, agent: Any, given: Any) -> Any:
        seen.append(context.context)
        result = await Runner.run(guard, given, context=context.context)
        return GuardrailFunctionOutput(
            result.final_output, result.final_output != "fine"
        )

    class Hooks(RunHooks[Any]):
        async def on_agent_start(self, context: Any, agent: Any) -> None:
            started.append(agent.name)

    desk = openai_agent()
    desk.name, desk.instructions = "desk", "desk"
    triage = Agent(
        name="triage",
        instructions="triage",
        handoffs=[desk],
        input_guardrails=[polite],
    )
    context = {"points": 12}
    with ScriptedModel(several_agents) as model:
        bound = functools.partial(Runner.run, triage, context=context, hooks=Hooks())
        agent = agentgym.redirect(bound, model.endpoint)
        with Recorder().activate():
            run = agent.run("How many points do I have left?")
    assert run.reply == "You have 12 points."
    assert run.called("transfer_to_desk")
    assert [c.result for c in run.calls if c.name == "balance"] == [12]
    assert seen == [context]
    assert started == ["triage", "desk"]
    # The guard is an agent within the run.
    paths = {asked.path for asked in run.trajectory.model_calls}
    assert paths == {(), ("guard",)}


def test_deps_of_pydantic_ai(points: ScriptedModel) -> None:
    needs("pydantic_ai")
    from pydantic_ai import Agent, RunContext

    agent = Agent(pydantic_ai_model(points.endpoint), deps_type=int)

    def balance(context: Any) -> int:
        """The customer's points."""
        return int(context.deps)

    balance.__annotations__ = {"context": RunContext[int], "return": int}
    agent.tool(balance)
    assert balance_of(functools.partial(agent.run, deps=12)) == 12
    assert balance_of(functools.partial(agent.run_sync, deps=12), points.endpoint) == 12


def test_variables_of_ag2(points: ScriptedModel) -> None:
    needs("ag2")
    from ag2 import Agent, Context

    def balance(context: Any) -> int:
        """The customer's points."""
        return int(context.variables["points"])

    balance.__annotations__ = {"context": Context, "return": int}
    agent = Agent("points", config=ag2_config(points.endpoint), tools=[balance])
    bound = functools.partial(agent.ask, variables={"points": 12})
    assert balance_of(bound) == 12
    assert balance_of(bound, points.endpoint) == 12


def test_options_of_agent_framework(points: ScriptedModel) -> None:
    needs("agent_framework")
    from agent_framework import Agent

    def balance() -> int:
        """The customer's points."""
        return 12

    agent = Agent(agent_framework_client(points.endpoint), name="desk", tools=[balance])
    bound = functools.partial(agent.run, options={"temperature": 0.25})
    assert balance_of(bound) == 12
    assert {request["temperature"] for request in points.requests} == {0.25}


def test_a_function_may_return_what_a_frameworks_run_returned() -> None:
    needs("openai_agents")
    from agents import Agent, OpenAIChatCompletionsModel, Runner

    with ScriptedModel([say("It is paid.")]) as model:
        client = openai_client(model.endpoint)
        desk = Agent(name="desk", model=OpenAIChatCompletionsModel("m", client))
        with Recorder().activate():
            run = agentgym.wrap(lambda text: Runner.run(desk, text)).run("Is it paid?")
    assert run.reply == "It is paid."
    assert run.value.final_output == "It is paid."


def test_a_partial_of_another_function_is_a_callable() -> None:
    def ask(greeting: str, message: str) -> str:
        return f"{greeting}, {message}"

    agent = agentgym.wrap(functools.partial(ask, "Hi"))
    with Recorder().activate():
        assert agent.run("Ann").reply == "Hi, Ann"
