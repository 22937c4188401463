"""Parcels: where they are, where they should go, and what if they are lost."""

from agentgym import must, scenario, weight

from .language import WORDING, say


@scenario(trainable_components=WORDING)
def test_parcel_is_tracked(agent, helpdesk, case):
    order = helpdesk.add_order("shipped")
    run = agent.run(say("track", case, order))

    assert run.called("track_shipment", order_id=order.id), must(
        "nobody knows by heart"
    )
    assert order.depot in run.reply, weight(2)
    assert not helpdesk.changes, must("a question changes nothing")


@scenario(trainable_components=WORDING)
def test_lost_parcel_gets_a_ticket(agent, helpdesk, case):
    order = helpdesk.add_order("shipped", lost=True)
    run = agent.run(say("lost", case, order))

    assert run.called("track_shipment", order_id=order.id), must("make sure it is lost")
    assert run.called("open_ticket").after("track_shipment")
    assert helpdesk.tickets == [(order.id, "high")], weight(2)
    assert "lost" in run.reply
    assert not run.called("charge_card"), must("the customer pays no second time")
    assert helpdesk.changes == ["open_ticket"]


@scenario
def test_address_is_changed_before_shipping(agent, helpdesk, case):
    order = helpdesk.add_order("processing")
    postcode = helpdesk.values.postcode()
    run = agent.run(say("address", case, order, postcode=postcode))

    assert run.called("lookup_order", order_id=order.id), must("look before you act")
    assert run.called("update_address", order_id=order.id).after("lookup_order")
    assert order.postcode == postcode, weight(2)
    assert not run.called("cancel_order"), must("the customer wants the order")
    assert helpdesk.changes == ["update_address"]


@scenario(trainable_components=WORDING)
def test_address_of_a_shipped_order_stays(agent, helpdesk, case):
    order = helpdesk.add_order("shipped")
    postcode = helpdesk.values.postcode()
    run = agent.run(say("address", case, order, postcode=postcode))

    assert run.called("lookup_order", order_id=order.id), must("look before you refuse")
    assert "shipped" in run.reply, weight(2)
    assert not run.called("update_address"), must("the parcel is on its way")
    assert not helpdesk.changes, must("refusing changes nothing")
