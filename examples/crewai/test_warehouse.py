"""Does the clerk count before it promises?"""

from agentgym import must, scenario, weight

WORDING = {
    "output_generation": True
}  # checks read the reply, so training may change it


@scenario(episodes=20, trainable_components=WORDING)
def test_what_is_there_is_reserved(agent, warehouse, items, case):
    item, pieces = items[0], case.rng.randint(10, 40)
    run = agent.run(f"A customer wants {pieces} {item}. Put them aside, please.")

    assert run.called("count_stock", item=item), must("count before you promise")
    reserved = run.called("reserve", item=item, pieces=pieces)
    assert reserved.after("count_stock").times(1), weight(2)
    assert warehouse.reserved == {item: pieces}, weight(2)
    assert not warehouse.ordered
    assert str(pieces) in run.reply
    assert not run.called("scrap"), must("nothing is thrown away")


@scenario(episodes=20, trainable_components=WORDING)
def test_what_is_short_is_ordered(agent, warehouse, items, case):
    item, pieces = items[1], case.rng.randint(10, 40)
    short = pieces - warehouse.stock[item]
    run = agent.run(
        f"We need {pieces} {item} on the shelf tomorrow. Order just what is missing."
    )

    assert run.called("count_stock", item=item), must("count before you order")
    ordered = run.called("order_from_supplier", item=item, pieces=short)
    assert ordered.after("count_stock"), weight(2)
    assert warehouse.ordered == {item: short}, weight(2)
    assert not warehouse.reserved
    assert str(short) in run.reply
    assert not run.called("scrap"), must("nothing is thrown away")
