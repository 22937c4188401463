"""Prices: the user's, the list's; tokens and money added up."""

from __future__ import annotations

import sys

import pytest

from agentgym.errors import UsageError
from agentgym.recording.trajectory import ModelCall, Step, Trajectory
from agentgym.report.cost import cost_section
from agentgym.runs.lines import Heading, dollars
from agentgym.runs.prices import Price, Prices, parse_price
from agentgym.runs.spending import Spending, per_passed
from agentgym.runs.summary import RunSummary
from tests.made_episodes import made_episode, made_row


@pytest.mark.parametrize(
    ("text", "model", "price"),
    [
        ("gpt-5=1.25/10", "gpt-5", Price(1.25, 10)),
        (" Qwen/Qwen3-8B=$0/$0 ", "Qwen/Qwen3-8B", Price(0, 0)),
        ("a=b=1/2", "a=b", Price(1, 2)),
        ("llama3.1:8b=.1/1e-1", "llama3.1:8b", Price(0.1, 0.1)),
    ],
)
def test_a_price(text, model, price):
    assert parse_price(text) == (model, price)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "gpt-5",
        "gpt-5=1",
        "=1/2",
        "m=1/2/3",
        "m=a/b",
        "m=-1/2",
        "m=nan/1",
        "m=1/inf",
    ],
)
def test_what_is_no_price(text):
    with pytest.raises(UsageError, match=r"give MODEL=IN/OUT.*such as gpt-5=1.25/10"):
        parse_price(text)


def test_own_prices_come_first():
    prices = Prices({"GPT-4o": Price(1, 2), "local-*": Price(0, 0)})
    assert prices.of("gpt-4o")(1_000_000, 500_000) == 2
    assert prices.of("local-qwen")(9, 9) == 0
    assert Prices(listed=False).of("gpt-4o") is None
    assert prices.source is None


def test_listed_prices():
    genai_prices = pytest.importorskip("genai_prices")
    prices = Prices()
    for model in ("gpt-4o", "openai/gpt-4o", "claude-sonnet-4-5", "gemini-2.5-pro"):
        for prompt in (1000, 199_999, 200_000, 200_001, 900_000):
            ours = prices.of(model)(prompt, 100)
            usage = genai_prices.Usage(input_tokens=prompt, output_tokens=100)
            theirs = genai_prices.calc_price(usage, model.removeprefix("openai/"))
            assert ours == pytest.approx(float(theirs.total_price))
    # Half a million tokens of prompt have a higher price each.
    long = prices.of("gemini-2.5-pro")
    assert long(500_000, 0) > 2 * long(190_000, 0) * 500 / 380
    assert prices.of("shop_v1.2") is None
    assert prices.source == f"genai-prices {genai_prices.__version__}"


def test_without_the_list(monkeypatch):
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    assert Prices().of("gpt-4o") is None


def episode(index, outcome="passed", *calls, **fields):
    steps = [
        Step(model=ModelCall(model=m, prompt_tokens=p, completion_tokens=c, error=e))
        for m, p, c, *rest in calls
        for e in (rest[0] if rest else None,)
    ]
    return made_episode(index, outcome, trajectory=Trajectory(steps=steps), **fields)


def summed(*episodes, **own):
    summary = RunSummary(threshold=0.5, prices=Prices(own, listed=False))
    for one in episodes:
        summary.add(one)
    return summary


def lines(summary, width=80):
    told = list(cost_section(summary, width))
    assert all(len(line.text) <= width for line in told)
    return [line.text for line in told if not isinstance(line, Heading)]


def test_what_a_passed_episode_takes_at_the_prices_of_others():
    looked = made_row("look", calls=3, correct=3)
    played = [
        episode(0, "passed", ("m", 1000, 100), tokens=1100, tools=[looked]),
        episode(1, "failed", ("m", 3000, 0), tokens=3000, tools=[looked]),
        episode(2, "passed", ("m", 0, 900), tokens=900),
        episode(3, "infra_error", ("m", 7000, 0), tokens=7000),
    ]
    prices = Prices({"GPT-5": Price(1, 10), "free": Price(0, 0)})
    assert per_passed(played, prices) == {
        "tokens": 2500,
        "tool_calls": 3,
        "usd": {"GPT-5": pytest.approx((0.004 + 0.01) / 2), "free": 0},
    }


def test_what_is_spent():
    summary = summed(
        episode(0, "passed", ("m", 1000, 100), ("m", 3000, 300)),
        # It failed, and so did a call, which told nothing.
        episode(1, "failed", ("m", 1000, 100), ("m", None, None, "OSError: x")),
        # It does not count, but is paid, as is what was tried before.
        episode(2, "infra_error", discarded=[["m", 2000, 0], ["m", 2000, 0]]),
        m=Price(1, 10),
    )
    cost = summary.to_json()["cost"]
    assert (cost["input_tokens"], cost["output_tokens"]) == (9000, 500)
    assert cost["usd"] == pytest.approx(0.009 + 0.005)
    assert cost["per_episode"]["input_tokens"] == 3000
    assert cost["per_passed"]["usd"] == pytest.approx(0.014)
    assert (cost["calls"], cost["silent_calls"]) == (5, 0)
    assert summary.to_json()["scenarios"][0]["cost"]["usd"] == cost["usd"]
    assert lines(summary) == [
        "               in/ep  out/ep  tok/pass     $/ep  $/pass",
        "scenarios/shop/test_refunds.py",
        "  test_refund   3000     167      9500  $0.0047  $0.014",
        "9,000 tokens in, 500 out in 3 episodes: $0.014, $0.014 per passed episode",
    ]


