"""What `report`, `compare` and `history` do with unusual runs and files."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agentgym.commands.main import main
from agentgym.report.episode_plan import known_costs
from agentgym.report.history import history_lines, read_history
from agentgym.runs.drop import Allowance, Drop
from agentgym.runs.gate import ReasonKind, exit_code_of_drop
from agentgym.runs.summary import RunSummary
from tests.html_page import Page
from tests.made_episodes import SCENARIO, made_episodes

STORED = Path(__file__).parents[1] / "earlier_runs"
GOOD, BAD = sorted(folder.name for folder in STORED.iterdir())


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with two runs, in which the test is."""
    folder = tmp_path / ".agentgym" / "runs"
    shutil.copytree(STORED, folder)
    monkeypatch.chdir(tmp_path)
    return folder


def stored(folder: Path, name: str, summary: RunSummary, **more: Any) -> None:
    (folder / name).mkdir(parents=True)
    data = summary.to_json() | {"run": name} | more
    (folder / name / "summary.json").write_text(json.dumps(data))


def made(passed: int, **fields: Any) -> RunSummary:
    summary = RunSummary(threshold=0.95, **fields)
    for episode in made_episodes({"passed": passed}, tokens=200):
        summary.add(episode)
    return summary


def test_history_shows_what_the_gate_has_decided(tmp_path: Path) -> None:
    summary = made(80)
    summary.not_judged("a.py::test_b", "it is written wrongly", ReasonKind.usage)
    stored(tmp_path, "20260101-120000-aaaa", summary)
    found = read_history(tmp_path)
    (entry,) = found.entries
    assert (entry.met, entry.exit_code) == (None, 4)
    assert entry.qualifier == "of what was played"
    shown = list(history_lines(found, 80))
    assert "RELIABLE" in shown[1].text
    assert shown[1].markup == {"yellow": True}
    assert shown[2].text.strip() == "of what was played; exit code 4"
    (entry,) = read_history(tmp_path, "test_refund").entries
    assert (entry.met, entry.exit_code, entry.qualifier) == (True, None, None)


@pytest.mark.parametrize(("met", "colour"), [(True, "green"), (False, "red")])
def test_history_has_the_colour_of_the_gate(
    tmp_path: Path, met: bool, colour: str
) -> None:
    summary = made(80)
    decision = summary.decision.to_json() | {"met": met, "exit_code": int(not met)}
    scenarios = [one | {"met": not met} for one in summary.to_json()["scenarios"]]
    changes = {"decision": decision, "scenarios": scenarios}
    stored(tmp_path, "20260101-120000-aaaa", summary, **changes)
    assert list(history_lines(read_history(tmp_path)))[1].markup == {colour: True}
    other = {"green": "red", "red": "green"}[colour]
    shown = list(history_lines(read_history(tmp_path, "test_refund")))
    assert shown[2].markup == {other: True}


def test_history_says_what_was_not_judged(tmp_path: Path) -> None:
    summary = RunSummary(threshold=0.95)
    for episode in made_episodes({"passed": 5, "infra_error": 5}):
        summary.add(episode)
    stored(tmp_path, "20260101-120000-aaaa", summary)
    assert "not judged" in list(history_lines(read_history(tmp_path)))[1].text


def test_the_page_of_a_copied_summary_has_no_episodes_of_another_run(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copied = runs / BAD / "copied.json"
    shutil.copy(runs / GOOD / "summary.json", copied)
    page = runs.parent / "page.html"
    assert main(["report", str(copied), "--html", str(page)]) == 0
    assert Page(page).rows == []
    assert "copied.json has no episodes.jsonl of its own" in capsys.readouterr().err
    assert main(["report", str(runs / BAD), "--html", str(page)]) == 0
    assert len(Page(page).rows) == 24
    assert capsys.readouterr().err == ""


def test_compare_leaves_a_damaged_run_out(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    between = runs / "20261128-080500-ffff"
    between.mkdir()
    (between / "summary.json").write_text("{")
    assert main(["compare"]) == 0
    said = "".join(capsys.readouterr().out.split())
    assert f"before{GOOD}" in said
    assert f"leftout:{between}/summary.jsonisnosummaryofarun" in said
    shutil.rmtree(runs / GOOD)
    assert main(["compare"]) == 4
    assert "ffff/summary.json is no summary" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("verdict", "certified", "code"),
    [
        (Drop.within, True, 0),
        (Drop.exceeded, False, 1),
        (Drop.undecided, False, 0),
        (Drop.undecided, True, 1),
        (Drop.unknown, False, 6),
    ],
)
def test_what_a_drop_alone_says(verdict: Drop, certified: bool, code: int) -> None:
    allowed = Allowance(limit=0.02, verdict=verdict, run=verdict is Drop.exceeded)
    assert exit_code_of_drop(allowed, certified=certified) == code
    assert exit_code_of_drop(None, certified=certified) == 0


def test_costs_are_those_of_the_latest_run_that_can_be_read(tmp_path: Path) -> None:
    folder = tmp_path / ".agentgym" / "runs"
    stored(folder, "20260101-120000-aaaa", made(4))
    stored(folder, "20260102-120000-bbbb", made(4), tools=None)
    assert known_costs(tmp_path, [SCENARIO])[SCENARIO].tokens == 200
    assert known_costs(tmp_path, ["other"]) == {}


FULL = pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="only Linux has a full disk to try"
)


@FULL
@pytest.mark.parametrize("option", ["--markdown", "--html"])
def test_a_full_disk_is_named(
    runs: Path, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", option, "/dev/full"]) == 4
    sentence = "agentgym: /dev/full cannot be written: No space left on device\n"
    assert capsys.readouterr().err == sentence


@FULL
def test_an_output_that_cannot_be_written_is_one_sentence(runs: Path) -> None:
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "agentgym.commands.main", "report"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert ended.returncode == 4
    assert ended.stderr == (
        "agentgym: the output cannot be written: No space left on device\n"
    )


def test_the_file_is_named_that_the_user_gave(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = "/nonexistent/x.json"
    assert main(["compare", GOOD, BAD, "--json", path]) == 4
    assert capsys.readouterr().err == (
        f"agentgym: {path} cannot be written: No such file or directory\n"
    )


@pytest.mark.parametrize("command", [["report"], ["compare", BAD]])
def test_a_name_that_is_too_long_is_no_run(
    runs: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "x" * 5000]) == 4
    said = capsys.readouterr().err
    assert "is no run: it is no file" in said
    assert len(said) < 500
