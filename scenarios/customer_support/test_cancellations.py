"""The same request, and only a look at the order shows whether it can be granted."""

from agentgym import must, scenario, weight

from .language import WORDING, say


@scenario
def test_order_in_processing_is_cancelled(agent, helpdesk, case):
    order = helpdesk.add_order("processing")
    run = agent.run(say("cancel", case, order))

    assert run.called("lookup_order", order_id=order.id), must("look before you act")
    assert run.called("cancel_order", order_id=order.id).after("lookup_order"), weight(
        2
    )
    assert order.status == "cancelled", weight(2)
    assert not run.called("charge_card"), must("cancelling costs nothing")
    assert helpdesk.changes == ["cancel_order"]


@scenario(trainable_components=WORDING)
def test_shipped_order_is_not_cancelled(agent, helpdesk, case):
    order = helpdesk.add_order("shipped")
    run = agent.run(say("cancel", case, order))

    assert run.called("lookup_order", order_id=order.id), must("look before you refuse")
    assert "shipped" in run.reply, weight(2)
    assert not run.called("cancel_order"), must("a parcel cannot be called back")
    assert not helpdesk.changes, must("refusing changes nothing")
