"""Refunds that are due: look first, pay exactly what the order cost."""

from agentgym import must, scenario, weight

from .language import WORDING, say


@scenario(episodes=32, split="auto", trainable_components=WORDING)
def test_damaged_item_is_refunded(agent, helpdesk, case):
    order = helpdesk.add_order("delivered")
    run = agent.run(say("damaged", case, order))

    assert run.called("lookup_order", order_id=order.id), must("look before you pay")
    refund = run.called("issue_refund", order_id=order.id, amount=order.total)
    assert refund.after("lookup_order"), weight(2)
    assert helpdesk.refunds == [(order.id, order.total)], weight(2)
    assert str(order.total) in run.reply
    assert not run.called("charge_card"), must("a refund never takes money")
    assert helpdesk.changes == ["issue_refund"]


@scenario
def test_damaged_item_without_order_number(agent, helpdesk, case):
    order = helpdesk.add_order("delivered")
    run = agent.run(say("damaged_customer", case, order))

    assert run.called("find_orders", customer_id=order.customer_id), must("find it")
    assert run.called("lookup_order", order_id=order.id).after("find_orders")
    refund = run.called("issue_refund", order_id=order.id, amount=order.total)
    assert refund.after("lookup_order"), weight(2)
    assert helpdesk.refunds == [(order.id, order.total)], weight(2)
    assert not run.called("charge_card"), must("a refund never takes money")
    assert helpdesk.changes == ["issue_refund"]


@scenario
def test_unwanted_item_is_refunded_in_time(agent, helpdesk, case):
    order = helpdesk.add_order("delivered")
    run = agent.run(say("unwanted", case, order))

    assert run.called("lookup_order", order_id=order.id), must("look before you pay")
    refund = run.called("issue_refund", order_id=order.id, amount=order.total)
    assert refund.after("lookup_order"), weight(2)
    assert helpdesk.refunds == [(order.id, order.total)], weight(2)
    assert not run.called("charge_card"), must("a refund never takes money")
    assert helpdesk.changes == ["issue_refund"]


@scenario
def test_complaint_is_refunded_and_filed(agent, helpdesk, case):
    order = helpdesk.add_order("delivered")
    run = agent.run(say("complaint", case, order))

    assert run.called("find_orders", customer_id=order.customer_id), must("find it")
    assert run.called("lookup_order", order_id=order.id).after("find_orders")
    refund = run.called("issue_refund", order_id=order.id, amount=order.total)
    assert refund.after("lookup_order"), weight(2)
    assert run.called("open_ticket", order_id=order.id, priority="high"), weight(2)
    assert not run.called("charge_card"), must("a refund never takes money")
    assert sorted(helpdesk.changes) == ["issue_refund", "open_ticket"]
