"""Runs that an earlier version stored: `earlier_runs/` holds two of its own making."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from agentgym.commands.main import main
from agentgym.runs.files.stored import read_summary
from tests.html_page import Page

STORED = Path(__file__).parents[1] / "earlier_runs"
GOOD, BAD = sorted(folder.name for folder in STORED.iterdir())
SENTENCE = "gate not met: 1 of 2 scenarios is below 95 %"


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with both of them, in which the test is."""
    folder = tmp_path / ".agentgym" / "runs"
    shutil.copytree(STORED, folder)
    monkeypatch.chdir(tmp_path)
    return folder


def test_they_are_of_an_earlier_version() -> None:
    for name in (GOOD, BAD):
        assert "decision" not in json.loads(
            (STORED / name / "summary.json").read_text()
        )


def test_report(runs: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["report"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:5] == [
        "## Tool reliability: 95.8 %",
        "",
        f"**G{SENTENCE[1:]}.** 23 of 24 episodes passed, 95 % interval 78.9-99.9 %. At "
        "95 % confidence: UNDECIDED.",
        "",
        "- `test_shop.py::test_bad`: `75.0 %, needs 95 %`",
    ]
    assert any("Drop **UNDECIDED**, at most 0 points allowed" in line for line in lines)
    assert main(["report", "--baseline", GOOD]) == 0
    assert f"The baseline, run `{GOOD}`, had 100.0 %" in capsys.readouterr().out
    assert main(["report", GOOD]) == 0
    assert "**Gate met: the run and each of 2 scenarios reached 95 %.**" in (
        capsys.readouterr().out
    )
    page = tmp_path / "page.html"
    assert main(["report", "--html", str(page)]) == 0
    report = Page(page).report
    assert report["summary"]["decision"]["sentence"] == SENTENCE
    assert report["notes"] == []
    assert len(Page(page).rows) == 24


def test_compare(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [f"before {GOOD}, seed 0", f"after  {BAD}, seed 0"]
    assert "24 pairs" in lines[2]


def test_history(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["history", "--json"]) == 0
    entries = json.loads(capsys.readouterr().out)
    assert [entry["run"] for entry in entries] == [GOOD, BAD]
    assert [entry["passed"] for entry in entries] == [24, 23]


LOST = json.loads((STORED / BAD / "summary.json").read_text())["scenarios"][0]
LOST["outcomes"] = dict.fromkeys(LOST["outcomes"], 0) | {"passed": 1, "infra_error": 9}
LOST["episodes"] = 10

CHANGES: list[tuple[dict[str, Any], str, int]] = [
    ({}, SENTENCE, 1),
    (
        {"max_drop": {"limit": 0.01, "verdict": "UNKNOWN"}},
        f"{SENTENCE} and the drop since the baseline cannot be judged",
        1,
    ),
    (
        {"max_drop": {"limit": 0.01, "verdict": "EXCEEDED"}},
        f"{SENTENCE} and reliability dropped by more than the allowed 1 point",
        1,
    ),
    (
        {"interrupted": True, "planned": 80, "stopped": "$5 are spent"},
        "STOPPED: $5 are spent: 24 of 80 episodes were played; only complete runs are "
        "judged",
        2,
    ),
    (
        {"interrupted": True},
        "INTERRUPTED: only complete runs are judged",
        2,
    ),
    (
        {"gate": "certified"},
        "gate not met: the run is not certified to reach 95 %, 2 of 2 scenarios are "
        "not certified to reach their thresholds and the drop is not certified to be "
        "within the allowed 0 points",
        1,
    ),
    (
        {
            "not_played": [{"name": "x", "played": 0, "planned": 9}],
            "stop": "sequential",
        },
        "gate not met: the run is below 95 % and 1 of 2 scenarios is below 95 %",
        1,
    ),
    (
        {"training": {"met": False, "judgeable": True, "interrupted": False}},
        "gate not met: the training has not reached its target",
        1,
    ),
    (
        # What its episodes say already, a training does not say again.
        {
            "training": {"met": False, "judgeable": True, "interrupted": False},
            "reliability": {
                "value": 0.958,
                "low": 0.789,
                "high": 0.999,
                "threshold": 0.99,
                "verdict": None,
            },
        },
        "gate not met: the run is below 99 % and 1 of 2 scenarios is below its "
        "threshold",
        1,
    ),
    (
        {"training": {"met": False, "judgeable": False, "interrupted": False}},
        "CANNOT JUDGE: too many episodes of the training's last measurement do not "
        "count; at most 5 % of the run and of each scenario may be left uncounted",
        6,
    ),
    (
        {"training": {"met": True, "judgeable": True, "interrupted": False}},
        "gate met: the run reached 95 %",
        0,
    ),
    (
        # What was interrupted has not missed its target.
        {"training": {"met": False, "judgeable": False, "interrupted": True}},
        "gate met: the run reached 95 %",
        0,
    ),
    (
        {
            "not_played": [{"name": "x", "played": 0, "planned": 9}],
            "stop": "sequential",
            "scenarios": [LOST],
        },
        "gate not met: the run is below 95 %",
        1,
    ),
    ({"scenarios": []}, "no gate: no scenario was played", 0),
]


@pytest.mark.parametrize(("changes", "sentence", "code"), CHANGES)
def test_decisions_that_were_not_stored(
    tmp_path: Path, changes: dict[str, Any], sentence: str, code: int
) -> None:
    stored = json.loads((STORED / BAD / "summary.json").read_text())
    stored["baseline"]["max_drop"] |= changes.get("max_drop", {})
    file = tmp_path / "summary.json"
    file.write_text(json.dumps(stored | changes))
    decision = read_summary(file)["decision"]
    assert (decision["sentence"], decision["exit_code"]) == (sentence, code)


def test_a_decision_that_was_stored_stays(tmp_path: Path) -> None:
    stored = json.loads((STORED / BAD / "summary.json").read_text())
    decision = {"exit_code": 6, "met": None, "sentence": "so it was", "reasons": []}
    decision |= {"qualifier": None}
    file = tmp_path / "summary.json"
    file.write_text(json.dumps(stored | {"decision": decision}))
    assert read_summary(file)["decision"] == decision


def test_scenarios_get_what_the_gate_says_of_them() -> None:
    scenarios = read_summary(STORED / BAD / "summary.json")["scenarios"]
    met = {scenario["name"]: scenario["met"] for scenario in scenarios}
    assert met.pop("test_shop.py::test_bad") is False
    assert set(met.values()) == {True}


@pytest.mark.parametrize(
    ("kind", "qualifier"), [("below", None), ("stopped", "of what was played")]
)
def test_a_decision_without_a_qualifier_gets_one(
    tmp_path: Path, kind: str, qualifier: str | None
) -> None:
    stored = json.loads((STORED / BAD / "summary.json").read_text())
    reasons = [{"kind": kind, "sentence": "so it was", "scenario": None}]
    decision = {"exit_code": 1, "met": False, "sentence": "no", "reasons": reasons}
    file = tmp_path / "summary.json"
    file.write_text(json.dumps(stored | {"decision": decision}))
    assert read_summary(file)["decision"]["qualifier"] == qualifier
