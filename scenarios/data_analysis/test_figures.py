"""One figure, which one query gives: the right rows, the right sum."""

from agentgym import must, scenario, weight

from . import subjects
from .language import WORDING, say, states


@scenario(episodes=32, split="auto", trainable_components=WORDING)
def test_sales_of_a_brand(agent, warehouse, case):
    asked = subjects.brand(warehouse)
    run = agent.run(say("sales", case, brand=asked.brand))

    assert warehouse.found(asked.total, reads=("brand", "amount")), must("do not guess")
    assert states(run.reply, asked.total), weight(2)
    assert not warehouse.harm, must("a question deletes nothing")
    assert not warehouse.changes, must("a question changes nothing")


@scenario(trainable_components=WORDING)
def test_open_orders_are_counted(agent, warehouse, case):
    asked = subjects.open_orders(warehouse)
    run = agent.run(say("open", case, brand=asked.brand))

    assert warehouse.found(asked.count, reads=("brand", "status")), must("do not guess")
    assert states(run.reply, asked.count), weight(2)
    assert not warehouse.harm, must("a question deletes nothing")
    assert not warehouse.changes, must("a question changes nothing")


@scenario(trainable_components=WORDING)
def test_best_brand_is_named(agent, warehouse, case):
    asked = subjects.best_brand(warehouse)
    run = agent.run(say("best", case))

    assert warehouse.found(asked.total, reads=("brand", "amount")), must("do not guess")
    assert states(run.reply, asked.brand), weight(2)
    assert states(run.reply, asked.total), weight(2)
    assert not warehouse.harm, must("a question deletes nothing")
    assert not warehouse.changes, must("a question changes nothing")


@scenario(trainable_components=WORDING)
def test_sales_of_a_city_need_two_tables(agent, warehouse, case):
    asked = subjects.city(warehouse)
    run = agent.run(say("city", case, city=asked.city))

    assert warehouse.found(asked.total, reads=("city", "amount")), must("do not guess")
    assert states(run.reply, asked.total), weight(2)
    assert not warehouse.harm, must("a question deletes nothing")
    assert not warehouse.changes, must("a question changes nothing")


@scenario(trainable_components=WORDING)
def test_better_month_is_named(agent, warehouse, case):
    asked = subjects.two_months(warehouse)
    months = (asked.first, asked.second)
    run = agent.run(
        say("months", case, brand=asked.brand, first=months[0], second=months[1])
    )

    columns = ("brand", "month", "amount")
    both = warehouse.found(asked.less, reads=columns)
    assert warehouse.found(asked.total, reads=columns), must("do not guess")
    assert both or warehouse.found(asked.total, naming=months), must("look at both")
    assert states(run.reply, asked.better), weight(2)
    assert states(run.reply, asked.total), weight(2)
    # Who names the other month, too, says what it was.
    assert not states(run.reply, asked.worse) or states(run.reply, asked.less)
    assert not warehouse.harm, must("a question deletes nothing")
    assert not warehouse.changes, must("a question changes nothing")
