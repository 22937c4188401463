"""A redirected agent asks the policy as it would ask its own model, and nobody else."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import pytest

import agentgym
from agentgym.errors import UsageError
from agentgym.integrations import redirecting
from agentgym.recording.recorder import Recorder
from agentgym.testing import ScriptedModel, call, say
from tests.framework_agents import (
    ag2_config,
    autogen_client,
    langchain_model,
    look_up,
    make_crewai,
    openai_client,
    pydantic_ai_model,
)

pytestmark = [
    pytest.mark.slow,
    # Of the frameworks, not of ours.
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.usefixtures("unclosed_connections"),
]


@pytest.fixture
def servers() -> Iterator[tuple[ScriptedModel, ScriptedModel]]:
    with (
        ScriptedModel(lambda _: say("own"), name="the-own") as own,
        ScriptedModel(lambda _: say("policy"), name="the-policy") as policy,
    ):
        yield own, policy


def play(agent: Any) -> Any:
    with Recorder().activate():
        return agent.run("Who are you, if I may ask?")


SETTINGS: dict[str, Any] = {
    "temperature": 0.0,
    "top_p": 0.5,
    "seed": 7,
    "frequency_penalty": 0.25,
    "presence_penalty": -0.25,
    "max_tokens": 40,
    "stop": ["END"],
}


def langchain(endpoint: Any) -> Any:
    from langchain.agents import create_agent

    model = langchain_model(
        endpoint,
        **SETTINGS,
        n=1,
        logit_bias={50: 1},
        logprobs=True,
        top_logprobs=2,
        reasoning_effort="low",
        model_kwargs={"user": "u1"},
        extra_body={"top_k": 3},
    )
    return create_agent(model, [look_up])


def crewai(endpoint: Any) -> Any:
    return make_crewai(endpoint, **SETTINGS, n=1, reasoning_effort="low")


def autogen(endpoint: Any) -> Any:
    from autogen_agentchat.agents import AssistantAgent

    client = autogen_client(
        endpoint,
        **SETTINGS,
        user="u1",
        logit_bias={50: 1},
        reasoning_effort="low",
        extra_body={"top_k": 3},
    )
    return AssistantAgent("desk", client)


def openai_agents(endpoint: Any) -> Any:
    from agents import Agent, ModelSettings, OpenAIChatCompletionsModel
    from openai.types.shared import Reasoning

    settings = ModelSettings(
        temperature=0.0,
        top_p=0.5,
        frequency_penalty=0.25,
        presence_penalty=-0.25,
        max_tokens=40,
        reasoning=Reasoning(effort="low"),
        extra_body={"top_k": 3},
        extra_args={"seed": 7, "stop": ["END"]},
    )
    model = OpenAIChatCompletionsModel(endpoint.model, openai_client(endpoint))
    return Agent(name="desk", model=model, model_settings=settings)


def pydantic_ai(endpoint: Any) -> Any:
    from pydantic_ai import Agent

    settings = {**SETTINGS, "stop_sequences": ["END"], "extra_body": {"top_k": 3}}
    del settings["stop"]
    settings |= {"openai_reasoning_effort": "low", "logit_bias": {"50": 1}}
    return Agent(pydantic_ai_model(endpoint, **settings))


def pydantic_ai_fallback(endpoint: Any) -> Any:
    from pydantic_ai import Agent
    from pydantic_ai.models.fallback import FallbackModel

    first = pydantic_ai_model(endpoint, temperature=0.0, seed=7)
    return Agent(FallbackModel(first, pydantic_ai_model(endpoint)))


def ag2(endpoint: Any) -> Any:
    from ag2 import Agent

    config = ag2_config(
        endpoint,
        **SETTINGS,
        user="u1",
        reasoning_effort="low",
        logit_bias={"50": 1},
        extra_body={"top_k": 3},
    )
    return Agent("desk", config=config)


def agent_framework(endpoint: Any) -> Any:
    from agent_framework import Agent
    from agent_framework.openai import OpenAIChatCompletionClient

    client = OpenAIChatCompletionClient(
        endpoint.model, async_client=openai_client(endpoint)
    )
    options: Any = {**SETTINGS, "user": "u1", "logit_bias": {50: 1}}
    return Agent(client, name="desk", default_options=options)


AGENTS = (
    langchain,
    crewai,
    autogen,
    openai_agents,
    pydantic_ai,
    pydantic_ai_fallback,
    ag2,
    agent_framework,
)


@pytest.mark.parametrize("built", AGENTS, ids=lambda f: f.__name__)
def test_the_policy_is_asked_as_the_own_model_is(built: Any, servers: Any) -> None:
    own, policy = servers
    assert play(agentgym.wrap(built(own.endpoint))).reply == "own"
    run = play(agentgym.redirect(built(own.endpoint), policy.endpoint))
    assert run.reply == "policy"
    assert {m.model for m in run.trajectory.model_calls} == {"the-policy"}
    [plain], [redirected] = own.requests, policy.requests
    assert redirected == {**plain, "model": "the-policy"}
    assert plain["temperature"] == 0.0
    assert plain["seed"] == 7


class TestLangChain:
    @pytest.fixture(autouse=True)
    def nothing_warned_of(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(redirecting, "_warned", set())

    def test_the_responses_api_is_kept(self, servers: Any) -> None:
        from agentgym.integrations.langchain.redirection import Redirection

        own, policy = servers
        model = langchain_model(
            own.endpoint,
            use_responses_api=True,
            default_headers={"x-team": "desk", "Authorization": "Bearer own"},
            timeout=7,
        )
        twin = Redirection(model, policy.endpoint).twin_of(model)
        assert twin.use_responses_api
        assert twin.default_headers == {"x-team": "desk"}
        assert twin.request_timeout == 7

    @pytest.mark.parametrize("way", ["middleware", "node", "fallback"])
    def test_a_model_made_while_it_runs_is_recorded_as_what_it_is(
        self, way: str, servers: Any
    ) -> None:
        from langchain.agents import create_agent
        from langchain.agents.middleware import ModelFallbackMiddleware, wrap_model_call
        from langchain_core.runnables import RunnableLambda

        own, policy = servers
        with ScriptedModel(lambda _: say("other"), name="the-other") as other:

            @wrap_model_call
            def elsewhere(request: Any, handler: Any) -> Any:
                model = langchain_model(other.endpoint)
                return handler(request.override(model=model))

            agent: Any
            if way == "middleware":
                model = langchain_model(own.endpoint)
                agent = create_agent(model, [], middleware=[elsewhere])
            elif way == "node":
                agent = langchain_model(own.endpoint) | RunnableLambda(
                    lambda _: langchain_model(other.endpoint).invoke("Hello")
                )
            else:
                fallback = ModelFallbackMiddleware(langchain_model(other.endpoint))
                agent = create_agent(
                    langchain_model(own.endpoint), [], middleware=[fallback]
                )
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                run = play(agentgym.redirect(agent, policy.endpoint))
        models = [m.model for m in run.trajectory.model_calls]
        assert (
            models
            == {
                "middleware": ["the-other"],
                "node": ["the-policy", "the-other"],
                # It is found in the graph, as the agent's own is.
                "fallback": ["the-policy"],
            }[way]
        )
        texts = [str(w.message) for w in told if "redirect()" in str(w.message)]
        if way == "fallback":
            assert texts == []
        else:
            [text] = texts
            assert "redirect(): the agent asks the-other, which was not" in text
            assert run.reply == "other"

    def test_a_client_that_nobody_sees_stops_the_run(self, servers: Any) -> None:
        from langchain_core.runnables import RunnableLambda
        from openai import OpenAI

        own, policy = servers
        hidden = OpenAI(base_url=own.base_url, api_key="none")

        def node(message: Any) -> Any:
            messages: Any = [{"role": "user", "content": "Hello"}]
            answer = hidden.chat.completions.create(model="the-own", messages=messages)
            return answer.choices[0].message.content

        agent = langchain_model(own.endpoint) | RunnableLambda(node)
        # As it is, it plays.
        assert play(agentgym.wrap(agent)).reply == "own"
        own.requests.clear()
        with pytest.raises(UsageError, match=r"^redirect\(\): the agent asks the-own"):
            play(agentgym.redirect(agent, policy.endpoint))
        assert not own.requests

    def test_a_client_that_is_recorded_is_named(self, servers: Any) -> None:
        from langchain_core.runnables import RunnableLambda
        from openai import OpenAI

        from agentgym.integrations.openai import record_openai

        own, policy = servers
        client = record_openai(OpenAI(base_url=own.base_url, api_key="none"))

        def node(message: Any) -> Any:
            messages: Any = [{"role": "user", "content": "Hello"}]
            answer = client.chat.completions.create(model="the-own", messages=messages)
            return answer.choices[0].message.content

        agent = langchain_model(own.endpoint) | RunnableLambda(node)
        with pytest.warns(UserWarning, match="asks the-own, which was not redirected"):
            run = play(agentgym.redirect(agent, policy.endpoint))
        models = [m.model for m in run.trajectory.model_calls]
        assert models == ["the-policy", "the-own"]

    def test_what_a_tool_asks_of_its_own_model_is_the_tool_s(
        self, servers: Any
    ) -> None:
        from langchain.agents import create_agent
        from openai import OpenAI

        own, _ = servers
        hidden = OpenAI(base_url=own.base_url, api_key="none")

        def translate(text: str) -> str:
            """Translates."""
            messages: Any = [{"role": "user", "content": text}]
            answer = hidden.chat.completions.create(model="the-own", messages=messages)
            return str(answer.choices[0].message.content)

        script = [call("translate", text="ja"), say("Done.")]
        with ScriptedModel(script, name="the-policy") as policy:
            agent = create_agent(langchain_model(own.endpoint), [translate])
            run = play(agentgym.redirect(agent, policy.endpoint))
        assert run.calls[0].result == "own"
        assert {m.model for m in run.trajectory.model_calls} == {"the-policy"}


def test_an_agent_that_swallows_the_sentence_gets_no_further(servers: Any) -> None:
    """AutoGen, Agent Framework and others make exceptions of their own."""
    from openai import OpenAI

    own, policy = servers

    class Desk:
        def run(self, message: str) -> str:
            messages: Any = [{"role": "user", "content": message}]
            client = OpenAI(base_url=own.base_url, api_key="none")
            try:
                client.chat.completions.create(model="the-own", messages=messages)
            except Exception:  # noqa: BLE001 - as agents do
                return "never mind"
            return "asked"

    agent = agentgym.wrap(Desk())
    agent._policy = policy.endpoint
    with pytest.raises(UsageError, match=r"redirect\(\): the agent asks the-own"):
        play(agent)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert play(agentgym.wrap(Desk())).reply == "asked"
