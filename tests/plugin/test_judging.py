"""Judges and simulated users in real runs, with scripted models in their place."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import pytest

from agentgym.simulators import client
from agentgym.testing import ScriptedModel, error, say
from tests.paying_agent import PAYING_AGENT

# Imported here, or each run within this process would import it again.
pytest.importorskip("openai")

JUDGED = """
    import agentgym
    from agentgym import judge, must, scenario, weight

    @scenario(episodes=6)
    def test_sync(agent, case):
        run = agent.run(f"look_up=7 case {case.index % 3}")
        assert run.called("look_up", order="7")
        assert judge(run, "the agent looks the order up"), weight(2)
        assert not judge(run, "the agent is rude"), must("be kind")

    @scenario(episodes=6)
    async def test_async(agent):
        run = await agent.run("look_up=8")
        assert await judge(run, "the agent looks the order up")
        assert await agentgym.judge("the agent names the amount"), weight(3)
"""
CHAT = """
    from agentgym import Scenario, SimulatedUser, scenario

    @scenario(episodes=3)
    def test_sync(agent):
        run = agent.chat(user=SimulatedUser("You want money for order 7."))
        assert run.called("look_up", order="7")
        assert run.called("refund", order="7").after("look_up")

    @scenario(episodes=3)
    async def test_async(agent):
        run = await agent.chat("hi", user=SimulatedUser("For order 7.", max_turns=2))
        said = [m["content"] for m in run.messages]
        assert said == ["hi", "hi", "refund=7", "refund=7"]

    class TestClass(Scenario):
        episodes = 3
        judged = True

        def play(self, agent):
            run = agent.chat(user=lambda reply: None if reply else "look_up=7")
            assert run.called("look_up").times(1)
"""


def answer(request: dict[str, Any]) -> str:
    """A judge that finds the words of the criterion, and a user with two wishes."""
    messages = request["messages"]
    said = messages[0]["content"]
    if said.startswith("You play"):
        turn = sum(m["role"] == "assistant" for m in messages)
        words = ["look_up=7", "refund=7", "Thanks."]
        return json.dumps({"message": words[turn], "done": turn == 2})
    passed = said.endswith("looks the order up") and "look_up" in messages[1]["content"]
    reason = "It looked." if passed else "There is no such thing."
    return json.dumps({"reason": reason, "pass": passed})


@pytest.fixture
def model():
    with ScriptedModel(answer, name="wise") as model:
        yield model


@pytest.fixture(autouse=True)
def _no_retries(monkeypatch):
    monkeypatch.setattr(client, "RETRIES", 0)


def option(model: ScriptedModel, name: str = "judge") -> str:
    return f"--agentgym-{name}={model.base_url}#{model.name}"


def said(result: pytest.RunResult) -> str:
    """All output of a run; there is never a traceback in it."""
    text = " ".join((result.stdout.str() + result.stderr.str()).split())
    assert "Traceback" not in text
    assert "INTERNALERROR" not in text
    return text


def check_judged(gym, result, *, cached):
    """What the two scenarios of `JUDGED` come to."""
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "* test_sync * 6/6 *",
            "* test_async * 0/6 *",
            "assert await agentgym.judge(*the agent names the amount*)",
            "E   assert <judge: no, There is no such thing.>",
            "*- judges and simulated users -*",
            f"judged by wise: 24 verdicts, {cached} from the cache; *tokens",
            "  test_it.py::test_async",
            "  test_it.py::test_sync",
            "*- verdict -*",
        ]
    )
    judge = gym.summary()["simulators"]["judge"]
    assert judge["models"] == ["wise"]
    assert (judge["verdicts"], judge["cached"]) == (24, cached)
    assert judge["scenarios"] == ["test_it.py::test_async", "test_it.py::test_sync"]
    assert gym.summary()["simulators"]["user"] is None
    first = gym.episodes()[0]
    assert first["reward"] == 0.25
    assert [v["pass"] for v in first["simulators"]["judge"]["verdicts"]] == [
        True,
        False,
    ]
    assert first["tokens"] == 0


def test_checks_that_are_judged(gym, model):
    gym.file(JUDGED)
    result = gym.run(option(model))
    # Three different conversations and two criteria; then one and two.
    check_judged(gym, result, cached=16)
    assert len(model.requests) == 8
    result = gym.run(option(model))
    check_judged(gym, result, cached=24)
    result.stdout.fnmatch_lines(["judged by wise: * 24 from the cache; 0 tokens"])
    assert len(model.requests) == 8


PAID_AND_JUDGED = """
    from agentgym import judge, scenario

    @scenario(episodes={episodes})
    def test_paid(agent, case):
        run = agent.run(f"7 case {{case.index}}")
        assert judge(run, "the agent looks the order up")
