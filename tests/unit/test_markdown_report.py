"""A run as Markdown, its comparison with an earlier one, and `agentgym report`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agentgym.commands.main import main
from agentgym.distribution import DISTRIBUTION
from agentgym.recording.trajectory import ModelCall, Step, Trajectory
from agentgym.report.markdown import markdown
from agentgym.runs.differences import unpaired_difference
from agentgym.runs.prices import Price, Prices
from agentgym.runs.summary import RunSummary
from tests.made_episodes import SCENARIO, made_check, made_episodes, made_row
from tests.made_run import TRAINING

OTHER = SCENARIO.replace("test_refund", "test_other")


def summary(
    passed: int, failed: int, *, run: str = "r1", name: str = SCENARIO, **fields: Any
) -> dict[str, Any]:
    """A run of one scenario, as `summary.json` has it."""
    told = RunSummary(threshold=0.95, run_id=run)
    for episode in made_episodes({"passed": passed, "failed": failed}, **fields):
        episode.scenario = name
        told.add(episode)
    data: dict[str, Any] = json.loads(json.dumps(told.to_json()))
    return data


def test_a_run_below_its_threshold() -> None:
    rows = [made_row("refund", calls=2, correct=1, wrong_arguments=1)]
    check = made_check("failed", message="assert False\n  where `x` | y")
    lines = markdown(summary(3, 1, tools=rows, checks=[check])).splitlines()
    assert lines[:3] == [
        "## Tool reliability: 75.0 %",
        "",
        "**Gate not met: the run is below 95 %.** 3 of 4 episodes passed, 95 % "
        "interval 19.4-99.4 %. At 95 % confidence: UNDECIDED.",
    ]
    assert f"| `{SCENARIO}` | 3/4 | 75.0 % | 19.4-99.4 % | 95 % |" in lines
    assert "| `refund` | 8 | 4 | 4 | 0 | 0 | 0 | - | - |" in lines
    at = lines.index('- `assert run.called("refund")`  ')
    assert lines[at + 1 : at + 7] == [
        "  failed in 4 of 4 episodes of `test_refund`, "
        "`scenarios/shop/test_refunds.py:10`",
        "",
        "  ```text",
        "  assert False",
        "    where `x` | y",
        "  ```",
    ]


@pytest.mark.parametrize(
    ("not_played", "why"),
    [
        ([], "a scenario ends when its verdict is certain"),
        (
            [{"name": OTHER, "planned": 400}],
            "the run is certain to be below its threshold, whatever 1 scenario that "
            "did not end would do",
        ),
    ],
)
def test_a_run_that_ended_early(not_played: list[Any], why: str) -> None:
    about = summary(3, 1)
    assert "Stopped after" not in markdown(about)
    about |= {"stop": "sequential", "planned": 800, "not_played": not_played}
    lines = markdown(about).splitlines()
    assert lines[4] == f"Stopped after 4 of at most 800 episodes: {why}."
    about["interrupted"] = True
    assert "Stopped after" not in markdown(about)


@pytest.mark.parametrize(
    ("counts", "fields", "sentence"),
    [
        ({"passed": 80}, {}, "**Gate met: the run reached 95 %.** 80 of 80 episodes"),
        (
            {"passed": 3, "failed": 1},
            {"interrupted": (4, 4)},
            "**INTERRUPTED: only complete runs are judged.**",
        ),
        (
            {"passed": 3, "failed": 1},
            {"interrupted": (4, 80)},
            "**INTERRUPTED: 4 of 80 episodes were played; only complete runs are",
        ),
        (
            {"passed": 3, "infra_error": 1},
            {},
            "**CANNOT JUDGE: 1 of 4 episodes do not count; at most 5 % of the run and",
        ),
        (
            {"passed": 59},
            {"gate": "certified"},
            "**Gate met: the run is certified to reach 95 %.**",
        ),
        (
            {"passed": 58},
            {"gate": "certified"},
            "**Gate not met: the run is not certified to reach 95 %.**",
        ),
    ],
)
def test_gates(counts: dict[str, int], fields: dict[str, Any], sentence: str) -> None:
    told = RunSummary(threshold=0.95, **fields)
    for episode in made_episodes(counts):
        told.add(episode)
    assert sentence in markdown(told.to_json())


def test_a_verdict_on_a_part_of_the_run_is_qualified() -> None:
    told = RunSummary(threshold=0.95, interrupted=(80, 90), stopped="$5 are spent")
    for episode in made_episodes({"passed": 80}):
        told.add(episode)
    text = markdown(told.to_json())
    assert " Of what was played, at 95 % confidence: RELIABLE." in text
    told.interrupted = told.stopped = None
    assert " At 95 % confidence: RELIABLE." in markdown(told.to_json())


def test_scenarios_that_the_gate_speaks_of_are_named() -> None:
    told = RunSummary(threshold=0.95)
    groups = {SCENARIO: (400, 0), OTHER: (18, 2)} | {
        f"a.py::test_{number:02}": (9, 1) for number in range(12)
    }
    for name, (passed, failed) in groups.items():
        counts = {"passed": passed, "failed": failed}
        for episode in made_episodes(counts, scenario=name):
            told.add(episode)
    told.not_judged("a.py::test_`x`", "set-up failed: OSError: <b>")
    lines = markdown(told.to_json()).splitlines()
    assert lines[2].startswith(
        "**Gate not met: 13 of 14 scenarios are below 95 % and 1 scenario errored "
        "outside of the episodes.**"
    )
    assert lines[4] == "- `a.py::test_00`: `90.0 %, needs 95 %`"
    assert lines[14] == "- and 4 more"
    told.threshold = 0.0
    for scenario in told.scenarios.values():
        scenario.threshold = 0.0
    assert "- `` a.py::test_`x` ``: `set-up failed: OSError: <b>`" in (
        markdown(told.to_json()).splitlines()
    )


def test_a_mean_of_scenarios_is_no_share_of_the_episodes() -> None:
    told = RunSummary(threshold=0.95, stop="sequential")
    for name, passed in ((SCENARIO, 74), (OTHER, 0)):
        for episode in made_episodes({"passed": passed, "failed": 3}):
            episode.scenario = name
            told.add(episode)
    lines = markdown(told.to_json()).splitlines()
    assert lines[0] == "## Tool reliability: 48.1 %"
    assert "Mean of 2 scenarios; 74 of 80 episodes passed" in lines[2]


def test_every_scenario_was_expected_to_fail() -> None:
    told = RunSummary(threshold=0.95)
    for episode in made_episodes({"failed": 3}):
        told.add(episode)
    told.scenario(SCENARIO).xfail = True
    sentence = "**No gate: every scenario was expected to fail.**"
    assert sentence in markdown(told.to_json())


def test_nothing_was_played() -> None:
    empty = json.loads(json.dumps(RunSummary(threshold=0.95).to_json()))
    text = markdown(empty, empty)
    assert text.startswith(
        "## Tool reliability: -\n\n**No gate: no scenario was played."
    )
    assert "nothing to compare" in text


def test_what_does_not_count_is_said() -> None:
    told = RunSummary(threshold=0.5, warnings=["the disk is full"])
    for episode in made_episodes({"passed": 30, "infra_error": 1}):
        told.add(episode)
    text = markdown(told.to_json())
    assert text.endswith("Not counted: 1 infra_error.\n- `the disk is full`\n")


def test_judges_and_what_all_took() -> None:
    verdict = {"criterion": "x", "pass": True, "reason": "y", "cached": False}
    told = RunSummary(threshold=0.5, prices=Prices({"*": Price(1, 1)}, listed=False))
    step = Step(model=ModelCall(prompt_tokens=1_000, completion_tokens=200))
    for episode in made_episodes(
        {"passed": 10},
        trajectory=Trajectory(steps=[step]),
        simulators={
            "judge": {
                "model": "wi`se",
                "verdicts": [verdict, verdict | {"cached": True}],
                "tokens": 550,
                "calls": [[500, 50]],
            },
            "user": {"model": "shy", "messages": 2, "tokens": 30, "calls": [[20, 10]]},
            "declared": True,
        },
    ):
        told.add(episode)
    assert markdown(told.to_json()).splitlines()[-5:] == [
        f"Judged by ``wi`se``: 20 verdicts, 10 from the cache, in `{SCENARIO}`.",
        f"User simulated by `shy`: 20 messages, in `{SCENARIO}`.",
        "Cost: 10,000 tokens in, 2,000 out, $0.012 ($0.0012 per passed episode).",
        "Judges and simulated users: 5,200 tokens in, 600 out, $0.0058.",
        "Together: $0.018.",
    ]


def test_scenarios_are_compared_with_a_baseline() -> None:
    now, before = summary(38, 2, run="new"), summary(20, 20, run="old")
    now["scenarios"] += summary(1, 0, name=OTHER)["scenarios"]
    before["scenarios"] += summary(1, 0, name="test_gone.py::test_gone")["scenarios"]
    text = markdown(now, before)
    value, low, high = (100 * x for x in unpaired_difference((20, 40), (38, 40)))
    change = f"{value:+.1f} points ({low:+.1f} to {high:+.1f})"
    assert value == pytest.approx(45)
    assert low > 0
    # A difference that chance explains badly is bold.
    row = f"| `{SCENARIO}` | 38/40 | 95.0 % | 83.1-99.4 % | 95 % | **{change}** |"
    assert row in text.splitlines()
    assert f"| `{OTHER}` | 1/1 | 100.0 % | 2.5-100.0 % | 95 % | new |" in text
    assert "The baseline, run `old`, had 50.0 %: **+43.9 points (" in text
    assert "Not measured this time: `test_gone.py::test_gone`" in text
    assert "baseline" not in markdown(now)


def test_texts_of_agents_stay_texts() -> None:
    name = "test_it.py::test_x[a|b`c\n# no heading]"
    check = made_check(
        "failed", text="x == '```'", message="```\n# no heading\n\x1b[1m"
    )
    told = summary(1, 1, name=name, checks=[check])
    told["tools"] = [
        {**summary(1, 1, tools=[made_row("a|b")])["tools"][0], "name": "`|\n@all"}
    ]
    text = markdown(told)
    assert "| ``test_it.py::test_x[a\\|b`c # no heading]`` |" in text
    assert "| `` `\\| @all `` |" in text
    assert "- ````assert x == '```'````" in text
    assert "\n  ````text\n  ```\n  # no heading\n  \n  ````\n" in text
    assert "\n# no heading" not in text


LONG = "a long order " * 9
LONG_NAMES = {
    "parameters": [f"shop/test_it.py::TestShop::test_it[{LONG}{n}]" for n in range(12)],
    "beginnings": [f"shop/test_it.py::TestShop::test_it[{n}{LONG}]" for n in range(12)],
    "folders": [
        f"{'folder/' * 20}{n}/test_it.py::TestShop::test_it" for n in range(12)
    ],
    "both": [
        f"{'folder/' * 20}{n}/test_it.py::TestShop::test_it[{LONG}{m}]"
        for n in range(3)
        for m in range(4)
    ],
    "brackets": [f"a[b]/test_it.py::TestShop::test_it[[{LONG}{n}]]" for n in range(12)],
}


@pytest.mark.parametrize("kind", LONG_NAMES)
def test_long_names_are_told_apart_and_name_file_and_function(kind: str) -> None:
    names = LONG_NAMES[kind]
    now = summary(1, 1)
    now["scenarios"] = [summary(1, 1, name=name)["scenarios"][0] for name in names]
    rows = [line for line in markdown(now).splitlines() if "test_it.py::" in line]
    assert len(rows) == len(names)
    shown = [row.split("|")[1].strip() for row in rows]
    assert len(set(shown)) == len(names)
    assert max(map(len, shown)) <= 100 + 2
    assert all("test_it.py::TestShop::test_it" in name for name in shown)


def test_long_reports_are_cut() -> None:
    checks = [made_check("failed", line=n, message="x" * 500) for n in range(400)]
    told = summary(1, 1, checks=checks)
    told["scenarios"] = told["scenarios"] * 400
    text = markdown(told, told)
    # What GitHub takes as a comment.
    assert len(text) < 65_536
    assert "and 350 more scenarios" in text
    assert "and 395 more checks" in text


def test_a_check_of_many_scenarios_is_one() -> None:
    told = summary(1, 1, checks=[made_check("failed"), made_check("failed", line=11)])
    told["scenarios"] = [
        {**told["scenarios"][0], "name": f"test_refunds.py::test_refund[{n}]"}
        for n in range(184)
    ]
    text = markdown(told)
    where = "failed in 368 of 368 episodes of 184 scenarios, such as `test_refund[0]`"
    assert text.count(where) == 2
    assert "more check" not in text


# The command.


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two runs of a project, in a folder of which the test is."""
    folder = tmp_path / ".agentgym" / "runs"
    for name, passed in (("20260101-old", 2), ("20260102-new", 3)):
        (folder / name).mkdir(parents=True)
        told = summary(passed, 4 - passed, run=name)
        (folder / name / "summary.json").write_text(json.dumps(told))
    # A run that was killed has none.
    (folder / "20260103-killed").mkdir()
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    return folder


