"""Every framework's adapter tells the same trajectory of the same model's behaviour."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

import agentgym
from agentgym.errors import classify
from agentgym.recorder import Recorder
from agentgym.testing import ScriptedModel, call, error, malformed, say
from tests.framework_agents import MAKERS, is_there, make

pytestmark = [
    pytest.mark.slow,
    # Of the frameworks, not of ours.
    pytest.mark.filterwarnings("ignore"),
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
        ends_in=frozenset({"shipped"}),
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
        fault = self.error or self.recorder.infra_failure
        if fault is None:
            return "passed"
        return classify(fault, recorder=self.recorder).value

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
    framework: str, script: Any, *messages: str, max_tool_calls: int | None = None
) -> Played:
    with ScriptedModel(script) as model:
        agent = agentgym.wrap(make(framework, model.endpoint))
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
        [told] = played.steps
        assert [ask[:2] for ask in told] == [ask[:2] for ask in wanted.steps[0]]
        assert {ask[2] for ask in told} <= {"refused", "not told"}
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
        assert not own.requests
        assert policy.requests[0]["model"] == "scripted"
        # Only in the redirected agent's own runs: others can share the object.
        plain = agentgym.wrap(make(framework, own.endpoint))
        with Recorder().activate():
            assert plain.run("Where is it now, please?").reply == "own model"