"""


@pytest.mark.parametrize("workers", [[], ["-n2"]])
def test_the_judges_tokens_are_paid_and_told(gym, model, workers):
    gym.conftest(PAYING_AGENT)
    gym.file(PAID_AND_JUDGED.format(episodes=8))
    result = gym.start(
        *(option(model), "--agentgym-price=gpt-4o=1/10", "--agentgym-price=wise=2/5"),
        *("--junitxml=junit.xml", *workers),
        plugins=("xdist",) if workers else (),
    )
    assert result.ret == 0
    cost = gym.summary()["cost"]
    calls = [c for e in gym.episodes() for c in e["simulators"]["judge"]["calls"]]
    assert len(calls) == 8
    judges = cost["judges"]
    assert judges["input_tokens"] == sum(prompt for prompt, _ in calls) > 2000
    assert judges["output_tokens"] == sum(written for _, written in calls)
    usd = (2 * judges["input_tokens"] + 5 * judges["output_tokens"]) / 1e6
    assert judges["usd"] == pytest.approx(usd)
    assert cost["usd"] == pytest.approx(0.016)
    assert cost["total"]["usd"] == pytest.approx(0.016 + usd)
    result.stdout.fnmatch_lines(
        [
            "8,000 tokens in, 800 out in 8 episodes: $0.016, *",
            f"judges and simulated users: {judges['input_tokens']:,} tokens in, *",
            "judged by wise: 8 verdicts, 0 from the cache; *",
        ]
    )
    root = ElementTree.parse(gym.pytester.path / "junit.xml").getroot()
    told = {p.get("name"): p.get("value") for p in root.iter("property")}
    assert told["agentgym_judge"] == "wise"
    assert "agentgym_user" not in told
    assert told["agentgym_input_tokens"] == "8000"
    assert float(told["agentgym_usd"]) == pytest.approx(0.016)
    assert told["agentgym_judges_input_tokens"] == str(judges["input_tokens"])
    assert float(told["agentgym_judges_usd"]) == pytest.approx(usd, abs=1e-6)


@pytest.mark.parametrize(
    ("limit", "value"), [("max-tokens", "5000"), ("max-cost", "0.005")]
)
def test_the_judges_tokens_count_for_the_limits(gym, model, limit, value):
    # The agent alone would take 60 tokens.
    gym.conftest(
        PAYING_AGENT.replace("think(400, 40", "think(1, 0").replace("00, 60", "0, 0")
    )
    gym.file(PAID_AND_JUDGED.format(episodes=400))
    prices = ("--agentgym-price=gpt-4o=0/0", "--agentgym-price=wise=1/1")
    options = (f"--agentgym-{limit}={value}", "--agentgym-concurrency=1")
    result = gym.run(option(model), *prices, *options)
    assert result.ret == 2
    # Quick ones are told in batches of 64.
    assert 2 < len(gym.episodes()) < 200
    assert f"of --agentgym-{limit} {value} are" in gym.summary()["stopped"]


def test_a_limit_needs_the_judges_prices_and_tokens(gym, model, monkeypatch):
    gym.file(PAID_AND_JUDGED.format(episodes=40))
    result = gym.run(option(model), "--agentgym-max-cost=5")
    assert result.ret == 4
    sentence = "--agentgym-max-cost cannot be kept: the price of wise is not known"
    assert sentence in said(result)
    reads = client.ChatModel._read
    monkeypatch.setattr(
        client.ChatModel,
        "_read",
        lambda self, told: replace(reads(self, told), usage=(None, None)),
    )
    shutil.rmtree(gym.pytester.path / ".agentgym" / "judge")
    result = gym.run(option(model), "--agentgym-max-tokens=5000")
    assert result.ret == 4
    assert (
        "--agentgym-max-tokens cannot be kept: the server of the judge or the "
        "simulated user does not report tokens"
    ) in said(result)


def test_xdist_workers_share_the_cache(gym, model, monkeypatch):
    monkeypatch.setenv("AGENTGYM_JUDGE_KEY", "k")
    gym.file(JUDGED)
    result = gym.pytester.runpytest_subprocess(
        *gym.arguments(option(model), "-n2", plugins=("xdist",))
    )
    check_judged(gym, result, cached=16)
    # What they found out is there for others, too.
    check_judged(gym, gym.run(option(model)), cached=24)
    assert len(model.requests) == 8


def test_64_in_flight(gym, model):
    model.delay = 1
    gym.file("""
        from agentgym import judge, scenario

        @scenario(episodes=64)
        def test_sync(agent, case):
            run = agent.run(f"look_up=7 {case.index}")
            assert judge(run, "the agent looks the order up")

        @scenario(episodes=64)
        async def test_async(agent, case):
            run = await agent.run(f"look_up=7 async {case.index}")
            assert await judge(run, "the agent looks the order up")
    """)
    result = gym.run(option(model), "--agentgym-concurrency=64")
    assert result.ret == 0
    assert len(model.requests) == 128
    # One after the other they would take 128 s.
    assert gym.summary()["seconds"] < 60
    episodes = gym.episodes()
    assert len({json.dumps(e["trajectory"]) for e in episodes}) == 128
    assert all(e["outcome"] == "passed" for e in episodes)


def test_simulated_users(gym, model):
    gym.file(CHAT)
    with ScriptedModel(answer, name="shy") as shy:
        result = gym.run(option(model), option(shy, "user"))
    assert result.ret == 0
    assert len(shy.requests) == 12
    assert len(model.requests) == 0
    result.stdout.fnmatch_lines(
        [
            "*- judges and simulated users -*",
            "user simulated by shy: 12 messages; * tokens",
            "  test_it.py::test_async",
            "  test_it.py::test_sync",
            "*- verdict -*",
        ]
    )
    summary = gym.summary()
    assert summary["simulators"]["judge"] is None
    assert summary["simulators"]["undeclared"] == [
        "test_it.py::test_async",
        "test_it.py::test_sync",
    ]
    [first, *_] = [e for e in gym.episodes() if "test_sync" in e["scenario"]]
    assert [m["content"] for m in first["trajectory"]["messages"]] == [
        *("look_up=7", "look_up=7", "refund=7", "refund=7", "Thanks."),
    ]
    user = first["simulators"]["user"]
    assert (user["model"], user["messages"], user["done"]) == ("shy", 2, True)
    seeds = {e["case"]["seed"] for e in gym.episodes()} & {
        request["seed"] for request in shy.requests
    }
    assert len(seeds) == 6


def test_the_user_may_be_the_judges_model(gym, model):
    gym.file(CHAT)
    assert gym.start(option(model), "-n2", plugins=("xdist",)).ret == 0
    assert len(model.requests) == 12


@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        (error(429, "slow down"), "answered 429: slow down"),
        (say("It is fine."), "gave no verdict, but said 'It is fine.'"),
        (None, "is not reachable: "),
    ],
)
def test_a_judge_without_a_verdict_is_no_failed_check(gym, reply, sentence):
    gym.file(JUDGED)
    with ScriptedModel(lambda _: reply, name="wise") as model:
        place = option(model)
        if reply is None:
            model.stop()
        result = gym.run(place)
    assert result.ret == 6
    text = said(result)
    assert "CANNOT JUDGE: 12 of 12 episodes do not count" in text
    assert "12 x simulator_error: the simulated user or judge: check that it" in text
    assert "SimulatorError: the judge wise at http://127.0.0.1:" in text
    assert sentence in text
    assert gym.summary()["episodes"]["simulator_error"] == 12
    assert {e["reward"] for e in gym.episodes()} == {0.0}


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("judge=http://x/v1", "--agentgym-judge http://x/v1: say which model, as in"),
        ("user=http://x/v1#", "--agentgym-user http://x/v1#: say which model, as in"),
        ("judge=gpt", "--agentgym-judge gpt: give the URL of an OpenAI-compatible"),
    ],
)
def test_option_values(gym, value, sentence):
    gym.file(JUDGED)
    result = gym.run(f"--agentgym-{value}")
    assert result.ret == 4
    assert sentence in said(result)


@pytest.mark.parametrize(
    ("body", "options", "sentence"),
    [
        (
            "assert judge(agent.run('hi'), 'polite')",
            (),
            "test_it.py::test_a: judge(...) asks a model of yours: give "
            "--agentgym-judge URL#MODEL, and its key",
        ),
        (
            "assert judge(agent.run('hi'), 'polite')",
            ("user",),
            "test_it.py::test_a: judge(...) asks a model of yours: give --agentgym-j",
        ),
        (
            "assert agent.chat(user=SimulatedUser('x')).reply",
            (),
            "test_it.py::test_a: SimulatedUser(...) speaks with a model of yours: give "
            "--agentgym-user URL#MODEL, or --agentgym-judge URL#MODEL for both",
        ),
        (
            "assert ask(agent.run('hi'))",
            (),
            "test_it.py::test_a: judge(...) asks a model of yours",
        ),
        (
            "assert judge(agent.run('hi'), ' ')",
            ("judge",),
            "judge(' '): the criterion is empty; say what must be true",
        ),
    ],
)
def test_what_is_missing(gym, model, body, options, sentence):
    gym.file(f"""
        from agentgym import SimulatedUser, judge, scenario

        def ask(run):
            return judge(run, "polite")

        @scenario(episodes=2)
        def test_a(agent):
            {body}
    """)
    result = gym.run(*(option(model, name) for name in options))
    assert result.ret == 4
    assert sentence in said(result)


def test_an_await_that_is_forgotten(gym, model):
    gym.file("""
        from agentgym import judge, scenario

        @scenario(episodes=2)
        async def test_a(agent):
            assert judge(await agent.run("hi"), "polite")
    """)
    result = gym.run(option(model))
    assert result.ret == 4
    assert "judge('polite'): in an async scenario write `await judge(...)`" in said(
        result
    )


def test_a_mark_that_is_none(gym):
    gym.file(JUDGED.replace("episodes=6", "judged='yes'"))
    result = gym.run()
    assert result.ret == 2
    assert "judged='yes': give True if a judge or a simulated user" in said(result)


TRAINED = """
    from agentgym import SimulatedUser, judge, scenario

    def ask(run):
        return judge(run, "the agent looks the order up")

    @scenario(episodes=2{setting})
    def test_a(agent):
        {body}
