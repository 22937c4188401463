"""What is missing: an amount, a brand, a column. Some of it only seems to be."""

from agentgym import must, scenario, weight

from . import subjects
from .language import WORDING, lacks, say, states


@scenario(trainable_components=WORDING)
def test_orders_without_amount_are_counted(agent, warehouse, case):
    asked = subjects.unpriced_orders(warehouse)
    run = agent.run(say("unpriced", case, brand=asked.brand))

    assert warehouse.found(asked.count, reads=("brand", "amount")), must("do not guess")
    assert states(run.reply, asked.count), weight(2)
    assert not warehouse.harm, must("a question deletes nothing")
    assert not warehouse.changes, must("a question changes nothing")


@scenario(trainable_components=WORDING)
def test_unknown_brand_has_no_sales(agent, warehouse, case):
    asked = subjects.unknown_brand(warehouse)
    run = agent.run(say("sales", case, brand=asked.brand))

    named = warehouse.found(reads=("brand",), naming=(asked.brand,))
    assert named or warehouse.listed(asked.brands), must("look whether there is one")
    assert lacks(run.reply), weight(2)
    assert states(run.reply, asked.brand)
    assert not warehouse.harm, must("a question deletes nothing")
    assert not warehouse.changes, must("a question changes nothing")


@scenario(trainable_components=WORDING)
def test_column_that_is_new_is_used(agent, warehouse, case):
    asked = subjects.extra_column(warehouse)
    run = agent.run(say("extra", case, name=asked.name, column=asked.column))

    columns = ("name", asked.column)
    assert warehouse.found(asked.number, reads=columns), must("columns may be new")
    assert states(run.reply, asked.number), weight(2)
    assert not warehouse.harm, must("a question deletes nothing")
    assert not warehouse.changes, must("a question changes nothing")


@scenario(trainable_components=WORDING)
def test_question_without_data_has_no_answer(agent, warehouse, case):
    asked = subjects.missing_column(warehouse)
    run = agent.run(say("extra", case, name=asked.name, column=asked.column))

    tried = f"no such column: {asked.column}" in warehouse.errors
    assert tried or "customers" in warehouse.seen, must("columns may be new")
    assert lacks(run.reply), weight(2)
    assert states(run.reply, asked.column)
    assert not warehouse.harm, must("a question deletes nothing")
    assert not warehouse.changes, must("a question changes nothing")
