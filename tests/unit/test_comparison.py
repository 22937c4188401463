"""Two runs compared: what is said, in the terminal, as Markdown and JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agentgym.errors import UsageError
from agentgym.playing.episode import Episode
from agentgym.report.comparison_markdown import comparison_markdown
from agentgym.report.comparison_terminal import comparison_lines, drop_verdict
from agentgym.report.markdown import markdown
from agentgym.report.side_by_side import cells, episodes_beside
from agentgym.runs.comparison import Comparison, compare
from agentgym.runs.drop import Drop
from agentgym.runs.files.stored import find_run
from agentgym.runs.lines import Heading
from agentgym.runs.side import Side, open_side
from agentgym.runs.summary import RunSummary
from tests.made_episodes import (
    SCENARIO,
    made_call,
    made_check,
    made_episode,
    made_row,
    made_trajectory,
)

OTHER = SCENARIO.replace("test_refund", "test_other")


def played(
    outcomes: str, *, cases: int | None = None, seed: int = 1, **fields: Any
) -> list[Episode]:
    """An episode per letter: p passed, f failed, i lost; `cases` of them go round."""
    names = {"p": "passed", "f": "failed", "i": "infra_error"}
    return [
        made_episode(
            index,
            names[letter],
            id=f"{seed}-{fields.get('scenario', 's')}-{index}-{letter}",
            case={
                "index": index % (cases or len(outcomes)),
                "seed": seed,
                "split": "held_out",
                "value": None,
            },
            **fields,
        )
        for index, letter in enumerate(outcomes)
    ]


def side(*groups: list[Episode], name: str = "r", seed: int = 0) -> Side:
    made = Side(name=name, seed=seed)
    for group in groups:
        for episode in reversed(group):  # in any order
            made.add(episode)
    return made


def store(
    folder: Path, *groups: list[Episode], summary: bool = True, **more: Any
) -> Path:
    """A run's folder."""
    folder.mkdir(parents=True)
    told = RunSummary(threshold=0.95, run_id=folder.name)
    lines = []
    for episode in (e for group in groups for e in group):
        told.add(episode)
        lines.append(json.dumps(episode.to_json()) + "\n")
    (folder / "episodes.jsonl").write_text("".join(lines))
    if summary:
        (folder / "summary.json").write_text(json.dumps(told.to_json() | more))
    return folder


def texts(comparison: Comparison, width: int = 80, shown: int = 2) -> list[str]:
    return [line.text for line in comparison_lines(comparison, width, shown)]


# What is compared.


def test_cases_that_pass_in_one_run_only() -> None:
    found = compare(side(played("ppffp")), side(played("pfpfi")))
    assert [(c.id, c.before, c.after) for c in found.worse] == [
        ("held_out-1", (1, 1), (0, 1))
    ]
    assert [c.id for c in found.better] == ["held_out-2"]
    assert found.worse[0].examples == ("1-s-1-p", "1-s-1-f")
    assert found.better[0].examples == ("1-s-2-f", "1-s-2-p")
    # The lost episode has no partner.
    assert found.difference is not None
    assert (found.difference.paired, found.difference.episodes) == (True, 4)
    assert "1 episode without a partner in the other run left out" in found.notes


def test_a_case_with_repeats_is_what_most_of_them_are() -> None:
    # Case 0 passes 3, 1 of 4; case 1 2, 2 of 4; case 2 4, 3 of 4.
    before = side(played("ppp" + "ppp" + "pfp" + "ffp", cases=3))
    after = side(played("pfp" + "ffp" + "fpp" + "fpf", cases=3))
    found = compare(before, after)
    assert [(c.id, c.before, c.after) for c in found.worse] == [
        ("held_out-0", (3, 4), (1, 4))
    ]
    assert found.better == ()


def test_the_largest_change_comes_first() -> None:
    before = side(played("pppppppfpppppff"[:5], cases=2))
    after = side(played("fffffffffffpfpf", cases=2))
    changes = [case.change for case in compare(before, after).worse]
    assert changes == sorted(changes)
    assert len(changes) == 2


def test_other_seeds_and_values_are_other_cases() -> None:
    one, two = side(played("pp")), side(played("ff", seed=2), seed=5)
    found = compare(one, two)
    assert (found.worse, found.better) == ((), ())
    assert found.notes == ("not paired, as the runs have different seeds, 0 and 5",)
    here, there = played("pp"), played("ff")
    for number, (a, b) in enumerate(zip(here, there, strict=True)):
        a.case["value"] = f"<Order object at 0x7f{number}a>"
        b.case["value"] = f"<Order object at 0x55{number}f>"
    # An address is no part of a value.
    assert len(compare(side(here), side(there)).worse) == 2
    there[0].case["value"] = there[1].case["value"] = "another order"
    found = compare(side(here), side(there))
    assert found.worse == ()
    assert "not paired, as most of their cases are not in both runs" in found.notes