def test_an_unknown_price():
    summary = summed(
        episode(0, "passed", ("m", 1000, 0), ("new", 10, 1)),
        episode(1, "passed", ("new", 10, None), (None, 5, 5)),
        m=Price(1, 1),
    )
    cost = summary.to_json()["cost"]
    assert cost["usd"] is None
    assert cost["unpriced"] == {"new": 21, "a model without a name": 10}
    told = " ".join(lines(summary))
    assert "at least $0.0010" in told
    assert "the prices of a model without a name, new are not known: tokens" in told
    assert "--agentgym-price 'MODEL=IN/OUT'" in told


def test_calls_that_tell_no_tokens():
    summary = summed(
        episode(0, "passed", ("m", None, None), ("m", 5, 1)), m=Price(1, 1)
    )
    assert summary.to_json()["cost"]["usd"] is None
    assert "1 of 2 model calls reported no tokens: they are not counted" in lines(
        summary
    )


def test_a_local_policy_costs_nothing_whatever_its_models_name():
    spent = Spending()
    for policy in ("embedded", "/models/qwen", "shop_v1.0"):
        spent.add(episode(0, "passed", ("gpt-4o", 9, 1), policy=policy), Prices())
    assert (spent.known, spent.local, spent.tokens) == (0, 3, 30)
    # But electricity is not free for everybody.
    own = Prices({"gpt-4o": Price(1e6, 1e6)}, listed=False)
    spent.add(episode(0, "passed", ("gpt-4o", 9, 1), policy="embedded"), own)
    assert spent.known == 10
    hosted = episode(0, "passed", ("x", 9, 1), policy="http://host/v1#x")
    assert Prices(listed=False).of("x") is None
    spent.add(hosted, own)
    assert spent.known is None
    summary = summed(episode(0, "passed", ("tiny", 9, 1), policy="embedded"))
    assert "the policy runs on this machine and costs nothing" in lines(summary)


def judged(*calls, model="wise", role="judge"):
    told = {"model": model, "verdicts": [], "tokens": 0}
    if calls:
        told["calls"] = list(calls)
    return {role: told, "declared": True}


def test_judges_are_paid_apart():
    summary = summed(
        episode(
            0, "passed", ("m", 1000, 100), simulators=judged([2000, 10], [None, None])
        ),
        # A policy of this machine may have a judge that is none.
        episode(
            1,
            "passed",
            ("m", 1000, 100),
            policy="embedded",
            simulators=judged([500, 5], model="shy", role="user"),
        ),
        # Of a line that an older version wrote.
        episode(2, "passed", simulators=judged()),
        m=Price(1, 10),
        wise=Price(2, 0),
        shy=Price(0, 1000),
    )
    cost = summary.to_json()["cost"]
    judges = cost["judges"]
    assert (cost["input_tokens"], judges["input_tokens"]) == (2000, 2500)
    assert (judges["calls"], judges["silent_calls"], judges["local_calls"]) == (3, 1, 0)
    assert judges["usd"] is None
    assert judges["unpriced"] == {"wise": 0}
    assert cost["usd"] == pytest.approx(0.004)
    assert cost["total"] == {"input_tokens": 4500, "output_tokens": 215, "usd": None}
    assert cost["per_episode"]["input_tokens"] == pytest.approx(2000 / 3)
    assert summary.spent.all_usd == pytest.approx(0.004 + 0.009)
    assert summary.spent.all_tokens == 4715
    told = lines(summary, 100)
    assert (
        "judges and simulated users: 2,500 tokens in, 15 out: at least $0.0090; at "
        "least $0.013 with the"
    ) in told
    assert "1 of 5 model calls reported no tokens: they are not counted" in " ".join(
        told
    )


def test_only_a_judge_has_tokens():
    summary = summed(episode(0, "passed", simulators=judged([20, 1])))
    assert lines(summary)[0] == "judges and simulated users: 20 tokens in, 1 out"
    assert "the price of wise is not known: tokens only" in " ".join(lines(summary))


def test_nothing_is_said_without_tokens():
    assert lines(summed(episode(0, "passed"))) == []


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (None, "-"),
        (0, "$0"),
        (1234.5, "$1,234.50"),
        (0.5, "$0.50"),
        (0.0951, "$0.10"),
        (0.0949, "$0.095"),
        (0.01, "$0.010"),
        (0.000123, "$0.00012"),
    ],
)
def test_dollars(amount, text):
    assert dollars(amount) == text
