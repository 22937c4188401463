from __future__ import annotations

import pytest

from agentgym.playing.tool_table import COLUMNS, tool_table
from agentgym.recording.trajectory import Step, Trajectory
from agentgym.scenarios.check_log import CheckLog, Expectation
from agentgym.scenarios.checks import CheckSpec
from agentgym.scenarios.run import Run
from tests.made_episodes import made_call, made_trajectory


def table(*calls, wanted=(), forbidden=(), passed=False, trajectory=None):
    """The rows by tool, without the columns that are 0; queries are judged here."""
    trajectory = trajectory or made_trajectory(*calls)
    run = Run(trajectory)

    def expectation(ask, forbids):
        query = ask(run)
        return Expectation(query, bool(query) is not forbids, forbids)

    expectations = [
        *(expectation(ask, False) for ask in wanted),
        *(expectation(ask, True) for ask in forbidden),
    ]
    rows = tool_table(trajectory, expectations, passed=passed)
    for row in rows:
        assert row["calls"] == sum(row[column] for column in COLUMNS)
    return {
        row["name"]: {
            k: v for k, v in row.items() if v and k not in ("name", "latencies")
        }
        for row in rows
    }


def look_up(run):
    return run.called("look_up", id="A1")


def test_a_wanted_call_is_correct():
    call = made_call("look_up", arguments={"id": "A1"})
    assert table(call, wanted=[look_up]) == {"look_up": {"calls": 1, "correct": 1}}


def test_other_arguments_are_wrong():
    calls = [
        made_call("look_up", arguments={"id": "A2"}),
        made_call("look_up", "c2", arguments={"id": "A1"}),
    ]
    assert table(*calls, wanted=[look_up]) == {
        "look_up": {"calls": 2, "correct": 1, "wrong_arguments": 1}
    }


def test_one_of_several_expectations_is_enough():
    call = made_call("look_up", arguments={"id": "A2"})
    rows = table(call, wanted=[look_up, lambda run: run.called("look_up", id="A2")])
    assert rows == {"look_up": {"calls": 1, "correct": 1}}


def test_malformed_arguments_are_wrong_even_if_the_tool_is_forbidden():
    call = made_call("look_up", malformed="{id:", executed=False)
    rows = table(call, wanted=[look_up], forbidden=[lambda run: run.called("look_up")])
    assert rows == {"look_up": {"calls": 1, "wrong_arguments": 1}}


def test_a_forbidden_call_is_not_allowed_even_if_it_raised():
    call = made_call("charge", error="ToolError: no card")
    rows = table(call, forbidden=[lambda run: run.called("charge")])
    assert rows == {"charge": {"calls": 1, "not_allowed": 1}}


def test_a_ban_forbids_only_the_calls_that_it_names():
    calls = [
        made_call("pay", arguments={"amount": 5}),
        made_call("pay", "c2", arguments={"amount": 900}),
    ]
    rows = table(
        *calls,
        forbidden=[lambda run: run.called("pay", amount=lambda amount: amount > 100)],
    )
    assert rows == {"pay": {"calls": 2, "not_allowed": 1, "unjudged": 1}}


def test_a_ban_that_was_kept_forbids_nothing():
    """`assert not run.called("pay").before("look_up")` with the right order."""
    calls = [made_call("look_up"), made_call("pay", "c2")]
    rows = table(
        *calls,
        forbidden=[lambda run: run.called("pay").before("look_up")],
    )
    assert rows["pay"] == {"calls": 1, "unjudged": 1}


def test_zero_times_is_a_ban():
    rows = table(made_call("pay"), wanted=[lambda run: run.called("pay").times(0)])
    assert rows == {"pay": {"calls": 1, "not_allowed": 1}}
    assert table(wanted=[lambda run: run.called("pay").times(0)]) == {}


def test_not_zero_times_is_a_wish():
    rows = table(forbidden=[lambda run: run.called("pay").times(0)])
    assert rows == {"pay": {"missing": 1}}


