"""Which tool a customer needs, with numbers copied, and with a result used."""

from agentgym import must, scenario

WHERE = (
    "Where is my order {}?",
    "Has order {} been sent?",
    "Please check order {} for me.",
    "I am waiting for order {}. Where is it?",
)
CANCEL = (
    "Please cancel order {}.",
    "I do not want order {} any more.",
    "Stop order {}, I have changed my mind.",
    "Order {} was a mistake, cancel it.",
)
PAY_BACK = (
    "Please pay back {} for order {}.",
    "A colleague promised me {} back for order {}.",
    "I was charged {} twice for order {}. Refund it once.",
    "You owe me {} for order {}.",
)
REFUND = (
    "Order {} arrived broken. I want my money back.",
    "Please refund order {}.",
    "Order {} never came. Pay me back.",
    "I sent order {} back and want my money.",
)


@scenario(episodes=32, split="auto")
def test_looks_up(agent, shop, case):
    run = agent.run(case.rng.choice(WHERE).format(shop.order))

    assert run.called("look_up")
    assert run.called("look_up", order=shop.order).times(1)
    assert not shop.refunds, must("nobody asked for money")
    assert not shop.cancelled, must("nobody wants it cancelled")
    assert len(run.calls) == 1


@scenario(episodes=32, split="auto")
def test_cancels(agent, shop, case):
    run = agent.run(case.rng.choice(CANCEL).format(shop.order))

    assert run.called("cancel")
    assert shop.cancelled == [shop.order]
    assert not shop.refunds, must("nobody asked for money")


@scenario(episodes=32, split="auto")
def test_refunds_what_is_asked_for(agent, shop, case):
    text = case.rng.choice(PAY_BACK)
    run = agent.run(text.format(shop.cost, shop.order))

    assert run.called("refund")
    assert run.called("refund", order=shop.order)
    assert run.called("refund", amount=shop.cost)
    assert shop.refunds == [(shop.order, shop.cost)]
    assert not shop.cancelled, must("nobody wants it cancelled")


@scenario(episodes=32, split="auto")
def test_refunds_what_it_cost(agent, shop, case):
    run = agent.run(case.rng.choice(REFUND).format(shop.order))

    assert run.called("look_up", order=shop.order)
    assert run.called("refund").after("look_up")
    assert run.called("refund", order=shop.order)
    assert shop.refunds == [(shop.order, shop.cost)]
    assert not shop.cancelled, must("nobody wants it cancelled")
