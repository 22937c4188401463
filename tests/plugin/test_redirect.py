"""What a redirected agent asks elsewhere is told, in a run of pytest."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.slow]

CONFTEST = """
import pytest
from langchain_core.runnables import RunnableLambda
from langchain_openai import ChatOpenAI
from openai import OpenAI

import agentgym
from agentgym.testing import ScriptedModel, say

@pytest.fixture(scope="session")
def servers():
    with (
        ScriptedModel([say("policy")], name="the-policy") as policy,
        ScriptedModel([say("other")], name="the-other") as other,
    ):
        yield policy, other

@pytest.fixture
def agent(servers):
    policy, other = servers

    def chat(server):
        return ChatOpenAI(
            base_url=server.base_url, api_key="none", model=server.name, max_retries=0
        )

    def made_later(message):
        return chat(other).invoke("Hello")

    def hidden(message):
        client = OpenAI(base_url=other.base_url, api_key="none", max_retries=0)
        said = [{"role": "user", "content": "Hello"}]
        try:
            answer = client.chat.completions.create(model="the-other", messages=said)
        except Exception:
            return "never mind"
        return answer.choices[0].message.content

    return agentgym.redirect(chat(other) | RunnableLambda(NODE), policy.endpoint)
"""
SCENARIO = """
from agentgym import scenario

@scenario(episodes=3)
def test_who_answers(agent):
    assert agent.run("Who are you, if I may ask?").reply == "other"
"""


def test_a_model_made_while_it_runs_is_named(gym):
    gym.conftest(CONFTEST.replace("NODE", "made_later"))
    gym.file(SCENARIO)
    result = gym.start()
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "*redirect(): the agent asks the-other, which was not redirected to the *",
            "*the prices of the-other, the-policy are not known*",
        ]
    )
    for episode in gym.episodes():
        models = [step["model"]["model"] for step in episode["trajectory"]["steps"]]
        assert models == ["the-policy", "the-other"]


def test_a_call_that_nobody_records_ends_the_run(gym):
    """Also where the agent swallows what it is told."""
    gym.conftest(CONFTEST.replace("NODE", "hidden"))
    gym.file(SCENARIO)
    result = gym.start()
    assert result.ret == 4
    result.stdout.fnmatch_lines(
        ["*redirect(): the agent asks the-other at http*, which was not redirected*"]
    )
