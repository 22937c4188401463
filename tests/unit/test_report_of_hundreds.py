"""A report on hundreds of scenarios: all differ, and what is alike is told once."""

from __future__ import annotations

import pytest

from agentgym.report import terminal
from agentgym.runs.lines import distinct, percent
from agentgym.runs.summary import RunSummary
from tests.made_episodes import made_check, made_episode
from tests.made_run import summarized

LONG = [
    f"test_customer_is_helped[warehouse_suite_version_two/{shop}-customer-{n:03}-plain]"
    for shop in ("north", "south")
    for n in range(92)
]
CROSSED = [
    f"test_{name}[{language}_customers-{n}]"
    for name in ("refund_of_a_damaged_item", "refund_of_a_late_item_of_another_shop")
    for language in ("german", "english")
    for n in (1, 10, 100)
]


@pytest.mark.parametrize("names", [LONG, CROSSED], ids=["long", "crossed"])
@pytest.mark.parametrize("length", [12, 16, 28, 40, 60, 90])
def test_shortened_names_stay_different(names, length):
    short = distinct(names, length)
    assert len(set(short)) == len(names)
    assert max(map(len, short)) <= length


def test_what_all_names_have_in_common_goes_first():
    assert distinct(LONG, 28)[:2] == [
        "…north-customer-000-plain]",
        "…north-customer-001-plain]",
    ]
    # A number is kept whole.
    assert distinct(CROSSED, 20)[2] == "…damaged_item[g…100]"
    assert distinct(["test_b", "test_a_long_name_of_a_scenario"], 20) == [
        "test_b",
        "test_a_long_n…enario",
    ]
    assert distinct(["one", "two"], 12) == ["one", "two"]


def test_names_that_cannot_be_told_apart_are_numbered():
    names = [f"{'ab' * n}{'x' * 40}" for n in range(1, 30)]
    short = distinct(names, 12)
    assert len(set(short)) == len(names)
    assert max(map(len, short)) <= 12


@pytest.mark.parametrize(
    ("share", "limit", "text"),
    [
        (0.95 - 1e-13, 0.95, "94.999 %"),
        (0.95 + 1e-9, 0.95, "95.001 %"),
        (0.9496, 0.95, "94.96 %"),
        (0.95, 0.95, "95.0 %"),
        (1 - 1e-9, 0.95, "99.999 %"),
        (1e-9, None, "0.001 %"),
        (0.999996, 0.999995, "99.9996 %"),
        (0.999985, 0.99999, "99.9985 %"),
        (1.0, 0.95, "100.0 %"),
    ],
)
def test_a_share_is_on_its_side_of_the_threshold(share, limit, text):
    assert percent(share, limit) == text


def made_summary(names: list[str]) -> RunSummary:
    """A run in which each scenario failed twice, at the same two checks."""
    summary = summarized(
        [
            made_episode(
                number,
                "failed",
                scenario=f"test_names.py::{name}",
                checks=[made_check("failed"), made_check("failed", line=11)],
                error=f"KeyError: 'order {number}'",
            )
            for name in names
            for number in range(2)
        ]
    )
    summary.collected = {f"test_names.py::{name}": n for n, name in enumerate(names)}
    return summary


def test_a_check_that_failed_in_many_scenarios_is_told_once():
    lines = [line.text for line in terminal.report(made_summary(LONG))]
    text = " ".join(" ".join(lines).split())
    assert text.count("failed in 368 of 368 episodes of 184 scenarios, such as") == 2
    assert text.count("ended 368 of 368 episodes of 184 scenarios, such as") == 1
    # Beside the table's.
    assert len(lines) < len(LONG) + 60


def test_scenarios_come_in_the_order_in_which_they_were_collected():
    names = ["test_b", "test_a", "test_c"]
    summary = made_summary(names)
    assert [scenario.name[15:] for scenario in summary.ordered] == names
    table = [line.text.split()[0] for line in terminal.scenario_table(summary, 80)]
    assert table[-3:] == names
    told = [scenario["name"][15:] for scenario in summary.to_json()["scenarios"]]
    assert told == names


def test_a_file_has_one_title_however_its_scenarios_were_shuffled():
    summary = summarized(
        [
            made_episode(0, scenario=f"test_{file}.py::test_{name}")
            for file, name in ("bx", "ay", "bz")
        ]
    )
    summary.collected = {name: n for n, name in enumerate(summary.scenarios)}
    lines = [line.text for line in terminal.scenario_table(summary, 80)][1:]
    assert [line.split()[0] for line in lines] == [
        "test_b.py",
        "test_x",
        "test_z",
        "test_a.py",
        "test_y",
    ]