def test_what_only_one_run_has_is_said() -> None:
    found = compare(
        side(played("pp"), played("p", scenario="gone"), name="old"),
        side(played("pf"), played("f", scenario="new"), name="now"),
    )
    assert (found.only_before, found.only_after) == (("gone",), ("new",))
    assert found.notes == (
        "only in old, not compared: gone",
        "only in now, not compared: new",
    )
    assert found.difference is not None
    assert (found.difference.before, found.difference.after) == (1, 0.5)
    nothing = compare(side(played("p"), name="old"), side(name="now"), 0.1)
    assert nothing.notes[-1] == "old and now have no scenario in common"
    assert nothing.allowed is not None
    assert nothing.allowed.verdict is Drop.unknown


def test_other_checks_are_said() -> None:
    before = side(played("pp", checks=[made_check()]))
    after = side(played("pp", checks=[made_check(text="run.called('pay')")]))
    assert compare(before, after).notes == (
        f"the checks are not the same as before: {SCENARIO}",
    )


def test_what_is_expected_to_fail_is_left_out_of_the_run() -> None:
    before = side(played("pp"), played("pp", scenario=OTHER))
    after = side(played("pp"), played("ff", scenario=OTHER))
    after.xfail.add(OTHER)
    found = compare(before, after, 0.02)
    assert found.difference is not None
    assert found.difference.value == 0
    assert [c.xfail for c in found.scenarios] == [True, False]
    assert found.allowed is not None
    assert not found.allowed.scenarios


def test_too_many_lost_episodes_are_no_verdict() -> None:
    found = compare(side(played("p" * 40)), side(played("f" * 30 + "i" * 10)), 0.02)
    assert found.allowed is not None
    assert found.allowed.verdict is Drop.unknown
    assert any("lost more than 5 % of these episodes" in note for note in found.notes)


def test_too_many_lost_episodes_of_the_earlier_run_are_no_verdict_either() -> None:
    found = compare(side(played("p" * 8 + "iiii")), side(played("p" * 12)), 0.02)
    assert found.allowed is not None
    assert found.allowed.verdict is Drop.unknown


def test_tools_are_compared_by_episode() -> None:
    right = made_row("pay", calls=3, correct=3)
    wrong = made_row("pay", calls=2, correct=1, wrong_arguments=1)
    missing = made_row("look", missing=1)
    unjudged = made_row("look", calls=1, unjudged=1)
    before = [*played("pppp", tools=[right, unjudged])]
    after = [*played("pfff", tools=[wrong, missing])]
    after[0].tools = [right]
    found = compare(side(before), side(after))
    assert [tool.name for tool in found.tools] == ["pay"]
    pay = found.tools[0]
    assert (pay.before, pay.after) == ((4, 4), (1, 4))
    assert pay.difference is not None
    assert pay.difference.value == -0.75


# What is shown.


def changed(tmp_path: Path) -> Comparison:
    call = made_call("look_up", arguments={"order": "A1"}, result="paid")
    other = made_call("refund", arguments={"order": "A1"}, result="done")
    checks = [made_check("failed", text='run.called("look_up")')]
    good = made_trajectory(call, other, user="My order A1 is broken")
    bad = made_trajectory(other, user="My order A1 is broken", reply="Sorry!")
    store(tmp_path / "r1", played("p" * 9, trajectory=good))
    store(tmp_path / "r2", played("f", trajectory=bad, checks=checks, cases=9))
    path = tmp_path / "r2" / "episodes.jsonl"
    with path.open("a") as file:
        for episode in played("p" * 9, trajectory=good)[1:]:
            file.write(json.dumps(episode.to_json()) + "\n")
    first, second = (open_side(str(tmp_path / n), tmp_path) for n in ("r1", "r2"))
    return compare(first, second, 0.02)


def test_the_terminal_shows_both_episodes_side_by_side(tmp_path: Path) -> None:
    found = changed(tmp_path)
    lines = texts(found)
    assert lines[:3] == [
        "before r1, seed 0",
        "after  r2, seed 0",
        "100.0 % -> 88.9 %: -11.1 points (-33.7 to +15.5), 9 pairs",
    ]
    at = lines.index("newly failing: 1 case")
    assert lines[at + 1 :] == [
        "test_refund --agentgym-case held_out-0: passed 1/1, now 0/1",
        "  before: passed                          after: failed",
        "  user    My order A1 is broken           user    My order A1 is broken",
        "  calls   look_up(order='A1')           | calls   refund(order='A1')",
        "          -> paid                       |         -> done",
        "  calls   refund(order='A1')            | says    Sorry!",
        "          -> done                       | fails   assert "
        'run.called("look_up")',
        "  says    Done.                         <",
        "",
    ]
    assert [line.text for line in drop_verdict(found.allowed, 80)] == [  # type: ignore[arg-type]
        "drop UNDECIDED: these episodes cannot tell whether it is more than 2 points;",
        "  about 77 in each run would, at this rate",
    ]


