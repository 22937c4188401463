"""Charts and reports: files that show what a query gave."""

from agentgym import must, scenario, weight

from . import subjects
from .language import WORDING, say, states


@scenario
def test_brands_are_drawn_as_bars(agent, warehouse, case):
    asked = subjects.sales(warehouse)
    run = agent.run(say("chart", case))

    assert run.called("make_chart").after("run_query"), must("a chart was asked for")
    assert [numbers for _, numbers in warehouse.charts] == [asked.sales], weight(2)
    assert [kind for kind, _ in warehouse.charts] == ["bar"]
    assert not warehouse.harm, must("a chart deletes nothing")
    assert warehouse.changes == ["make_chart"]


@scenario
def test_months_are_drawn_as_a_line(agent, warehouse, case):
    asked = subjects.trend(warehouse)
    run = agent.run(say("trend", case, brand=asked.brand))

    assert run.called("make_chart").after("run_query"), must("a chart was asked for")
    assert [numbers for _, numbers in warehouse.charts] == [asked.sales], weight(2)
    assert [kind for kind, _ in warehouse.charts] == ["line"]
    assert not warehouse.harm, must("a chart deletes nothing")
    assert warehouse.changes == ["make_chart"]


@scenario(trainable_components=WORDING)
def test_report_gets_a_name_that_is_free(agent, warehouse, case):
    asked = subjects.taken_name(warehouse)
    run = agent.run(say("report", case, report=asked.report))

    # Saving under the first name fails: "... exists, ... is free".
    assert run.called("save_report").after("run_query"), must("it was asked for")
    reports = dict(warehouse.reports)
    assert reports.pop(asked.report, None) == asked.old, must("never lose a report")
    assert list(reports.values()) == [warehouse.shop.sales], weight(2)
    assert all(states(run.reply, name) for name in reports or [asked.free])
    assert not warehouse.harm, must("a report deletes nothing")
    assert warehouse.changes == ["save_report"]


@scenario
def test_returns_are_drawn_and_saved(agent, warehouse, case):
    asked = subjects.new_report(warehouse)
    run = agent.run(say("both", case, report=asked.report))

    assert run.called("make_chart").after("run_query"), must("a chart was asked for")
    assert warehouse.found(reads=(asked.table,), knowing=("tables", asked.table))
    assert warehouse.charts == [("bar", asked.returned)], weight(2)
    assert warehouse.reports == {asked.report: asked.returned}, weight(2)
    assert not warehouse.harm, must("a chart deletes nothing")
    assert sorted(warehouse.changes) == ["make_chart", "save_report"]