"""


@pytest.mark.parametrize(
    ("body", "who"),
    [
        ("assert judge(agent.run('look_up=7'), 'x')", "a judge"),
        ("assert agent.chat(user=SimulatedUser('x')).reply", "a simulated user"),
        # Seen only when it is played.
        ("assert ask(agent.run('look_up=7'))", "a judge"),
    ],
)
def test_no_training_learns_silently_from_a_judge(gym, model, monkeypatch, body, who):
    pytest.importorskip("agentgym.training.hub.gateway")._Lightning.load()
    gym.file(TRAINED.format(setting="", body=body))
    options = ("--train", option(model))
    result = gym.run(*options, plugins=("scripted_trainer",))
    assert result.ret == 4
    text = said(result)
    assert (
        f"test_it.py::test_a: {who} takes part in its rewards: write "
        "@scenario(judged=True), in a class `judged = True`, to say that a training "
        "may learn from them, or leave the scenario out with -k"
    ) in text
    assert len(model.requests) == 0


def test_a_training_that_is_judged_and_says_so(gym, model):
    pytest.importorskip("agentgym.training.hub.gateway")._Lightning.load()
    body = "assert ask(agent.run('look_up=7'))"
    gym.file(TRAINED.format(setting=", judged=True", body=body))
    result = gym.run("--train", option(model), plugins=("scripted_trainer",))
    assert result.ret == 0
    result.stdout.fnmatch_lines(["judged by wise: * verdicts, * from the cache; *"])
    assert gym.summary()["simulators"]["undeclared"] == []
    assert len(model.requests) == 1