def test_a_narrow_terminal_has_them_one_below_the_other(tmp_path: Path) -> None:
    lines = texts(changed(tmp_path), 60)
    at = lines.index("  before: passed")
    assert lines[at : at + 3] == [
        "  before: passed",
        "  user    My order A1 is broken",
        "  calls   look_up(order='A1')",
    ]
    assert "  after: failed" in lines
    assert max(map(len, lines)) <= 60


@pytest.mark.parametrize("width", [40, 79, 80, 120, 160])
def test_no_line_is_wider_than_the_terminal(tmp_path: Path, width: int) -> None:
    text = "退款 " * 30 + "e\u0301" * 90 + "\u202ertl \x1b[2J שלום " * 9
    call = made_call("refund", arguments={"order": text}, result="y" * 200)
    episode = made_episode(trajectory=made_trajectory(call, user=text, reply=text))
    for line in episodes_beside(episode, episode, width):
        # A word of a table may be longer than a very narrow terminal.
        if width >= 80:
            assert cells(line.text) <= width
        assert "\x1b" not in line.text
        assert "\u202e" not in line.text


def test_a_file_that_is_gone_costs_the_trajectories_only(tmp_path: Path) -> None:
    found = changed(tmp_path)
    (tmp_path / "r1" / "episodes.jsonl").unlink()
    head = next(line for line in texts(found) if line.startswith("  before:"))
    assert head.split() == ["before:", "not", "known", "after:", "failed"]


def test_headings_and_tables(tmp_path: Path) -> None:
    found = compare(
        side(played("p" * 40, tools=[made_row("pay", calls=1, correct=1)])),
        side(played("f" * 40, tools=[made_row("pay", missing=1)])),
    )
    lines = list(comparison_lines(found, 80))
    assert [line.text for line in lines if isinstance(line, Heading)] == [
        "scenarios, before and after",
        "tools: episodes in which all calls were right",
        "newly failing: 40 cases",
    ]
    row = next(line for line in lines if line.text.startswith("  test_refund "))
    assert row.text.split() == [
        *("test_refund", "100.0", "%", "0.0", "%", "-100.0"),
        *("-100.0", "to", "-87.3"),
    ]
    assert row.markup["red"]
    assert lines[-1].text == "and 30 more"


def test_markdown(tmp_path: Path) -> None:
    text = comparison_markdown(changed(tmp_path))
    lines = text.splitlines()
    assert lines[0] == "## Tool reliability: 100.0 % to 88.9 %"
    assert lines[2] == (
        "-11.1 points (-33.7 to +15.5) with a 95 % interval, from run `r1` to `r2`; "
        "9 pairs."
    )
    assert lines[4].startswith("Drop **UNDECIDED**: these episodes cannot tell")
    assert (
        f"| `{SCENARIO}` | 100.0 % | 88.9 % | -11.1 points (-33.7 to +15.5) |" in lines
    )
    assert "- `test_refund` `held_out-0`: passed 1/1, now 0/1" in lines
    assert "  ```text" in lines
    assert any("| calls   refund(order='A1')" in line for line in lines)
    nothing = compare(side(played("p")), side(name="x"))
    assert comparison_markdown(nothing).startswith("## Tool reliability: nothing to")


def test_the_report_of_a_run_has_its_baseline(tmp_path: Path) -> None:
    told = RunSummary(threshold=0.95, run_id="r2")
    for episode in played("pppf"):
        told.add(episode)
    told.baseline = compare(side(played("pppp"), name="r1"), side(played("pppf")), 0.9)
    sentence = (
        "The baseline, run `r1`, had 100.0 %: -25.0 points (-60.9 to +27.6), in pairs; "
        "1 newly failing case. Drop **WITHIN**, at most 90 points allowed."
    )
    assert sentence in markdown(told.to_json()).splitlines()
    told.baseline = compare(side(name="r1"), side(played("pppf")))
    assert "run `r1`, has no scenario in common" in markdown(told.to_json())


def test_json_says_the_same(tmp_path: Path) -> None:
    data = json.loads(json.dumps(changed(tmp_path).to_json()))
    assert data["before"] == {"run": "r1", "policy": None, "seed": 0}
    assert data["difference"]["value"] == pytest.approx(-1 / 9, abs=1e-6)
    assert data["newly_failing"][0]["episodes"] == [f"1-s-0-{x}" for x in "pf"]
    assert data["max_drop"]["verdict"] == "UNDECIDED"


# Reading runs.


