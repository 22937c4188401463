"""`--agentgym-baseline`, `agentgym compare` and `agentgym history` on real runs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import Any

import pytest

from agentgym.commands.main import main

BELOW, USAGE, CANNOT_JUDGE = 1, 4, 6

LUCK = """
    from agentgym import scenario

    @scenario(episodes=24)
    def test_luck(agent, case):
        lucky = case.rng.random() < {share}
        assert agent.run("look_up=7" if lucky else "refund=7").called("look_up")

    @scenario(episodes=12)
    def test_safe(agent):
        assert agent.run("look_up=7").called("look_up")
"""


def scenario(gym: Any, share: float) -> None:
    gym.file(LUCK.format(share=share))


def measured(gym: Any, *args: str, workers: bool = False) -> pytest.RunResult:
    run = gym.start if workers else gym.run
    more = ["-n2"] if workers else []
    plugins = ("xdist",) if workers else ()
    return run("--agentgym-threshold=0", *more, *args, plugins=plugins)


@pytest.mark.parametrize("workers", [False, True])
def test_a_run_is_compared_with_its_baseline(gym, workers):
    scenario(gym, 1.0)
    assert measured(gym).ret == 0
    before = gym.runs[-1].name
    scenario(gym, 0.4)
    result = measured(gym, f"--agentgym-baseline={before}", workers=workers)
    assert result.ret == 0
    summary = gym.summary()
    found = summary["baseline"]
    assert found["before"] == {"run": before, "policy": None, "seed": 0}
    assert found["after"]["run"] == summary["run"]
    assert found["difference"]["paired"]
    assert found["difference"]["episodes"] == 36
    share = summary["reliability"]["value"]
    assert found["difference"]["after"] == pytest.approx(share, abs=1e-6)
    assert found["difference"]["high"] < 0
    assert [s["name"] for s in found["scenarios"]] == [
        "test_it.py::test_luck",
        "test_it.py::test_safe",
    ]
    worse = found["newly_failing"]
    assert len(worse) == summary["episodes"]["failed"] > 5
    assert found["newly_fixed"] == []
    assert found["max_drop"] is None
    assert found["notes"] == []
    mine = {e["id"]: e for e in gym.episodes()}
    assert mine[worse[0]["episodes"][1]]["outcome"] == "failed"
    result.stdout.fnmatch_lines(
        [
            "*- against the baseline -*",
            f"before {before}, seed 0",
            "100.0 % -> *%: -* points (-* to -*), 36 pairs",
            "*- scenarios, before and after -*",
            "  test_luck  100.0 % *",
            "*- tools: episodes in which all calls were right -*",
            f"*- newly failing: {len(worse)} cases -*",
            "test_luck --agentgym-case held_out-*: passed 1/1, now 0/1",
            "  before: passed  *after: failed",
            "  user    look_up=7 *| user    refund=7",
            "*- verdict -*",
            "gate met: *",
        ]
    )


@pytest.mark.parametrize("workers", [False, True])
def test_a_drop_that_is_too_large_fails(gym, workers):
    scenario(gym, 1.0)
    measured(gym)
    scenario(gym, 0.2)
    args = ["--agentgym-baseline=latest", "--agentgym-max-drop=0.1"]
    result = measured(gym, *args, workers=workers)
    assert result.ret == BELOW
    summary = gym.summary()
    assert summary["exit_code"] == BELOW
    drop = summary["baseline"]["max_drop"]
    assert drop == {
        "limit": 0.1,
        "verdict": "EXCEEDED",
        "run": True,
        "scenarios": ["test_it.py::test_luck"],
    }
    result.stdout.fnmatch_lines(
        [
            "drop EXCEEDED: more than 10 points, at 95 % confidence: the run,*",
            "*- verdict -*",
            "gate not met: reliability dropped by more than the allowed 10 points",
            "  test_it.py::test_luck: dropped by more than the allowed 10 points",
        ]
    )


def test_a_drop_that_is_not_certain_passes_with_a_note(gym):
    scenario(gym, 1.0)
    measured(gym)
    scenario(gym, 0.97)
    args = ["--agentgym-baseline=latest", "--agentgym-max-drop=0.01"]
    result = measured(gym, *args)
    assert result.ret == 0
    assert gym.summary()["baseline"]["max_drop"]["verdict"] == "UNDECIDED"
    result.stdout.fnmatch_lines(
        ["drop UNDECIDED: these episodes cannot tell whether it is more than 1 point;*"]
    )
    result = measured(gym, "--agentgym-baseline=latest", "--agentgym-max-drop=0.2")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["drop WITHIN: the run did not drop by 20 points *"])


@pytest.mark.parametrize("workers", [False, True])
def test_the_certified_gate_asks_for_a_certified_drop(gym, workers):
    """All passes, and is certified; 36 pairs cannot tell 2 points."""
    scenario(gym, 1.0)
    measured(gym)
    args = ["--agentgym-baseline=latest", "--agentgym-gate=certified"]
    args += ["--agentgym-threshold=0.7"]
    result = measured(gym, *args, "--agentgym-max-drop=0.02", workers=workers)
    assert result.ret == BELOW
    assert gym.summary()["exit_code"] == BELOW
    assert gym.summary()["baseline"]["max_drop"]["verdict"] == "UNDECIDED"
    sentence = "the drop is not certified to be within the allowed 2 points"
    result.stdout.fnmatch_lines(
        ["drop UNDECIDED: *", f"gate not met: {sentence}", "RELIABLE: *"]
    )
    result.assert_outcomes(passed=2)
    result = measured(gym, *args, "--agentgym-max-drop=0.2", workers=workers)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["drop WITHIN: *", "gate met: the run and each of *"])


def test_nothing_in_common_is_said_and_cannot_be_judged(gym):
    scenario(gym, 1.0)
    measured(gym, "-k", "luck")
    before = gym.runs[-1].name
    result = measured(gym, "-k", "safe", f"--agentgym-baseline={before}")
    assert result.ret == 0
    assert "have no scenario in common" in " ".join(result.stdout.str().split())
    args = [f"--agentgym-baseline={before}", "--agentgym-max-drop=0.1"]
    result = measured(gym, "-k", "safe", *args)
    assert result.ret == CANNOT_JUDGE
    result.stdout.fnmatch_lines(
        ["CANNOT JUDGE: the drop since the baseline cannot be judged"]
    )
    # What is shared is compared.
    measured(gym, f"--agentgym-baseline={before}", "--agentgym-seed=4")
    found = gym.summary()["baseline"]
    assert found["only_after"] == ["test_it.py::test_safe"]
    assert not found["difference"]["paired"]
    assert "not paired, as the runs have different seeds, 0 and 4" in found["notes"]


@pytest.mark.parametrize("workers", [False, True])
def test_a_baseline_that_cannot_be_used_is_one_sentence(gym, workers):
    scenario(gym, 1.0)

    def refused(sentence: str, *args: str) -> None:
        result = measured(gym, *args, workers=workers)
        text = " ".join((result.stdout.str() + result.stderr.str()).split())
        assert result.ret == USAGE
        assert sentence in text
        assert "Traceback" not in text
        assert not gym.runs

    refused("--agentgym-baseline: nope is no run: it is no", "--agentgym-baseline=nope")
    if workers:
        return
    refused("there is no run with a summary.json in", "--agentgym-baseline=latest")
    refused("add --agentgym-baseline RUN", "--agentgym-max-drop=0.1")
    refused(
        "--agentgym-max-drop 2: give a number from 0 to 1",
        *("--agentgym-baseline=x", "--agentgym-max-drop=2"),
    )
    (gym.pytester.path / "bad.json").write_text("{")
    refused("bad.json is no summary of a run", "--agentgym-baseline=bad.json")
    (gym.pytester.path / "bad.jsonl").write_text('{"format": 99}\n')
    refused(
        "bad.jsonl: line 1 is no episode that this version of agentgym can read",
        "--agentgym-baseline=bad.jsonl",
    )


@pytest.mark.parametrize(
    ("name", "old", "new", "sentence"),
    [
        ("episodes.jsonl", '"index":3,', '"index":"x",', 'index is "x", not a whole'),
        ("episodes.jsonl", '"repeat":0', '"repeat":null', "repeat is null, not a"),
        ("episodes.jsonl", '"tools":[', '"tools":null,"x":[', "tools is null"),
        ("summary.json", '"passed": 24', '"passed": NaN', "passed is NaN, not a whole"),
        ("summary.json", '"failed": 0', '"failed": 30000000', "are not of 24 episodes"),
    ],
)
def test_a_damaged_baseline_is_known_before_an_episode_is_played(
    gym, name, old, new, sentence
):
    scenario(gym, 1.0)
    measured(gym)
    base = gym.pytester.path / "base"
    shutil.move(gym.runs[-1], base)
    text = (base / name).read_text()
    assert old in text
    (base / name).write_text(text.replace(old, new))
    if name == "summary.json":
        (base / "episodes.jsonl").unlink()
    result = measured(gym, "--agentgym-baseline=base")
    text = " ".join((result.stdout.str() + result.stderr.str()).split())
    assert result.ret == USAGE
    assert "--agentgym-baseline: " in text
    assert sentence in text
    assert "Traceback" not in text
    assert not gym.runs


def test_a_baseline_file_of_another_place(gym):
    scenario(gym, 1.0)
    measured(gym)
    (gym.pytester.path / "main").mkdir()
    shutil.move(gym.runs[-1] / "summary.json", gym.pytester.path / "main/base.json")
    shutil.rmtree(gym.pytester.path / ".agentgym")
    result = measured(gym, "--agentgym-baseline=main/base.json")
    assert result.ret == 0
    found = gym.summary()["baseline"]
    assert found["difference"]["value"] == 0
    assert "not paired: single episodes are not known" in found["notes"]


# The commands.


@pytest.fixture
def two_runs(gym, monkeypatch) -> list[str]:
    scenario(gym, 1.0)
    measured(gym)
    scenario(gym, 0.3)
    measured(gym)
    monkeypatch.chdir(gym.pytester.path)
    return [run.name for run in gym.runs]


def agentgym(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "agentgym.commands.main", *args],
        capture_output=True,
        text=True,
        check=False,
    )


def test_compare_says_what_changed(gym, two_runs, tmp_path):
    old, new = two_runs
    files = [tmp_path / name for name in ("x.md", "x.json")]
    told = agentgym("compare", f"--markdown={files[0]}", f"--json={files[1]}")
    assert (told.returncode, told.stderr) == (0, "")
    lines = told.stdout.splitlines()
    assert lines[:2] == [f"before {old}, seed 0", f"after  {new}, seed 0"]
    assert "36 pairs" in lines[2]
    assert "\x1b" not in told.stdout
    data = json.loads(files[1].read_text())
    assert data["before"]["run"] == old
    assert files[0].read_text().startswith("## Tool reliability: 100.0 % to ")
    back = agentgym("compare", new, old, "--max-drop", "0.02", "--show", "0")
    assert back.returncode == 0
    assert "newly fixed: " in back.stdout
    assert "before:" not in back.stdout
    assert "drop WITHIN: " in back.stdout
    assert agentgym("compare", old, "--max-drop", "0.02").returncode == BELOW


def test_compare_has_one_sentence_for_a_mistake(
    gym, two_runs, capsys, tmp_path, monkeypatch
):
    old, new = two_runs

    def refused(sentence: str, *args: str) -> None:
        assert main(["compare", *args]) == USAGE
        error = capsys.readouterr().err
        assert error.startswith("agentgym: ")
        assert sentence in error
        assert error.count("\n") == 1

    refused("nope is no run", "nope")
    refused(f"{new} is the latest run itself: name a run to compare it", new)
    refused(f"{old} and {old} are the same run", old, old)
    refused(
        f"{tmp_path} cannot be written: Is a directory", "--markdown", str(tmp_path)
    )
    (gym.pytester.path / "no" / "runs").mkdir(parents=True)
    with pytest.raises(SystemExit) as exit_:
        main(["compare", "--max-drop", "7"])
    assert exit_.value.code == USAGE
    assert "give a number from 0 to 1" in capsys.readouterr().err
    with pytest.raises(SystemExit) as exit_:
        main(["compare", "--show", "-1"])
    assert "give a whole number of at least 0" in capsys.readouterr().err
    shutil.rmtree(gym.runs[0])
    refused(f"{new} is the only run of these scenarios")


def test_compare_takes_an_earlier_run_of_the_same_scenarios(gym, two_runs):
    gym.file(LUCK.format(share=1).replace("test_", "test_other_"), "test_other.py")
    measured(gym, "test_other.py")
    measured(gym, "test_it.py")
    told = agentgym("compare")
    assert told.stdout.startswith(f"before {two_runs[1]}, ")


def test_history_lists_the_runs(gym, two_runs):
    (gym.runs[0].parent / "20200101-killed").mkdir()
    told = agentgym("history")
    assert (told.returncode, told.stderr) == (0, "")
    lines = told.stdout.splitlines()
    titles = "scen. policy reliability (95 %) verdict tok/pass"
    assert lines[0].split() == titles.split()
    assert [line.split()[0] for line in lines[1:3]] == two_runs
    assert "100.0 % (90.3-100.0)" in lines[1]
    assert lines[3] == "1 run without a summary.json: killed or not over"
    data = json.loads(agentgym("history", "--json").stdout)
    assert [entry["run"] for entry in data] == two_runs
    assert data[0]["reliability"]["value"] == 1
    assert data[0]["counted"] == 36
    one = json.loads(agentgym("history", "--json", "--scenario", "luck").stdout)
    assert [entry["scenario"] for entry in one] == ["test_it.py::test_luck"] * 2
    assert [entry["counted"] for entry in one] == [24, 24]
    lines = agentgym("history", "--scenario", "test_").stdout.splitlines()
    assert lines.index("test_it.py::test_luck") < lines.index("test_it.py::test_safe")


def test_history_without_runs(gym, two_runs, tmp_path, capsys):
    assert main(["history", "--scenario", "nope"]) == USAGE
    assert "--scenario nope: none of the 2 runs in" in capsys.readouterr().err
    assert main(["history", str(tmp_path / "none")]) == USAGE
    assert "there is no run with a summary.json in" in capsys.readouterr().err
    (gym.runs[-1] / "summary.json").write_text("{")
    assert main(["history"]) == 0
    assert "is no summary of a run" in " ".join(capsys.readouterr().out.split())