def test_a_tool_that_raised():
    call = made_call("look_up", arguments={"id": "A1"}, error="KeyError: 'A1'")
    assert table(call, wanted=[look_up]) == {"look_up": {"calls": 1, "raised": 1}}


@pytest.mark.parametrize(
    ("error", "column"),
    [
        (
            "ValidationError: 1 validation error for look_up\nid\n  Field",
            "wrong_arguments",
        ),
        ("ValidationError: 2 validation errors for look_up", "wrong_arguments"),
        ("ValidationError: 1 validation error for Order", "raised"),
        ("TypeError: look_up() missing 1 required positional", "wrong_arguments"),
        ("TypeError: 'NoneType' object is not iterable", "raised"),
    ],
)
def test_arguments_that_the_tool_cannot_take_are_wrong(error, column):
    call = made_call("look_up", error=error)
    assert table(call, wanted=[look_up]) == {"look_up": {"calls": 1, column: 1}}


def test_a_tool_that_does_not_exist_is_not_allowed():
    """It was asked for, nothing ran, and the conversation went on."""
    call = made_call("lookup", executed=False)
    assert table(call, wanted=[look_up]) == {
        "lookup": {"calls": 1, "not_allowed": 1},
        "look_up": {"missing": 1},
    }


def test_a_call_that_the_episode_s_end_kept_from_running_is_unjudged():
    trajectory = Trajectory(
        steps=[Step(tool_calls=[made_call("look_up", executed=False)])]
    )
    assert table(trajectory=trajectory) == {"look_up": {"calls": 1, "unjudged": 1}}


def test_calls_that_nothing_was_asked_about_are_judged_by_the_episode():
    call = made_call("search")
    assert table(call, passed=True) == {"search": {"calls": 1, "correct": 1}}
    assert table(call, passed=False) == {"search": {"calls": 1, "unjudged": 1}}


def test_a_wanted_tool_that_was_never_called_is_missing_once():
    rows = table(
        made_call("look_up", arguments={"id": "A1"}),
        wanted=[
            look_up,
            lambda run: run.called("refund", id="A1"),
            lambda run: run.called("refund").after("look_up"),
            lambda run: run.called("ticket"),
        ],
    )
    assert rows == {
        "look_up": {"calls": 1, "correct": 1},
        "refund": {"missing": 1},
        "ticket": {"missing": 1},
    }


def test_a_tool_that_was_called_wrongly_is_not_missing():
    call = made_call("look_up", arguments={"id": "A2"})
    assert "missing" not in table(call, wanted=[look_up])["look_up"]


def test_nothing_is_missing_or_forbidden_in_a_passed_episode():
    """`assert run.called("mail") or run.called("phone")` asks for one of them."""
    rows = table(
        made_call("phone"),
        wanted=[lambda run: run.called("mail"), lambda run: run.called("phone")],
        forbidden=[lambda run: run.called("phone")],
        passed=True,
    )
    assert rows == {"phone": {"calls": 1, "correct": 1}}


def test_latency_is_that_of_calls_that_ran():
    calls = [
        made_call("a", duration=0.25),
        made_call("a", "c2", executed=False, duration=9.0),
        made_call("a", "c3", duration=0.5, error="ToolError: x"),
    ]
    [row] = tool_table(made_trajectory(*calls), [], passed=False)
    assert row["latencies"] == [0.25, 0.5]


def test_checks_make_the_expectations():
    trajectory = made_trajectory(made_call("charge"))
    run = Run(trajectory)
    wish = CheckSpec(id=0, text="", file="f", line=1, negated=False)
    ban = CheckSpec(id=1, text="", file="f", line=2, negated=True)
    log = CheckLog()
    with log.activate():
        assert not run.called("look_up")
        log.failed(wish, AssertionError())
        assert run.called("charge")
        log.failed(ban, AssertionError())
    rows = tool_table(trajectory, log.expectations, passed=False)
    assert [(row["name"], row["not_allowed"], row["missing"]) for row in rows] == [
        ("charge", 1, 0),
        ("look_up", 0, 1),
    ]
