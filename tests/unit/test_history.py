"""The table of runs at several widths."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agentgym.report.history import history_lines, read_history
from agentgym.runs.summary import RunSummary
from tests.made_episodes import made_episodes


def run(folder: Path, name: str, passed: int, failed: int, **more: Any) -> None:
    told = RunSummary(threshold=0.95, run_id=name, started=float(len(name)))
    counts = {"passed": passed, "failed": failed}
    for episode in made_episodes(counts, tokens=300, policy="/models/small/Qwen-3B"):
        told.add(episode)
    (folder / name).mkdir(parents=True)
    (folder / name / "summary.json").write_text(json.dumps(told.to_json() | more))


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    before = {"value": 0.5, "low": 0.3, "high": 0.7}
    training = {"before": before, "seconds": 90, "agent": "/a/support/v1.2"}
    run(tmp_path, "20260102-120000-bbbb", 60, 0, started=2.0, training=training)
    run(tmp_path, "20260101-120000-aaaa", 3, 1, started=1.0)
    run(tmp_path, "20260103-120000-cccc", 2, 2, started=3.0, interrupted=True)
    return tmp_path


def test_the_newest_run_is_last(runs: Path) -> None:
    lines = [line.text for line in history_lines(read_history(runs), 80)]
    assert [" ".join(line.split()) for line in lines] == [
        "scen. policy reliability (95 %) verdict tok/pass",
        "20260101-120000-aaaa 1 …/Qwen-3B 75.0 % (19.4-99.4) UNDECIDED 400",
        "20260102-120000-bbbb 1 …/Qwen-3B 100.0 % (94.0-100.0) RELIABLE 300",
        "trained 1.5 min from 50.0 %: support_v1.2",
        "20260103-120000-cccc 1 …/Qwen-3B 50.0 % (6.8-93.2) interrupted 600",
    ]
    assert {len(line) for line in lines if "trained" not in line} == {80}


def test_a_wide_terminal_has_dates_and_whole_names(runs: Path) -> None:
    lines = [line.text for line in history_lines(read_history(runs), 140)]
    assert "/models/small/Qwen-3B" in lines[1]
    assert "1970-01-0" in lines[1]


def test_different_thresholds_are_said(runs: Path) -> None:
    told = RunSummary(threshold=0.5, run_id="x", started=9.0)
    for episode in made_episodes({"passed": 60}):
        told.add(episode)
    (runs / "20260104-120000-dddd").mkdir()
    file = runs / "20260104-120000-dddd" / "summary.json"
    file.write_text(json.dumps(told.to_json()))
    lines = [line.text for line in history_lines(read_history(runs), 120)]
    assert "RELIABLE 95 %" in lines[2]
    assert "RELIABLE 50 %" in lines[-1]


def test_entries_are_plain_data(runs: Path) -> None:
    entry = read_history(runs).entries[0]
    assert entry.to_json()["tokens_per_pass"] == 400
    assert (entry.passed, entry.counted, entry.state) == (3, 4, "finished")
    assert json.loads(json.dumps(entry.to_json())) == entry.to_json()
