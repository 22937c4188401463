"""An agent that stops to ask a person: what counts, what is said, how it goes on."""

from __future__ import annotations

from typing import cast

import pytest

from agentgym.report.markdown import markdown
from agentgym.runs.summary_json import SummaryJson

pytestmark = [pytest.mark.slow]

CONFTEST = """
import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from agentgym.testing import ScriptedModel, call, say

@pytest.fixture(scope="session")
def server():
    with ScriptedModel([call("send", to="the shop"), say("I sent it.")]) as model:
        yield model

@pytest.fixture
def sent():
    return []

@pytest.fixture
def agent(server, sent):
    def send(to: str) -> str:
        "Send a letter."
        sent.append(to)
        return "sent"

    model = ChatOpenAI(
        base_url=server.base_url, api_key="none", model=server.name, max_retries=0
    )
    person = HumanInTheLoopMiddleware(interrupt_on={"send": True})
    return create_agent(
        model, [send], middleware=[person], checkpointer=InMemorySaver()
    )
"""

WAITS = """
from agentgym import scenario

@scenario(episodes=4)
def test_letter(agent, sent):
    run = agent.run("Write to the shop, please.")
    assert run.called("send", to="the shop")
    assert run.called("send", to="the shop").requested()
    assert run.interrupted and [call.name for call in run.waiting] == ["send"]
    assert not sent
"""


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_a_call_that_waits_is_not_made(gym, workers):
    gym.conftest(CONFTEST)
    gym.file(WAITS)
    result = gym.start(*workers, plugins=("xdist",) if workers else ())
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*test_letter*0/4 *",
            "*calls*waiting*",
            "  send      4        -      0 *4       -    -",
            "*- interrupts -*",
            "4 of 4 episodes of test_letter ended at an interrupt: *",
            "*agent.approve(), agent.reject() or agent.run(resume=...)",
            "*failed in 4 of 4 episodes*",
            "E   assert called send(to='the shop'): no; calls: send(to='the shop') <-*",
            "*-> (waits for a person)",
        ]
    )
    summary = gym.summary()
    [tool] = summary["tools"]
    assert (tool["calls"], tool["correct"], tool["waiting"]) == (4, 0, 4)
    assert tool["correct_rate"]["value"] is None
    assert summary["scenarios"][0]["waiting"] == 4
    failed = {c["text"]: c["failed"] for c in summary["scenarios"][0]["checks"]}
    assert sorted(failed.values()) == [0, 0, 0, 4]
    for episode in gym.episodes():
        call = episode["trajectory"]["steps"][0]["tool_calls"][0]
        assert (call["approval"], call["executed"]) == ("waiting", False)
        [interrupt] = episode["trajectory"]["interrupts"]
        assert interrupt["answer"] is None
        assert interrupt["value"]["action_requests"][0]["name"] == "send"
    told = markdown(cast("SummaryJson", summary))
    assert "| waiting |" in told
    assert "At an interrupt, waiting for a person: 4 episodes." in told


ANSWERED = """
from agentgym import scenario

@scenario(episodes=3)
def test_approved(agent, sent):
    run = agent.run("Write to the shop, please.")
    assert not run.called("send") and not sent
    run = agent.approve()
    assert run.called("send", to="the shop")
    assert sent == ["the shop"] and run.reply == "I sent it."
    assert not run.interrupted and not run.waiting

@scenario(episodes=3)
def test_rejected(agent, sent):
    agent.run("Write to the shop, please.")
    run = agent.reject("write to nobody")
    assert not run.called("send") and not sent
    assert run.called("send").requested()
    assert "write to nobody" in run.calls[0].error

@scenario(episodes=3)
def test_edited(agent, sent):
    agent.run("Write to the shop, please.")
    edit = {"name": "send", "args": {"to": "the bank"}}
    run = agent.run(resume={"decisions": [{"type": "edit", "edited_action": edit}]})
    assert run.called("send", to="the bank") and sent == ["the bank"]

@scenario(episodes=3)
async def test_awaited(agent, sent):
    await agent.run("Write to the shop, please.")
    run = await agent.approve()
    assert run.called("send") and sent
"""


def test_a_person_s_answer_goes_on_in_the_same_episode(gym):
    gym.conftest(CONFTEST)
    gym.file(ANSWERED)
    result = gym.start()
    result.assert_outcomes(passed=4)
    result.stdout.no_fnmatch_line("*interrupts*")
    summary = gym.summary()
    [tool] = summary["tools"]
    assert (tool["calls"], tool["correct"], tool["waiting"]) == (12, 12, 0)
    found = {}
    for episode in gym.episodes():
        trajectory = episode["trajectory"]
        call = trajectory["steps"][0]["tool_calls"][0]
        answer = trajectory["interrupts"][0]["answer"]
        found[episode["scenario"].rpartition("::")[2]] = (call["approval"], answer)
        # One conversation: the user spoke once.
        assert [m["role"] for m in trajectory["messages"]].count("user") == 1
    assert found["test_approved"] == found["test_awaited"] == ("approved", "approved")
    assert found["test_rejected"] == ("rejected", "rejected: write to nobody")
    assert found["test_edited"][0] == "approved"


MISUSED = """
from agentgym import scenario

@scenario(episodes=2)
def test_spoken_to(agent):
    agent.run("Write to the shop, please.")
    run = agent.run("Did you?")
    assert run.reply

@scenario(episodes=2)
def test_nobody_waits(agent):
    agent.run("Write to the shop, please.")
    agent.approve()
    run = agent.approve()
    assert run.reply

@scenario(episodes=2)
def test_said_in_turn(agent):
    run = agent.run(["Write to the shop, please.", "Did you?"])
    assert [m["content"] for m in run.messages if m["role"] == "user"] == [
        "Write to the shop, please."
    ]
"""


def test_what_the_agent_does_instead_is_its_own_doing(gym):
    """Whether it waits is up to the agent: no reason to end the run."""
    gym.conftest(CONFTEST)
    gym.file(MISUSED)
    result = gym.start()
    assert result.ret == 1
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines_random(
        [
            "*agent.run(): the agent waits for a person: go on with agent.approve(),*",
            "*agent.approve(): the agent waits for nobody*",
        ]
    )
