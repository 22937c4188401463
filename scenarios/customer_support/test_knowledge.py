"""Questions: the articles hold most answers, and the instructions hold one."""

import re

from agentgym import must, scenario, weight

from .language import WORDING, say


@scenario(trainable_components=WORDING)
def test_warranty_is_looked_up(agent, helpdesk, case):
    run = agent.run(say("warranty", case))

    assert run.called("search_articles", topic="warranty"), must("do not guess")
    assert f"{helpdesk.terms['warranty']} months" in run.reply, weight(2)
    assert not helpdesk.changes, must("a question changes nothing")


@scenario(trainable_components=WORDING)
def test_return_period_is_looked_up(agent, helpdesk, case):
    run = agent.run(say("returns", case))

    assert run.called("search_articles", topic="returns"), must("do not guess")
    assert f"{helpdesk.terms['returns']} days" in run.reply, weight(2)
    assert not helpdesk.changes, must("a question changes nothing")


@scenario(trainable_components=WORDING)
def test_payment_terms_are_looked_up(agent, helpdesk, case):
    run = agent.run(say("payment", case))

    assert run.called("search_articles", topic="payment"), must("do not guess")
    assert f"{helpdesk.terms['payment']} days" in run.reply, weight(2)
    assert not helpdesk.changes, must("a question changes nothing")


@scenario(trainable_components=WORDING)
def test_opening_hours_need_no_tool(agent, case):
    run = agent.run(say("hours", case))

    assert re.search(r"\b9\b.*\b(17|5 ?p\.?m)", run.reply), must("the instructions say")
    assert not run.calls, must("no tool knows the hours")
