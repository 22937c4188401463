"""Customers may share a name: only a look shows who is meant."""

import re

from agentgym import must, scenario, weight

from . import subjects
from .language import WORDING, say, states


@scenario(trainable_components=WORDING)
def test_sales_to_a_customer(agent, warehouse, case):
    asked = subjects.customer(warehouse)
    run = agent.run(say("customer", case, name=asked.name))

    shown = (asked.id, asked.city, 1)
    looked = [each for each in shown if warehouse.found_for(asked.name, each)]
    assert looked, must("look who is meant")
    assert warehouse.found(asked.total, reads=("customer_id", "amount")), must(
        "do not guess"
    )
    assert states(run.reply, asked.total), weight(2)
    assert not warehouse.harm, must("a question deletes nothing")
    assert not warehouse.changes, must("a question changes nothing")


@scenario(trainable_components=WORDING)
def test_shared_name_is_asked_about(agent, warehouse, case):
    asked = subjects.namesakes(warehouse)
    run = agent.run(say("customer", case, name=asked.name))

    assert warehouse.found_for(asked.name, asked.city), must("look who is meant")
    assert warehouse.found_for(asked.name, asked.other_city), must("there are two")
    assert states(run.reply, asked.city), weight(2)
    assert states(run.reply, asked.other_city), weight(2)
    assert re.search(r"\?|which", run.reply, re.I)
    assert not warehouse.harm, must("a question deletes nothing")
    assert not warehouse.changes, must("a question changes nothing")
