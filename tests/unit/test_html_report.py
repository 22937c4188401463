"""The HTML report as a file: what it holds, and what it says of what it does not."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentgym.commands.main import main
from agentgym.report.html import episodes as packing
from agentgym.report.html import write_html
from agentgym.report.html.cutting import cut_episode
from agentgym.report.html.page import SCRIPTS
from agentgym.runs.summary import RunSummary
from tests.html_page import Page
from tests.made_episodes import (
    made_call,
    made_check,
    made_episode,
    made_episodes,
    made_row,
    made_trajectory,
)
from tests.made_run import made_run

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\u2028"


def page(folder: Path, told: dict[str, Any]) -> tuple[Page, list[str]]:
    notes = write_html(folder, folder / "report.html", told)
    return Page(folder / "report.html"), notes


def test_every_episode_is_there_failed_ones_first(tmp_path: Path) -> None:
    episodes = made_episodes({"passed": 300, "infra_error": 5, "failed": 20})
    made, notes = page(tmp_path, made_run(tmp_path, episodes))
    assert notes == []
    assert [row[3] for row in made.rows[:25]] == ["infra_error"] * 5 + ["failed"] * 20
    assert len(made.chunks) == 3
    told = [None if e is None else e["id"] for e in made.places]
    assert told == [row[0] for row in made.rows]
    lines = (tmp_path / "episodes.jsonl").read_text().splitlines()
    assert sorted(made.places, key=lambda e: e["index"]) == list(map(json.loads, lines))


def test_a_row_says_what_can_be_filtered(tmp_path: Path) -> None:
    episode = made_episode(
        3,
        "failed",
        reward=0.25,
        case={"index": 7, "seed": 1, "split": "held_out", "value": None},
        checks=[made_check(), made_check("failed", number=1, must="why")],
        tools=[
            made_row("look", calls=2, wrong_arguments=1, correct=1),
            made_row("pay", missing=1),
        ],
        trajectory=made_trajectory(made_call("look"), user="Hello\n  you " + "x" * 200),
        phase="after",
    )
    made, _ = page(tmp_path, made_run(tmp_path, [episode]))
    (row,) = made.rows
    assert row[1:5] == [0, 3, "failed", 0.25]
    assert row[7:10] == [0, "held_out-7", 1]
    assert made.report["tools"] == ["look", "pay"]
    assert row[10] == [
        0 << 6 | packing.CALLED | packing.WRONG_ARGUMENTS,
        1 << 6 | packing.MISSING,
    ]
    assert row[11] == [0]
    assert made.report["checks"][0]["must"] == "why"
    assert row[12] == ("Hello you " + "x" * 200)[: packing.PREVIEW]
    assert made.report["phases"] == ["after"]


def test_the_page_allows_its_own_script_and_style_only(tmp_path: Path) -> None:
    made, _ = page(tmp_path, made_run(tmp_path, made_episodes({"passed": 3})))
    policy = re.search(r'Security-Policy" content="([^"]*)"', made.text)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy[1]
    for tag in ("script", "style"):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", made.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy[1]
    # Nothing to fetch: no address but the name of SVG, which is none.
    addresses = set(re.findall(r"https?://[^\s\"']+", made.text))
    assert addresses == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"<(link|img|iframe|object|embed)\b|@import|url\(", made.text)


def test_text_of_an_agent_is_never_markup(tmp_path: Path) -> None:
    call = made_call("look", arguments={HOSTILE: HOSTILE}, result=HOSTILE)
    episode = made_episode(
        0,
        "failed",
        id=HOSTILE,
        scenario=HOSTILE,
        checks=[made_check("failed", text=HOSTILE, message=HOSTILE)],
        trajectory=made_trajectory(call, user=HOSTILE, reply=HOSTILE),
        error=HOSTILE,
        output=HOSTILE,
        policy=HOSTILE,
    )
    told = made_run(tmp_path, [episode]) | {"run": HOSTILE, "warnings": [HOSTILE]}
    made, _ = page(tmp_path, told)
    assert made.rows[0][0] == HOSTILE
    assert "alert(1)" in made.text  # as the page's title, escaped
    assert "<script>alert" not in made.text
    assert "<img" not in made.text
    assert made.text.count("\u2028") == 1


def test_the_scripts_are_complete_and_plain() -> None:
    folder = resources.files("agentgym.report.html") / "script"
    names = {file.name.removesuffix(".js") for file in folder.iterdir()}
    assert names == set(SCRIPTS)
    text = "".join((folder / f"{name}.js").read_text("utf-8") for name in SCRIPTS)
    for word in ("</script", "<!--", "innerHTML", "outerHTML", "insertAdjacent"):
        assert word not in text
    for word in (r"\beval\b", r"new Function", r"document\.write", r"\bfetch\("):
        assert not re.search(word, text)


def test_a_line_that_is_cut_or_strange_is_left_out_and_named(tmp_path: Path) -> None:
    told = made_run(tmp_path, made_episodes({"passed": 3}))
    newer = json.loads((tmp_path / "episodes.jsonl").read_text().splitlines()[0])
    strange = json.dumps(newer | {"duration": float("nan")})
    newer["format"] = 2
    with (tmp_path / "episodes.jsonl").open("a") as file:
        file.write(f"{json.dumps(newer)}\n[]\n{strange}\n")
        file.write('{"format": 1}\n\xff\n{"format": 1, ')
    made, notes = page(tmp_path, told)
    assert len(made.rows) == 3
    assert notes == made.report["notes"]
    assert notes[0] == "Line 9 of episodes.jsonl is cut: left out."
    newer = "(ValueError: its format is 2: update pytest-agentgym)"
    assert f"line 4 {newer}, line 5 " in notes[1]
    assert notes[1].endswith(" and 2 more.")


def test_no_episodes_file(tmp_path: Path) -> None:
    told = made_run(tmp_path / "run", made_episodes({"passed": 3}))
    (tmp_path / "run" / "episodes.jsonl").unlink()
    made, notes = page(tmp_path / "run", told)
    assert made.rows == []
    assert len(notes) == 1
    assert "episodes.jsonl cannot be read: No such file or directory." in notes[0]
    assert write_html(None, tmp_path / "none.html", told) == []
    assert Page(tmp_path / "none.html").report["summary"]["run"] == "run"


def test_megabytes_of_text_are_cut_and_said(tmp_path: Path) -> None:
    # The file has a limit for an episode already; a page of many needs a lower one.
    calls = [made_call("read", f"c{i}", result="y" * 30_000) for i in range(500)]
    told = made_run(
        tmp_path,
        [
            made_episode(0, "failed", trajectory=made_trajectory(*calls)),
            made_episode(1),
        ],
    )
    stored = (tmp_path / "episodes.jsonl").stat().st_size
    assert 5 * packing.MOST_LINE < stored < 4_000_000
    made, notes = page(tmp_path, told)
    assert notes == ["Long texts of 1 episode are cut; episodes.jsonl has more."]
    cut, whole = made.places
    assert cut is not None
    assert whole is not None
    assert cut["cut"] is True
    assert "cut" not in whole
    assert len(json.dumps(cut)) < packing.MOST_LINE
    assert cut["trajectory"]["steps"][0]["tool_calls"][0]["id"] == "c0"
    assert "characters cut]" in cut["trajectory"]["steps"][0]["tool_calls"][0]["result"]
    assert made.rows[0][9] == 500


def test_passed_episodes_make_room_for_failed_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = made_run(tmp_path, made_episodes({"passed": 300, "failed": 300}))
    sizes: list[int] = []
    packer = packing.EpisodePacker(lambda _, data: sizes.append(len(data)))
    packer.add_file(tmp_path / "episodes.jsonl")
    packer.finish()
    # 256 and 44 failed ones and their rows, the same of passed ones.
    assert len(sizes) == 6
    monkeypatch.setattr(packing, "MOST_BYTES", sizes[0] + sizes[1] + sizes[4])
    made, notes = page(tmp_path, told)
    assert len(made.rows) == 600
    here = [episode is not None for episode in made.places]
    assert here == [True] * 300 + [False] * 256 + [True] * 44
    assert notes == [
        "The conversations of 256 episodes are left out to keep this "
        "page small; episodes.jsonl has them."
    ]


def test_what_a_training_did(tmp_path: Path) -> None:
    told = made_run(
        tmp_path, made_episodes({"passed": 3}, phase="after"), training=True
    )
    with (tmp_path / "updates.jsonl").open("a") as file:
        file.write('{"update": 5, "vers')
    made, _ = page(tmp_path, told)
    assert [row["update"] for row in made.report["updates"]] == [1, 2, 3, 4]
    assert made.report["summary"]["training"]["version"] == 4


values = st.recursive(
    st.none() | st.integers() | st.text(max_size=300),
    lambda inner: (
        st.lists(inner, max_size=40) | st.dictionaries(st.text(), inner, max_size=40)
    ),
    max_leaves=300,
)


@given(values, st.text(max_size=5_000))
def test_a_cut_episode_is_small(result: Any, said: str) -> None:
    trajectory = made_trajectory(made_call("look", result=result), user=said)
    checks = [made_check("failed", message=said) for _ in range(40)]
    episode = made_episode(0, "failed", trajectory=trajectory, checks=checks).to_json()
    before = json.dumps(episode)
    cut = cut_episode(episode, 12_000)
    assert len(json.dumps(cut)) <= 12_000
    assert json.dumps(episode) == before
    assert {*cut} == {*episode, "cut"}


def test_a_file_is_replaced_only_by_a_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = made_run(tmp_path, made_episodes({"passed": 3}))
    (tmp_path / "report.html").write_text("the old one")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(packing.EpisodePacker, "finish", full)
    with pytest.raises(OSError, match="No space left"):
        write_html(tmp_path, tmp_path / "report.html", told)
    assert (tmp_path / "report.html").read_text() == "the old one"
    assert not list(tmp_path.glob("*.partial"))


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, file = tmp_path / "runs" / "20260101-a", tmp_path / "new" / "report.html"
    made_run(run, made_episodes({"passed": 3}))
    with (run / "episodes.jsonl").open("a") as lines:
        lines.write('{"format"')
    assert main(["report", str(run), "--html", str(file)]) == 0
    assert len(Page(file).rows) == 3
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "agentgym: Line 4 of episodes.jsonl is cut: left out.\n"
    both = tmp_path / "report.md"
    assert main(["report", str(run), f"--html={file}", f"--markdown={both}"]) == 0
    assert both.read_text().startswith("## Tool reliability")


def test_what_the_command_refuses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    made_run(run, made_episodes({"passed": 3}))

    def refused(sentence: str, *arguments: str) -> None:
        assert main(["report", str(run), *arguments]) == 4
        assert capsys.readouterr().err == f"agentgym: {sentence}\n"

    refused(
        f"{tmp_path} cannot be written: it is a folder: name a file in it",
        f"--html={tmp_path}",
    )
    inside = run / "summary.json" / "x.html"
    refused(f"{inside} cannot be written: File exists", f"--html={inside}")
    refused(
        "--baseline compares in Markdown: leave out --html",
        "--html=x.html",
        f"--baseline={run}",
    )


STUB = """
element = drawn = (tag, attributes, ...children) => ({
  tag, attributes, children, append(...more) { children.push(...more); },
});
const given = JSON.parse(require("fs").readFileSync(0, "utf-8"));
"""
DRAW_BARS = """
const report = { summary: given };
console.log(JSON.stringify([head(report), scenarios(report, () => {})]));
"""
DRAW_PROMPTS = """
const drawnBefore = new Map();
const calls = given.calls.map((call) => askedBy(call, drawnBefore, given.prompts));
const changes = changedPrompts(given.changes);
console.log(JSON.stringify({ calls, changes }));
"""


def drawn_by(summary: RunSummary) -> tuple[list[str], str]:
    """The colours of the page's bars, the run's first; and what its head says."""
    drawn = draw(DRAW_BARS, summary.to_json())
    return re.findall(r'"class":"value (\w+)"', drawn), drawn


def draw(script: str, given: Any) -> str:
    """What the page's functions make of something, as JSON."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no node")
    folder = resources.files("agentgym.report.html") / "script"
    names = [name for name in SCRIPTS if name != "main"]
    code = "".join(
        (folder / f"{name}.js").read_text(encoding="utf-8") for name in names
    )
    ran = subprocess.run(
        [node, "-e", code + STUB + script],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=True,
    )
    return ran.stdout


