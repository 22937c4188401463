"""`agentgym view`: the page over all runs as a file, and who opens it."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

from agentgym.commands.main import main
from agentgym.report.html.project_page import DESIGN, MOST_UPDATES
from tests.html_page import Page
from tests.made_episodes import made_episode, made_episodes
from tests.made_run import made_run

STORED = Path(__file__).parents[1] / "earlier_runs"
MEASURED, COMPARED = sorted(folder.name for folder in STORED.iterdir())
HOSTILE = "<img src=x onerror='hacked=1'><script>hacked=2<" + "\u2028"
KILLED = "20261128-110000-cccc"


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in which the test is, in a folder of its own."""
    folder = tmp_path / "shop" / ".agentgym" / "runs"
    shutil.copytree(STORED, folder)
    (folder / KILLED).mkdir()
    (folder / KILLED / "episodes.jsonl").write_text("")
    monkeypatch.chdir(tmp_path / "shop")
    for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    return folder


def viewed(runs: Path) -> Page:
    assert main(["view", "--no-browser"]) == 0
    return Page(runs.parent / "index.html")


def updates_of(runs: Path, name: str) -> list[int]:
    (run,) = [run for run in viewed(runs).report["runs"] if run["id"] == name]
    return [row["update"] for row in run["updates"]]


def test_all_runs_are_there_and_those_with_pages_are_linked(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = runs / "javascript:alert(1) ä#?"
    shutil.copytree(runs / MEASURED, odd)
    for folder in (odd, runs / MEASURED, runs / KILLED):
        (folder / "report.html").write_text("")
    report = viewed(runs).report
    page = runs.parent / "index.html"
    assert capsys.readouterr().out == f"4 runs: {page.as_uri()}\n"
    assert report["project"] == "shop"
    found = {run["id"]: run for run in report["runs"]}
    assert [found[name]["page"] for name in (MEASURED, COMPARED, KILLED)] == [
        f"runs/{MEASURED}/report.html",
        None,
        f"runs/{KILLED}/report.html",
    ]
    link = found[odd.name]["page"]
    assert link == "runs/javascript%3Aalert%281%29%20%C3%A4%23%3F/report.html"
    assert found[KILLED]["state"] == "not over"
    assert "reliability" not in found[KILLED]
    names = report["scenarios"]
    rows = {names[row[0]]: row[1:] for row in found[COMPARED]["scenarios"]}
    bad = rows["test_shop.py::test_bad"]
    assert bad == [3, 4, 0.75, 0.194120, 0.993691, 0.95, False, 0]
    assert found[COMPARED]["baseline"] == MEASURED


def test_the_curve_of_a_long_training_is_thinned(runs: Path) -> None:
    name = "20261128-120000-dddd"
    made_run(runs / name, made_episodes({"passed": 3}), training=True)
    assert updates_of(runs, name) == [1, 2, 3, 4]
    line = json.loads((runs / name / "updates.jsonl").read_text().splitlines()[0])
    lines = [json.dumps(line | {"update": number}) for number in range(1, 1002)]
    (runs / name / "updates.jsonl").write_text("\n".join([*lines, '{"update": 1']))
    # A training that was killed has a curve, too.
    (runs / name / "summary.json").unlink()
    (runs / name / "training.json").write_text("{}")
    updates = updates_of(runs, name)
    assert len(updates) == MOST_UPDATES
    assert (updates[0], updates[-1]) == (1, 1001)


def test_no_text_of_a_run_is_markup(runs: Path) -> None:
    folder = runs / HOSTILE
    told = made_run(folder, [made_episode(0, "failed", scenario=HOSTILE)])
    told |= {"run": HOSTILE, "policy": HOSTILE}
    told["decision"]["sentence"] = HOSTILE
    (folder / "summary.json").write_text(json.dumps(told))
    (runs / f"x{HOSTILE}").mkdir()
    made = viewed(runs)
    assert HOSTILE in made.report["scenarios"]
    assert "hacked" not in made.text
    shutil.move(runs.parents[1], runs.parents[2] / HOSTILE)
    moved = runs.parents[2] / HOSTILE
    os.chdir(moved)
    made = viewed(moved / ".agentgym" / "runs")
    assert made.report["project"] == HOSTILE
    assert made.text.count("hacked") == 2  # in the title, escaped
    assert not re.search("<img|<script>hacked|onerror='", made.text)


def test_the_page_allows_its_own_script_and_style_only(runs: Path) -> None:
    made = viewed(runs)
    policy = re.search(r'Security-Policy" content="([^"]*)"', made.text)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy[1]
    for tag in ("script", "style"):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", made.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy[1]
    addresses = set(re.findall(r"https?://[^\s\"']+", made.text))
    assert addresses == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"<(link|img|iframe|object|embed)\b|@import|url\(", made.text)


def test_the_scripts_are_complete_and_plain() -> None:
    folder = resources.files("agentgym.report.html") / "project"
    own = {f"project/{file.name}" for file in folder.iterdir()}
    assert own == {
        name for name in (*DESIGN.scripts, *DESIGN.styles) if "project/" in name
    }
    text = "".join(file.read_text("utf-8") for file in folder.iterdir())
    for word in ("</script", "<!--", "innerHTML", "outerHTML", "insertAdjacent"):
        assert word not in text
    for word in (r"\beval\b", r"new Function", r"document\.write", r"\bfetch\("):
        assert not re.search(word, text)


@pytest.mark.parametrize("option", [(), ("--no-browser",)])
def test_a_browser_is_started_unless_it_is_not_wanted(
    runs: Path, option: tuple[str, ...]
) -> None:
    browser = runs.parent / "browser"
    browser.write_text('#!/bin/sh\necho "$1" > started\n')
    browser.chmod(browser.stat().st_mode | stat.S_IXUSR)
    subprocess.run(
        [sys.executable, "-m", "agentgym.commands.main", "view", *option],
        check=True,
        env={**os.environ, "BROWSER": f"{browser} %s"},
    )
    started = Path("started")
    if option:
        assert not started.exists()
    else:
        assert started.read_text().strip() == (runs.parent / "index.html").as_uri()


def test_what_view_refuses(
    runs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = runs.parent / "index.html"
    page.mkdir()
    assert main(["view"]) == 4
    assert capsys.readouterr().err.startswith(f"agentgym: {page} cannot be written: ")
    monkeypatch.chdir(tmp_path)
    assert main(["view"]) == 4
    there = tmp_path / ".agentgym" / "runs"
    sentence = f"there is no run in {there}: run pytest --agentgym first"
    assert capsys.readouterr().err == f"agentgym: {sentence}\n"
    assert not there.exists()
