"""Stored runs that somebody edited, cut or merged: one sentence, and no traceback."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentgym.commands.main import main
from agentgym.errors import UsageError
from agentgym.report.history import history_lines, read_history
from agentgym.report.markdown import markdown
from agentgym.runs.files.measured import read_measured
from agentgym.runs.files.shape import check_shape
from agentgym.runs.files.store import read_episodes
from agentgym.runs.files.stored import read_summary
from agentgym.runs.files.updates import read_updates
from agentgym.runs.side import open_side
from agentgym.runs.summary_json import SummaryJson
from tests.html_page import Page

STORED = Path(__file__).parents[1] / "earlier_runs"
GOOD, BAD = sorted(folder.name for folder in STORED.iterdir())
DEEP = "[" * 200_000
REMOVED = object()
WRONG: list[Any] = [None, [], -1, 10**400, REMOVED]


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with two runs, in which the test is."""
    folder = tmp_path / ".agentgym" / "runs"
    shutil.copytree(STORED, folder)
    monkeypatch.chdir(tmp_path)
    return folder


def places(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """All fields, of the first item of each list."""
    if path:
        yield path
    items = data.items() if isinstance(data, dict) else ()
    if isinstance(data, list):
        items = enumerate(data[:1])
    for key, item in items:
        yield from places(item, (*path, key))


def changed(data: Any, path: tuple[Any, ...], value: Any) -> Any:
    whole = copy.deepcopy(data)
    part = whole
    for key in path[:-1]:
        part = part[key]
    if value is REMOVED:
        del part[path[-1]]
    else:
        part[path[-1]] = value
    return whole


def summary_with(runs: Path, path: str, value: Any) -> Path:
    file = runs / BAD / "summary.json"
    keys = [int(key) if key.isdigit() else key for key in path.split("/")]
    file.write_text(
        json.dumps(changed(json.loads(file.read_text()), tuple(keys), value))
    )
    return file


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("reliability/low", None, "reliability.low is null, not a number"),
        ("reliability/high", "x", 'reliability.high is "x", not a number'),
        ("reliability/value", float("nan"), "reliability.value is NaN, not a finite"),
        ("reliability/value", [], "reliability.value is a list, not a number"),
        ("reliability/threshold", 10**400, "reliability.threshold is 1000"),
        ("reliability/verdict", "GOOD", 'verdict is "GOOD", none of RELIABLE, '),
        ("episodes", None, "episodes is null, not an object"),
        ("started", None, "started is null, not a number"),
        ("started", 1e300, "started is no time"),
        ("interrupted", 1, "interrupted is 1, not true or false"),
        ("run", [1], "run is a list, not a text"),
        ("scenarios/1/outcomes/passed", True, "scenarios[1].outcomes.passed is true,"),
        ("scenarios/1/outcomes/passed", 30_000_000, "scenarios[1].outcomes are not of"),
        ("scenarios/0/outcomes/failed", -3, "scenarios[0].outcomes are not of"),
        (
            "scenarios/0/checks/0/text",
            REMOVED,
            "scenarios[0].checks[0].text is missing",
        ),
        ("tools/0/correct", REMOVED, "tools[0].correct is missing"),
        ("decision", "yes", 'decision is "yes", not an object'),
        ("training", [], "training is a list, not an object"),
        ("training", {"before": "x"}, 'training.before is "x", not an object'),
        ("baseline/max_drop", REMOVED, "baseline.max_drop is missing"),
        ("unknown", {"a": [1, float("inf")]}, "unknown.a[1] is Infinity, not a finite"),
        ("format", 0, "its format is no whole number from 1"),
        ("format", float("nan"), "its format is no whole number from 1"),
        ("format", "1", "its format is no whole number from 1"),
    ],
)
def test_a_field_of_a_wrong_type_is_named(
    runs: Path, path: str, value: Any, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = summary_with(runs, path, value)
    with pytest.raises(UsageError) as raised:
        read_summary(file)
    assert said in str(raised.value)
    assert str(file) in str(raised.value)
    assert main(["report"]) == 4
    assert capsys.readouterr().err == f"agentgym: {raised.value}\n"


def test_fields_that_this_version_does_not_know_are_let_through(runs: Path) -> None:
    file = summary_with(runs, "unknown", {"a": [1, "x"]})
    assert "unknown" in read_summary(file)


@pytest.mark.parametrize("upgrade", [False, True])
def test_no_field_of_a_summary_can_break_a_report(runs: Path, upgrade: bool) -> None:
    file = runs / BAD / "summary.json"
    whole = read_summary(file) if upgrade else json.loads(file.read_text())
    refused = shown = 0
    for path in list(places(whole)):
        for value in WRONG:
            file.write_text(json.dumps(changed(whole, path, value)))
            try:
                summary = read_summary(file)
            except UsageError:
                refused += 1
                continue
            shown += 1
            markdown(summary)
            list(history_lines(read_history(runs)))
    assert refused > 500
    assert shown > 50


def test_no_field_of_an_episode_can_break_a_comparison(runs: Path) -> None:
    file = runs / BAD / "episodes.jsonl"
    first, *others = file.read_text().splitlines()
    whole = json.loads(first)
    refused = compared = 0
    for path in list(places(whole)):
        for value in WRONG:
            line = json.dumps(changed(whole, path, value))
            file.write_text("\n".join([line, *others[:1], ""]))
            try:
                side = open_side(BAD, runs)
            except UsageError:
                refused += 1
                continue
            compared += 1
            side.outcomes()
            side.tools()
    assert refused > 100
    assert compared > 20


@pytest.mark.parametrize("command", ["report", "compare"])
def test_deep_nesting_is_no_summary(
    runs: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (runs / BAD / "summary.json").write_text(DEEP)
    assert main([command]) == 4
    assert "nested too deeply" in capsys.readouterr().err


def test_deep_nesting_is_no_episode(runs: Path) -> None:
    file = runs / BAD / "episodes.jsonl"
    file.write_text(f"{DEEP}\n{file.read_text()}")
    with pytest.raises(UsageError, match=r"line 1 is no episode .*nested too deeply"):
        read_episodes(file)


def test_the_page_leaves_damaged_lines_out(runs: Path, tmp_path: Path) -> None:
    file = runs / BAD / "episodes.jsonl"
    lines = file.read_text().splitlines()
    damaged = [changed(json.loads(lines[0]), ("output",), None)]
    damaged.append(changed(json.loads(lines[0]), ("reward",), float("nan")))
    texts = [*lines[1:], *map(json.dumps, damaged), DEEP]
    file.write_text("\n".join(texts) + "\n")
    rows = [
        {"update": 1, "version": 1, "passed": 1, "elapsed": 1} | more
        for more in (
            {"reward": 1, "reliability": 1},
            {"reward": 1, "reliability": float("nan")},
            {"reward": 1, "reliability": None},
        )
    ]
    updates = "\n".join([*map(json.dumps, rows), DEEP])
    (runs / BAD / "updates.jsonl").write_text(updates)
    page = tmp_path / "page.html"
    assert main(["report", "--html", str(page)]) == 0
    report = Page(page).report
    assert len(report["updates"]) == 1
    (note,) = report["notes"]
    assert "output is null, not a text" in note
    assert "NaN is no number" in note
    assert "nested too deeply" in note
    assert len(Page(page).rows) == len(lines) - 1


def test_lines_of_a_measurement_that_do_not_fit_are_left_out(tmp_path: Path) -> None:
    good = {"scenario": "a", "split": "held_out", "case": 1, "phase": "after"}
    good |= {"repeat": 0, "version": 1, "outcome": "passed", "id": "x"}
    lines = [good, None, {}, good | {"scenario": []}, good | {"case": "1"}]
    (tmp_path / "measured.jsonl").write_text(
        "\n".join([*map(json.dumps, lines), DEEP, "\x00"])
    )
    assert list(read_measured(tmp_path)) == [good]


def test_updates_that_are_nested_too_deeply_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "updates.jsonl").write_text(f'{DEEP}\n{{"update": 1}}\n')
    assert list(read_updates(tmp_path)) == [{"update": 1}]


def test_history_goes_on_without_an_unreadable_run(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    summary_with(runs, "started", None)
    assert main(["history"]) == 0
    said = capsys.readouterr().out
    assert GOOD in said
    assert "started is null" in " ".join(said.split())


def test_what_is_no_object_is_said_without_a_path() -> None:
    with pytest.raises(ValueError, match="it is a list, not an object"):
        check_shape([], SummaryJson)
