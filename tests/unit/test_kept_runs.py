"""`agentgym runs`: what is listed, shown and deleted, of damaged runs, too."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentgym.commands.main import main
from agentgym.runs.files.outlines import KEPT, kept_runs
from tests.made_episodes import made_episodes
from tests.made_run import made_run

STORED = Path(__file__).parents[1] / "earlier_runs"
MEASURED, COMPARED = sorted(folder.name for folder in STORED.iterdir())
TRAINED, DAMAGED = "20261128-090000-aaaa", "20261128-100000-bbbb"
KILLED, STRANGE = "20261128-110000-cccc", "notes"

Said = Callable[..., str]


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in which all that can happen to a run has happened."""
    folder = tmp_path / ".agentgym" / "runs"
    shutil.copytree(STORED, folder)
    told = made_run(folder / TRAINED, made_episodes({"passed": 30}), training=True)
    told["training"] |= {"agent": "/a/support/v1.2"}
    told["started"] = 1_795_856_400.0
    (folder / TRAINED / "summary.json").write_text(json.dumps(told))
    for name in (DAMAGED, KILLED, STRANGE):
        (folder / name).mkdir()
    (folder / DAMAGED / "summary.json").write_text("{")
    (folder / KILLED / "episodes.jsonl").write_text('{"id": "1"')
    (folder / KILLED / "training.json").write_text("{}")
    os.utime(folder / STRANGE, (0, 0))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return folder


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    """Runs a command and returns what it says, on the stream of its exit code."""

    def run(*arguments: str, code: int = 0) -> str:
        assert main(["runs", *arguments]) == code
        told = capsys.readouterr()
        assert (told.err == "") == (code in (0, 1))
        return told.err if code == 4 else told.out

    return run


def test_all_runs_are_listed_the_damaged_ones_too(runs: Path, said: Said) -> None:
    lines = [" ".join(line.split()) for line in said().splitlines()]
    assert lines[:8] == [
        "what scen. episod. reliability (95 %) gate",
        "notes - - - - no run",
        f"{MEASURED} measured 2 24 100.0 % (85.8-100.0) met",
        f"{COMPARED} compared 2 24 95.8 % (78.9-99.9) not met",
        f"{TRAINED} trained 1 30 100.0 % (88.4-100.0) met",
        "72.0 % before, 96.0 % after, 5 min: support_v1.2",
        f"{DAMAGED} measured - - - damaged",
        f"{KILLED} trained - - - not over",
    ]
    rest = " ".join(lines[8:])
    assert "notes: it has no summary.json and no episodes.jsonl" in rest
    assert f"{DAMAGED}: summary.json is no summary of a run: Expecting" in rest
    assert f"{KILLED}: killed, or not over: it has no summary.json; last writ" in rest
    assert all(len(line) <= 80 for line in said("list").splitlines())
    found = {run["run"]: run for run in json.loads(said("--json"))}
    assert found[TRAINED]["training"]["agent"] == "/a/support/v1.2"
    assert found[DAMAGED]["problem"].startswith("summary.json is no summary")


def test_a_list_is_the_same_from_what_was_kept(runs: Path, said: Said) -> None:
    first = said()
    kept = json.loads((runs / KEPT).read_text())
    assert kept["outlines"].keys() == {MEASURED, COMPARED, TRAINED}
    written = (runs / KEPT).stat().st_mtime_ns
    assert said() == first
    assert (runs / KEPT).stat().st_mtime_ns == written
    # A run that was written anew is read anew, one that is gone is forgotten.
    shutil.copy(runs / COMPARED / "summary.json", runs / MEASURED / "summary.json")
    shutil.rmtree(runs / TRAINED)
    again = said()
    assert "trained 1" not in " ".join(again.split())
    assert again.count("95.8 %") == 2
    assert json.loads((runs / KEPT).read_text())["outlines"].keys() == {
        MEASURED,
        COMPARED,
    }


@pytest.mark.parametrize(
    "spoiled",
    [
        lambda kept: "{",
        lambda kept: json.dumps([kept]),
        lambda kept: json.dumps(kept | {"outlines": {}}),
        lambda kept: json.dumps(kept | {"version": "0.0.1"}),
        lambda kept: json.dumps(kept).replace('"started": ', '"started": "x", "y": '),
    ],
)
def test_what_was_kept_may_be_spoiled(
    runs: Path, said: Said, spoiled: Callable[[dict[str, Any]], str]
) -> None:
    first = said()
    (runs / KEPT).write_text(spoiled(json.loads((runs / KEPT).read_text())))
    assert said() == first


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read(runs: Path, said: Said) -> None:
    (runs / MEASURED).chmod(0)
    text, listed = said(), said("--json")
    assert main(["view", "--no-browser"]) == 0
    (runs / MEASURED).chmod(0o755)
    assert len(json.loads(listed)) == 6
    assert f"{MEASURED}: it cannot be read: Permission denied" in text
    assert f"{COMPARED} compared" in " ".join(text.split())