def test_bars_have_the_colour_of_what_the_gate_says() -> None:
    summary = RunSummary(threshold=0.9, gate="certified")
    for name, count in {"a.py::test_sure": 200, "b.py::test_clean": 20}.items():
        for index in range(count):
            summary.add(made_episode(index, "passed", scenario=name))
    # All pass, but 20 clean episodes do not certify 90 %.
    by_name = {s["name"]: s["met"] for s in summary.to_json()["scenarios"]}
    assert by_name == {"a.py::test_sure": True, "b.py::test_clean": False}
    assert drawn_by(summary)[0] == ["bad", "good", "bad"]
    summary.gate = "point"
    assert drawn_by(summary)[0] == ["good", "good", "good"]
    summary.interrupted, summary.stopped = (220, 300), "$5 are spent"
    colours, text = drawn_by(summary)
    assert colours == ["plain", "plain", "plain"]
    assert "RELIABLE at 95 % confidence, of what was played" in text


def test_a_calls_prompt_is_shown_where_it_is_another_one() -> None:
    tool = {"name": "look_up", "description": "Shows.", "parameters": {"id": 1}}
    prompts = {
        "a": {"digest": "a", "system": "Be brief."},
        "b": {"digest": "b", "system": "Be long."},
        "t": {"digest": "t", "tools": [tool]},
    }
    calls: list[dict[str, Any]] = [
        {"system": "a", "tools": "t"},
        {"system": "a", "tools": "t"},
        {"system": "b", "tools": "t"},
        {"system": "a", "tools": "t", "path": ["orders"]},
        {"system": "of an earlier version", "tools": None},
        {},
    ]
    change = {
        "sentence": "the system prompt changed",
        "scenarios": ["test_a.py::test_a"],
        "diff": ["-Be brief.", "+Be long."],
    }
    given = {"prompts": prompts, "calls": calls, "changes": [change]}
    drawn = json.loads(draw(DRAW_PROMPTS, given))
    first, again, other, nested, unknown, none = drawn["calls"]
    assert "Asked by: system prompt, 1 tool" in json.dumps(first)
    for words in ("Be brief.", "look_up", "Shows."):
        assert words in json.dumps(first)
    assert again is unknown is none is None
    assert "Be long." in json.dumps(other)
    assert "Be brief." in json.dumps(nested)
    assert "-Be brief.\\n+Be long." in json.dumps(drawn["changes"])
