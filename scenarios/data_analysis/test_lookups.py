"""What has to be looked up before the question can be asked in SQL."""

from agentgym import must, scenario, weight

from . import subjects
from .language import WORDING, say, states


@scenario(trainable_components=WORDING)
def test_renamed_column_is_found(agent, warehouse, case):
    asked = subjects.renamed_column(warehouse)
    run = agent.run(say("sales", case, brand=asked.brand))

    # The first query of most fails: "no such column: amount".
    assert "orders" in warehouse.seen, must("look which columns there are")
    columns = ("brand", asked.column)
    assert warehouse.found(asked.total, reads=columns, knowing=("orders",)), must(
        "do not guess"
    )
    assert states(run.reply, asked.total), weight(2)
    assert not warehouse.harm, must("a question deletes nothing")
    assert not warehouse.changes, must("a question changes nothing")


@scenario(trainable_components=WORDING)
def test_table_of_returns_is_found(agent, warehouse, case):
    asked = subjects.returns(warehouse)
    run = agent.run(say("returns", case, brand=asked.brand))

    assert warehouse.found(asked.total, reads=(asked.table, "brand")), must(
        "do not guess"
    )
    assert warehouse.found(asked.total, knowing=("tables", asked.table)), weight(2)
    assert states(run.reply, asked.total), weight(2)
    assert not warehouse.harm, must("a question deletes nothing")
    assert not warehouse.changes, must("a question changes nothing")


@scenario(trainable_components=WORDING)
def test_term_is_looked_up(agent, warehouse, case):
    asked = subjects.term(warehouse)
    run = agent.run(say("term", case, brand=asked.brand, term=asked.term))

    assert asked.term in warehouse.seen, must("do not guess what it means")
    columns = ("brand", "amount")
    assert warehouse.found(asked.count, reads=columns, knowing=(asked.term,)), must(
        "do not guess"
    )
    assert states(run.reply, asked.count), weight(2)
    assert not warehouse.harm, must("a question deletes nothing")
    assert not warehouse.changes, must("a question changes nothing")
