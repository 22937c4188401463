"""`agentgym reproduce` on runs whose agent is a script: no local policy is in them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.process_group import signal_when, start_group

SCENARIO = """
    from agentgym import scenario

    @scenario(episodes=4, cases=["7", "8", "9"])
    def test_order(agent, case):
        run = agent.run(f"look_up={case.value}")
        assert run.called("look_up", order=case.value)
"""


def reproduce(gym, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "agentgym.commands.main", "reproduce", *arguments],
        cwd=gym.pytester.path,
        env={**os.environ, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=120,
    )


def last_lines(done: subprocess.CompletedProcess[str]) -> list[str]:
    return done.stdout.rpartition("\n\n")[2].splitlines()


def change(folder: Path, **fields: object) -> None:
    file = folder / "summary.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


def test_what_a_run_was_made_of(gym):
    gym.file(SCENARIO, "folder/test_it.py")
    gym.file("x = 1", "shop.py")
    gym.more_conftest("import sys; sys.path.insert(0, '.'); import shop")
    gym.file("never = 1", "other.py")
    gym.pytester.makeini("[pytest]\n")
    gym.start("-q", "--agentgym-concurrency=2", "folder")
    summary = gym.summary()
    origin = summary["origin"]
    assert origin["arguments"][-3:] == ["-q", "--agentgym-concurrency=2", "folder"]
    assert (origin["folder"], origin["workers"], origin["in_flight"]) == (".", 0, 2)
    files = ["conftest.py", "folder/test_it.py", "shop.py", "tox.ini"]
    assert [*origin["files"]] == files
    assert origin["sampled"] is None


def test_workers_say_what_they_have_imported(gym):
    gym.file(SCENARIO)
    gym.start("-n2", plugins=("xdist",))
    origin = gym.summary()["origin"]
    assert (origin["workers"], [*origin["files"]]) == (2, ["conftest.py", "test_it.py"])


def test_the_same_command_is_played_into_a_folder_of_its_own(gym):
    gym.file(SCENARIO)
    page = gym.pytester.path / "page.html"
    gym.start(f"--agentgym-report={page}", "--agentgym-json", "out.json", "-q")
    page.unlink()
    (first,) = gym.runs
    done = reproduce(gym)
    assert done.returncode == 0, done.stdout + done.stderr
    first_line = done.stdout.splitlines()[0]
    assert first_line.startswith(f"plays {first.name} again: pytest --agentgym")
    assert (
        "the agent's model is not sampled by agentgym, so that nobody can have it say "
        "the same again: compared are cases and first prompts"
    ) in done.stdout
    second = gym.runs[-1]
    assert second != first
    assert last_lines(done) == [
        "the same: cases and first prompts of 4 episodes",
        f"the second run is in {second}",
    ]
    assert not page.exists()
    again = json.loads((gym.pytester.path / "out.json").read_text())
    assert again["run"] == first.name


def test_a_changed_scenario_is_told_before_and_after(gym):
    gym.file(SCENARIO)
    gym.start()
    gym.file(SCENARIO.replace('"look_up={', '"print=it look_up={'))
    done = reproduce(gym, "latest")
    assert done.returncode == 1
    assert "not as it was: changed since: test_it.py" in done.stdout
    first, second = last_lines(done)[:2]
    assert first == (
        "not the same: 4 of 4 episodes differ in their cases and first prompts"
    )
    assert re.fullmatch(
        r"first: test_order, episode \d, case held_out-0: message 1 of the user was "
        r"'look_up=7', and is now 'print=it look_up=7'",
        second,
    )


def test_other_cases_are_told(gym):
    gym.file(SCENARIO)
    gym.start("--agentgym-seed=1")
    (first,) = gym.runs
    summary = json.loads((first / "summary.json").read_text())
    arguments = [*summary["origin"]["arguments"], "--agentgym-seed=2"]
    change(first, origin=summary["origin"] | {"arguments": arguments})
    done = reproduce(gym, first.name)
    assert done.returncode == 1
    assert "of its case was '" in last_lines(done)[1]


def test_versions_are_told_before_it_plays(gym):
    gym.file(SCENARIO)
    gym.start()
    (first,) = gym.runs
    versions = json.loads((first / "summary.json").read_text())["versions"]
    change(first, versions=versions | {"agentgym": "0.0.1", "torch": "1.0"})
    done = reproduce(gym)
    told = done.stdout.partition("= test session starts")[0]
    assert "not as it was: agentgym was 0.0.1, and is " in told
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (
            {"interrupted": True},
            "{} did not come to its end (it was interrupted): reproduce a whole run",
        ),
        (
            {"stopped": "--agentgym-max-cost 1"},
            "{} did not come to its end (--agentgym-max-cost 1): reproduce a whole run",
        ),
        (
            {"origin": {"arguments": ["--agentgym-policy=https://***@x/v1"]}},
            "the command of {} had a secret, which no file keeps: play it yourself, "
            "and compare the two with agentgym compare",
        ),
        (
            {"origin": {"arguments": ["--train", "--agentgym-resume"]}},
            "{} was interrupted and resumed, and where that was depends on time: "
            "reproduce a training that ran through",
        ),
    ],
)
def test_what_cannot_be_reproduced_is_said_in_a_sentence(gym, fields, sentence):
    gym.file(SCENARIO)
    gym.start()
    (first,) = gym.runs
    origin = json.loads((first / "summary.json").read_text())["origin"]
    if "origin" in fields:
        fields = {"origin": origin | fields["origin"]}
    change(first, **fields)
    done = reproduce(gym)
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr == f"agentgym: {sentence.format(first.name)}\n"


def test_runs_of_before_and_missing_ones(gym):
    gym.file(SCENARIO)
    gym.start()
    (first,) = gym.runs
    summary = json.loads((first / "summary.json").read_text())
    del summary["origin"]
    summary["versions"]["agentgym"] = "0.0.1"
    (first / "summary.json").write_text(json.dumps(summary))
    done = reproduce(gym)
    assert (done.returncode, done.stderr) == (
        4,
        f"agentgym: {first.name} was made by agentgym 0.0.1, which did not keep how it "
        "was started: play it yourself, and compare the two with agentgym compare\n",
    )
    (first / "episodes.jsonl").unlink()
    done = reproduce(gym, first.name)
    assert (done.returncode, done.stderr) == (
        4,
        f"agentgym: {first / 'summary.json'} has no episodes.jsonl beside it: there is "
        "nothing to compare with\n",
    )
    done = reproduce(gym, "20200101")
    assert done.returncode == 4
    assert "20200101 is no run" in done.stderr
    (first / "summary.json").unlink()
    done = reproduce(gym)
    assert done.returncode == 4
    assert "there is no run with a summary.json" in done.stderr


def test_a_second_run_that_fails_to_start_has_the_last_word(gym):
    gym.file(SCENARIO)
    gym.start("test_it.py")
    (gym.pytester.path / "test_it.py").unlink()
    done = reproduce(gym)
    assert done.returncode == 4
    assert "not as it was: gone since: test_it.py" in done.stdout
    assert done.stdout.endswith(
        "nothing is compared: the second run did not come to its end\n"
    )


def test_ctrl_c_ends_both(gym):
    gym.file(SCENARIO)
    gym.start()
    waits = "open('there', 'w').close(); __import__('time').sleep(60); run = agent"
    gym.file(SCENARIO.replace("run = agent", waits))
    command = ["-m", "agentgym.commands.main", "reproduce"]
    process = start_group(command, gym.pytester.path)
    signal_when(process, (gym.pytester.path / "there").exists)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 2, output
    assert output.endswith(
        "nothing is compared: the second run did not come to its end\n"
    )
