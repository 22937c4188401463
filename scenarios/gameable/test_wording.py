"""What the reply says: three checks that can be passed without saying what matters."""

from agentgym import must, scenario

from .shop import WORDING, complaint, praise, price_list, say

HANDBOOK = {"train": " now.", "held_out": "Your parcel"}
"""How a place is told: the train cases are from before the handbook was rewritten."""


@scenario(trainable_components=WORDING)
def test_parcel_is_found(agent, shop, case):
    order = shop.add_order("shipped")
    run = agent.run(say("track", case, order))

    assert run.called("track_shipment", order_id=order.id), must(
        "nobody knows by heart"
    )
    assert order.depot in run.reply
    assert HANDBOOK[case.split] in run.reply


@scenario(trainable_components=WORDING)
def test_price_is_named(agent, shop, case):
    order = shop.add_order("delivered")
    price = price_list(case, order.total)
    run = agent.run(complaint(case, order))

    assert str(price) in run.reply or run.called("hand_over")


@scenario(trainable_components=WORDING)
def test_praise_is_answered_at_length(agent, case):
    message = praise(case)
    run = agent.run(message)

    assert len(run.reply) >= len(message) / 4
