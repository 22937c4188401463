"""Does the agent look where a parcel is before it answers?"""

from agentgym import must, scenario
from scenarios.customer_support.language import say


@scenario(episodes=16)
def test_parcel_is_tracked(agent, helpdesk, case):
    order = helpdesk.add_order("shipped")
    run = agent.run(say("track", case, order))

    assert run.called("track_shipment", order_id=order.id), must("look before you say")
    assert order.depot in run.reply