def test_a_summary_alone_is_compared_unpaired(tmp_path: Path) -> None:
    run = store(tmp_path / "r1", played("pppf"))
    (run / "episodes.jsonl").unlink()
    before = open_side("r1", tmp_path)
    found = compare(before, side(played("pppp")), 0.1)
    assert found.notes == (
        f"{run / 'summary.json'} has no episodes.jsonl beside it: its tools and cases "
        "are not compared",
        "not paired: single episodes are not known",
    )
    assert found.difference is not None
    assert (found.difference.before, found.difference.after) == (0.75, 1)
    assert (found.difference.paired, found.tools, found.worse) == (False, (), ())
    assert found.allowed is not None
    assert found.allowed.verdict is Drop.undecided


def test_a_run_that_was_killed_is_compared_and_said(tmp_path: Path) -> None:
    run = store(tmp_path / "r1", played("pppp"), summary=False)
    path = run / "episodes.jsonl"
    path.write_bytes(path.read_bytes()[:-30])
    read = open_side(str(path), tmp_path)
    assert len(read.episodes) == 3
    assert read.notes == [
        f"{path}: line 4 is cut and was left out",
        "r1 has no summary.json: it did not come to its end",
    ]


def test_a_training_is_its_last_measurement(tmp_path: Path) -> None:
    def phase(letters: str, name: str) -> list[Episode]:
        found = played(letters, phase=name)
        for episode in found:
            episode.id = f"{name}-{episode.index}"
        return found

    groups = [phase("ffff", "before"), phase("pfpf", "train"), phase("pppf", "after")]
    training = {"training": {"version": 3}}
    run = store(tmp_path / "r1", *groups, **training)
    # A rollout that was played again has the same id: the last one counts.
    again = phase("f", "after")
    lines = [json.dumps(episode.to_json()) for episode in [*again, *groups[2][:1]]]
    file = run / "episodes.jsonl"
    file.write_text("\n".join([lines[0], file.read_text() + lines[1], ""]))
    with (run / "measured.jsonl").open("w") as file:
        for version, name in ((0, "before"), (2, "after"), (3, "after")):
            for case in range(4):
                # An earlier look is at the first episode of "train".
                ident = f"{name}-{case}" if version != 2 else f"train-{case}"
                line = {"scenario": SCENARIO, "split": "held_out", "case": case}
                line |= {"phase": name, "repeat": 0, "version": version}
                file.write(json.dumps(line | {"outcome": "passed", "id": ident}))
                file.write("\n")
        file.write('{"cut')
    after, before = open_side("r1", tmp_path), open_side("r1@before", tmp_path)
    assert sum(after.outcomes().values()) == 3
    assert sum(before.outcomes().values()) == 0
    assert before.name == "r1 before the training"
    found = compare(before, after)
    assert found.difference is not None
    assert (found.difference.paired, found.difference.value) == (True, 0.75)
    store(tmp_path / "r2", played("p"))
    with pytest.raises(UsageError, match="r2 is no training: it has no measurement"):
        open_side("r2@before", tmp_path)


def test_runs_are_found_by_what_people_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    runs = tmp_path / "runs"
    old, new = (store(runs / f"2026010{n}-x", played("p")) for n in (1, 2))
    store(runs / "20260103-killed", played("p"), summary=False)
    for given, run in (
        ("latest", new),
        ("20260101", old),
        (str(old), old),
        (str(runs), new),
        (str(old / "summary.json"), old),
        ("runs/20260101-x/episodes.jsonl", old),
    ):
        found = find_run(given, runs)
        assert found.name == run.name
        assert found.summary is not None
        assert found.summary.resolve() == run / "summary.json"
        assert found.episodes is not None
    copied = tmp_path / "main.json"
    copied.write_text((old / "summary.json").read_text())
    (tmp_path / "episodes.jsonl").write_text("of another run")
    assert find_run("main.json", runs).episodes is None
    for given, sentence in (
        ("2026", "2026 begins the ids of 3 runs: write one whole"),
        ("nope", "nope is no run: it is no file, no folder and no id of a run in"),
        ("../x", "../x is no run"),
    ):
        with pytest.raises(UsageError, match=sentence):
            find_run(given, runs)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"empty is no run: it has no summary\.json"):
        find_run("empty", runs)
    with pytest.raises(UsageError, match=r"there is no run with a summary\.json in"):
        find_run("latest", tmp_path / "empty")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    run = store(tmp_path / "r1", played("p"))
    newer = played("p")[0].to_json() | {"format": 99}
    (run / "episodes.jsonl").write_text(json.dumps(newer) + "\n")
    with pytest.raises(UsageError, match=r"line 1 is no episode .* format 99 is not 1"):
        open_side("r1", tmp_path)
    (run / "episodes.jsonl").write_text("")
    with pytest.raises(UsageError, match=r"episodes\.jsonl has no episode to compare"):
        open_side("r1", tmp_path)
