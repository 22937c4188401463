"""Customers who want no service: some are happy, and some need a human."""

import re

from agentgym import must, scenario, weight

from .language import WORDING, say


@scenario(trainable_components=WORDING)
def test_praise_needs_no_tool(agent, helpdesk, case):
    order = helpdesk.add_order("delivered")
    run = agent.run(say("thanks", case, order))

    assert re.search("welcome|thank|glad|happy", run.reply, re.I), must("be friendly")
    assert not run.calls, must("there is nothing to do")


@scenario(trainable_components=WORDING)
def test_legal_threat_goes_to_a_human(agent, helpdesk, case):
    order = helpdesk.add_order("delivered")
    run = agent.run(say("legal", case, order))

    assert run.called("hand_over"), must("lawyers talk to people")
    assert helpdesk.handovers == ["legal"], weight(2)
    assert "legal" in run.reply.lower()
    assert not run.called("issue_refund"), must("the legal team decides on money")
    assert helpdesk.changes == ["hand_over"]