def test_no_field_that_is_left_out_of_an_outline_is_in_a_list(runs: Path) -> None:
    file = runs / COMPARED / "summary.json"
    whole = json.loads(file.read_text())
    before = [run.outline for run in kept_runs(runs)]
    whole["tools"] = whole["scenarios"][0]["checks"] = ["no tool, and no check"]
    file.write_text(json.dumps(whole))
    assert [run.outline for run in kept_runs(runs)] == before


def test_a_run_is_shown_in_short(runs: Path, said: Said) -> None:
    text = said("show", COMPARED)
    assert all(len(line) <= 80 for line in text.splitlines()[:-3])
    flat = " ".join(text.split())
    for part in (
        f"run {COMPARED}, ",
        "test_bad 3/4 75.0 % (19.4-99.4) 0.75",
        "look_up 23 100 % 0 0 1 0",
        "commonest failed checks 1/4 of test_bad: assert agent.run(",
        f"compared with {MEASURED}: -4.2 points (-14.4 to +6.7), 1 case newly failing",
        "gate reliability 95.8 % (95 % interval 78.9-99.9 %), UNDECIDED "
        "gate not met: 1 of 2 scenarios is below 95 % "
        "test_shop.py::test_bad: 75.0 %, needs 95 %",
        f"page none: agentgym report {COMPARED} --html FILE writes one",
    ):
        assert part in flat
    (runs / TRAINED / "report.html").write_text("")
    text = said("show", TRAINED[:-1])
    assert "difference +24.0 points (+18.0 to +30.0)" in text
    assert text.endswith(f"\npage  {runs / TRAINED / 'report.html'}\n")
    shutil.rmtree(runs / DAMAGED)
    assert said("show") == said("show", "latest") == text


def test_what_is_no_run_is_refused_with_the_nearest(runs: Path, said: Said) -> None:
    near = f"in {runs} (did you mean {MEASURED}?)"
    for command in (("show",), ("delete", "--yes")):
        assert near in said(*command, f"{MEASURED[:-1]}x", code=4)
        assert "agentgym runs lists them" in said(*command, "qqqq", code=4)
        assert "begins the ids of 5 runs" in said(*command, "2026", code=4)
    assert f"{KILLED} has no summary.json" in said("show", KILLED, code=4)
    assert "summary.json is no summary" in said("show", DAMAGED, code=4)
    # All or none: the first one is there.
    said("delete", "--yes", MEASURED, "qqqq", code=4)
    assert (runs / MEASURED).is_dir()
    assert "needs --yes: nobody can be asked" in said("delete", MEASURED, code=4)
    # Nothing outside of the folder of runs.
    assert "is no run in" in said("delete", "--yes", "..", code=4)
    assert "is no run in" in said("delete", "--yes", str(runs / MEASURED), code=4)


def test_runs_are_deleted(runs: Path, said: Said, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.move(runs / COMPARED, elsewhere)
    (runs / COMPARED).symlink_to(elsewhere)
    text = said("delete", "--yes", DAMAGED, COMPARED, KILLED[:-1], KILLED)
    assert text.splitlines() == [
        f"deleted {runs / name}" for name in (DAMAGED, COMPARED, KILLED)
    ]
    assert (elsewhere / "summary.json").exists()
    said("delete", "latest", "--yes")
    left = {path.name for path in runs.iterdir() if path.is_dir()}
    assert left == {MEASURED, STRANGE}


@pytest.mark.parametrize(("answer", "left"), [("y", False), ("", True)])
def test_a_person_is_asked(
    runs: Path, said: Said, answer: str, left: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Person(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Person(f"{answer}\n"))
    text = said("delete", KILLED, DAMAGED, code=int(left))
    assert text.startswith(f"delete {KILLED}, {DAMAGED} in {runs}? [y/N] ")
    assert ("nothing was deleted" in text) == left
    assert (runs / KILLED).exists() == (runs / DAMAGED).exists() == left


def test_a_project_without_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: Said
) -> None:
    monkeypatch.chdir(tmp_path)
    there = f"there is no run in {tmp_path / '.agentgym' / 'runs'}"
    assert said() == f"{there}: run pytest --agentgym first\n"
    assert there in said("delete", "latest", code=4)
    assert "there is no run with a summary.json" in said("show", code=4)
    assert not (tmp_path / ".agentgym").exists()