def test_the_latest_run_is_printed(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report"]) == 0
    latest = capsys.readouterr().out
    assert latest.startswith("## Tool reliability: 75.0 %\n")
    new = runs / "20260102-new"
    for run in (runs, new, new / "summary.json", "latest", "20260102-new", "20260102"):
        assert main(["report", str(run)]) == 0
        assert capsys.readouterr().out == latest


def test_a_report_is_written_with_a_baseline(runs: Path, tmp_path: Path) -> None:
    file = tmp_path / "report.md"
    assert main(["report", "--baseline", "20260101-old", "--markdown", str(file)]) == 0
    assert "The baseline, run `20260101-old`, had 50.0 %: +25.0 points" in (
        file.read_text()
    )


def test_what_cannot_be_reported(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(sentence: str, *arguments: str) -> None:
        assert main(["report", *arguments]) == 4
        assert capsys.readouterr().err == f"agentgym: {sentence}\n"

    here = str(tmp_path / "sub")
    refused(
        "no/such is no run: it is no file, no folder and no id of a run in "
        f"{runs} (agentgym runs lists them)",
        "no/such",
    )
    refused(f"{here} is no run: it has no summary.json and no episodes.jsonl", here)
    (runs / "20260103-killed" / "episodes.jsonl").touch()
    refused(
        "20260103-killed has no summary.json: it was killed, or is not over",
        "20260103-killed",
    )
    refused(f"{here} cannot be written: Is a directory", "--markdown", here)
    file = tmp_path / "some.json"
    whole = json.loads((runs / "20260101-old" / "summary.json").read_text())
    for text, reason in (
        ("{", "Expecting property name enclosed in double quotes: line 1 column 2"),
        ("[]", "it is no object"),
        ("{}", "it has no 'format'"),
        ('{"format": 1}', "it has no 'episodes'"),
    ):
        file.write_text(text)
        assert main(["report", str(file)]) == 4
        error = capsys.readouterr().err
        assert error.startswith(f"agentgym: {file} is no summary of a run: {reason}")
    file.write_text(json.dumps(whole | {"format": 99}))
    refused(
        f"{file} has format 99, which this version of agentgym cannot read: "
        f"update {DISTRIBUTION}",
        str(file),
    )


def test_no_run_yet(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["report"]) == 4
    assert capsys.readouterr().err == (
        "agentgym: there is no run with a summary.json in "
        f"{tmp_path / '.agentgym' / 'runs'}: run pytest --agentgym first\n"
    )


def test_signs_of_reward_hacking() -> None:
    told = summary(4, 0)
    assert "reward hacking" not in markdown(told | {"training": {"signs": []}})
    lines = markdown(told | {"training": TRAINING}).splitlines()
    at = lines.index("### Signs of reward hacking")
    assert lines[at + 2 : at + 7] == [
        f"- `{SCENARIO} (one form for all cases, since update 3)`",
        "",
        "  ```text",
        '  32 of 32 passed episodes have the same reply, "<b>Done.</b>"',
        "  ```",
    ]


def test_cost_and_a_limit():
    told = RunSummary(
        threshold=0.95,
        interrupted=(4, 4),
        stopped="$5.03 of --agentgym-max-cost 5 are spent",
    )
    cost = {
        "input_tokens": 12_345,
        "output_tokens": 678,
        "usd": 5.03,
        "per_passed": {"usd": 0.25},
    }
    text = markdown(json.loads(json.dumps(told.to_json())) | {"cost": cost})
    assert "STOPPED: $5.03 of --agentgym-max-cost 5 are spent; only complete" in text
    assert "Cost: 12,345 tokens in, 678 out, $5.03 ($0.25 per passed episode)." in text
