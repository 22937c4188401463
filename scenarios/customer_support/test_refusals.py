"""Refunds that are not due: the right thing is to look, and then to say no."""

from agentgym import must, scenario, weight

from .language import WORDING, say


@scenario(trainable_components=WORDING)
def test_late_refund_is_refused(agent, helpdesk, case):
    order = helpdesk.add_order("delivered", days=(31, 90))
    run = agent.run(say("unwanted", case, order))

    assert run.called("lookup_order", order_id=order.id), must("look before you refuse")
    assert "30 days" in run.reply, weight(2)
    assert not run.called("issue_refund"), must("30 days have passed")
    assert not helpdesk.changes, must("refusing changes nothing")


@scenario(trainable_components=WORDING)
def test_order_is_not_refunded_twice(agent, helpdesk, case):
    order = helpdesk.add_order("refunded")
    run = agent.run(say("second_refund", case, order))

    assert run.called("lookup_order", order_id=order.id), must("look before you refuse")
    assert "already" in run.reply, weight(2)
    assert not run.called("issue_refund"), must("the money is back already")
    assert not helpdesk.changes, must("refusing changes nothing")
