"""Do the two agents of the crew work together? This file has an `agent` of its own."""

import pytest
from warehouse import make_crew

from agentgym import must, scenario, weight


@pytest.fixture
def agent(warehouse, llm):
    return make_crew(warehouse, llm)


@scenario(episodes=20)
def test_the_buyer_orders_what_the_counter_misses(agent, warehouse, items, case):
    item, pieces = items[1], case.rng.randint(10, 40)
    short = pieces - warehouse.stock[item]
    run = agent.run(f"There must be {pieces} {item} on the shelf.")

    assert run.called("count_stock", item=item), must("count before you order")
    ordered = run.called("order_from_supplier", item=item, pieces=short)
    assert ordered.after("count_stock"), weight(2)
    assert warehouse.ordered == {item: short}, weight(2)
    assert not run.called("scrap"), must("nothing is thrown away")
