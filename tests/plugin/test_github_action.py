"""The GitHub action and its example: their steps run here, with a `gh` of our own."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

pytest.importorskip("yaml")

import yaml

from agentgym.commands.main import _parser
from pytest_agentgym.plugin import pytest_addoption
from tests.conftest import Gym
from tests.html_page import Page

pytestmark = pytest.mark.skipif(
    not shutil.which("bash") or not shutil.which("jq"), reason="needs bash and jq"
)

ROOT = Path(__file__).parents[2]
ACTION = ROOT / ".github" / "actions" / "agentgym" / "action.yml"
EXAMPLE = ROOT / "examples" / "github_actions" / "agentgym.yml"

GH = f'''#!{sys.executable}
"""Knows as much of GitHub as the action asks for; the folder beside it is GitHub."""
import json, os, pathlib, shutil, subprocess, sys

here = pathlib.Path(__file__).parent / "github"
words = sys.argv[1:]
value = lambda name: words[words.index(name) + 1]
with (here / "asked").open("a") as file:
    file.write(json.dumps(words) + "\\n")
if (here / "down").exists():
    sys.exit("HTTP 403: Resource not accessible by integration")
if words[:2] == ["run", "list"]:
    runs = [{{"databaseId": int(run)}} for run in (here / "runs").read_text().split()]
    asked = json.dumps(runs)
elif words[:2] == ["run", "download"]:
    kept = here / "artifacts" / words[2] / value("--name")
    if not kept.is_dir():
        sys.exit("no valid artifacts found to download")
    shutil.copytree(kept, value("--dir"))
    sys.exit()
elif "--method" in words:
    field, _, file = value("-F").partition("=@")
    sent = {{"to": words[-1], "method": value("--method")}}
    sent[field] = pathlib.Path(file).read_text()
    (here / "sent").write_text(json.dumps(sent))
    sys.exit()
else:
    asked = (here / "comments").read_text()
jq = ["jq", "-r", value("--jq")]
sys.exit(subprocess.run(jq, input=asked, text=True).returncode)
'''

SCENARIO = """
from agentgym import scenario


@scenario(episodes=20)
def test_order(agent):
    run = agent.run("{message}")
    assert run.called("look_up", order="7")
"""


def read(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(file.read_text())
    return found


STEPS = {step["name"]: step for step in read(ACTION)["runs"]["steps"]}


class Runner:
    """Runs the action's steps in a project, one after the other, as GitHub does."""

    def __init__(self, gym: Gym, inputs: dict[str, str]) -> None:
        self.project = gym.pytester.path
        self.home = gym.pytester.mkdir("runner")
        self.github = self.home / "bin" / "github"
        self.github.mkdir(parents=True)
        for name, text in (("runs", ""), ("comments", "[]")):
            (self.github / name).write_text(text)
        gh = self.home / "bin" / "gh"
        gh.write_text(GH)
        gh.chmod(0o755)
        known = read(ACTION)["inputs"]
        assert inputs.keys() <= known.keys()
        self.inputs = {name: about["default"] for name, about in known.items()}
        self.inputs |= {"baseline-branch": "main", "token": "t"} | inputs
        self.outputs: dict[str, str] = {}

    def step(self, name: str, cwd: Path | None = None) -> tuple[int, str]:
        """The step's exit code and output."""
        step = STEPS[name]
        env = {key: self.filled(text) for key, text in step.get("env", {}).items()}
        output = self.home / "output"
        output.write_text("")
        paths = (str(self.home / "bin"), str(Path(sys.executable).parent))
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            cwd=cwd or self.project,
            env={
                **os.environ,
                "PATH": os.pathsep.join([*paths, os.environ["PATH"]]),
                "GITHUB_OUTPUT": str(output),
                "GITHUB_REPOSITORY": "me/shop",
                "GITHUB_STEP_SUMMARY": str(self.home / "summary.md"),
                "GITHUB_WORKFLOW_REF": "me/shop/.github/workflows/gym.yml@refs/x",
                "RUNNER_TEMP": str(self.home),
                **env,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )
        for line in output.read_text().splitlines():
            key, _, value = line.partition("=")
            self.outputs[f"steps.{step['id']}.outputs.{key}"] = value
        return done.returncode, done.stdout

    def filled(self, text: str) -> str:
        """Puts in the values of the expressions that the action uses."""
        known = {f"inputs.{name}": value for name, value in self.inputs.items()}
        known |= self.outputs | {
            "github.event.pull_request.number": "5",
            "github.server_url": "https://github.com",
            "github.repository": "me/shop",
            "github.run_id": "77",
        }
        return re.sub(r"\$\{\{ (\S+) \}\}", lambda match: known[match[1]], text)

    def asked(self) -> list[list[str]]:
        """What `gh` was called with."""
        return [json.loads(x) for x in (self.github / "asked").read_text().splitlines()]

    def sent(self) -> dict[str, str]:
        """What it sent last."""
        found: dict[str, str] = json.loads((self.github / "sent").read_text())
        return found


@pytest.fixture
def runner(gym: Gym) -> Runner:
    # The agent does as it is told: all episodes pass, or with another order none.
    gym.file(SCENARIO.format(message="look_up=7"))
    args = "-p agentgym -p no:cacheprovider"
    return Runner(gym, {"args": args, "paths": "test_it.py"})


def keep(runner: Runner, run: int) -> None:
    """Keeps the project's runs as a workflow run's artifact."""
    kept = runner.github / "artifacts" / str(run) / "agentgym-runs"
    kept.parent.mkdir(parents=True)
    (runner.project / ".agentgym" / "runs").rename(kept)
    (runner.home / "agentgym" / "summary.json").unlink()
    with (runner.github / "runs").open("a") as file:
        file.write(f"{run}\n")


def test_a_pull_request_is_measured_against_main(runner: Runner, gym: Gym) -> None:
    assert runner.step("Measure")[0] == 0
    assert runner.outputs["steps.measure.outputs.exit-code"] == "0"
    (runner.github / "runs").write_text("11\n")  # It has kept nothing.
    keep(runner, 10)
    assert runner.step("Fetch the baseline") == (
        0,
        "no valid artifacts found to download\n",
    )
    [listed, *_] = runner.asked()
    assert [listed[listed.index(x) + 1] for x in ("--workflow", "--branch")] == [
        "gym.yml",
        "main",
    ]
    gym.file(SCENARIO.format(message="look_up=8"))
    code, output = runner.step("Measure")
    assert (code, "gate not met" in output) == (0, True)
    assert runner.step("Report") == (0, "")
    report = Path(runner.outputs["steps.report.outputs.report"]).read_text()
    assert report.startswith(
        "## Tool reliability: 0.0 %\n\n**Gate not met: the run is below 95 %."
    )
    assert "had 100.0 %: **-100.0 points" in report
    assert "| `test_it.py::test_order` | 0/20 | 0.0 % |" in report
    link = "[Log and episodes](https://github.com/me/shop/actions/runs/77)\n"
    assert report.endswith(link)
    assert (runner.home / "summary.md").read_text() == report
    # A first comment, and the same one the next time.
    assert runner.step("Comment") == (0, "")
    body = f"<!-- agentgym: agentgym-runs -->\n{report}"
    to = "repos/me/shop/issues/5/comments"
    assert runner.sent() == {"to": to, "method": "POST", "body": body}
    comments = [
        {"id": 1, "user": {"type": "User"}, "body": body},
        {"id": 2, "user": {"type": "Bot"}, "body": body.replace(": ", ": other-", 1)},
        {"id": 3, "user": {"type": "Bot"}, "body": body},
    ]
    (runner.github / "comments").write_text(json.dumps(comments))
    assert runner.step("Comment") == (0, "")
    sent = runner.sent()
    assert (sent["to"], sent["method"]) == (
        "repos/me/shop/issues/comments/3",
        "PATCH",
    )
    assert runner.step("Gate")[0] == 1


TWO = """
from agentgym import scenario


@scenario(episodes=200)
def test_good{other}(agent):
    assert agent.run("look_up=7").called("look_up")


@scenario(episodes=40)
def test_bad{other}(agent, case):
    run = agent.run("" if case.index % 4 < {failing} else "look_up=7")
    assert run.called("look_up")
"""


@pytest.mark.parametrize(
    ("other", "sentence", "kinds"),
    [
        (
            # The baseline has none of these scenarios.
            "_of_others",
            "gate not met: 1 of 2 scenarios is below 95 % and the drop since the "
            "baseline cannot be judged",
            ["below", "drop_unknown"],
        ),
        (
            "",
            "gate not met: 1 of 2 scenarios is below 95 % and reliability dropped by "
            "more than the allowed 0 points",
            ["below", "dropped", "dropped"],
        ),
    ],
)
def test_all_reports_of_a_run_say_the_same(
    runner: Runner, gym: Gym, other: str, sentence: str, kinds: list[str]
) -> None:
    """The terminal said "gate not met" where the comment said "Cannot judge"."""
    gym.file(TWO.format(other="", failing=0))
    assert gym.run().ret == 0
    before = gym.runs[-1].name
    gym.file(TWO.format(other=other, failing=1))
    runner.inputs["args"] += (
        f" --agentgym-baseline={before} --agentgym-max-drop=0 --junitxml=junit.xml"
    )
    terminal = " ".join(runner.step("Measure")[1].split())
    assert runner.step("Report") == (0, "")
    summary = gym.summary()
    decision = summary["decision"]
    # The run itself reached its threshold.
    assert summary["reliability"]["value"] > 0.95
    assert (decision["sentence"], decision["met"]) == (sentence, False)
    assert [reason["kind"] for reason in decision["reasons"]] == kinds
    assert {decision["exit_code"], summary["exit_code"]} == {1}
    below = f"test_it.py::test_bad{other}: 75.0 %, needs 95 %"
    assert f"{sentence} {below}" in terminal
    report = Path(runner.outputs["steps.report.outputs.report"]).read_text()
    assert f"**G{sentence[1:]}.**" in report
    assert f"- `test_it.py::test_bad{other}`: `75.0 %, needs 95 %`" in report
    page = Page(gym.runs[-1] / "report.html")
    assert page.report["summary"]["decision"] == decision
    suite = ElementTree.parse(gym.pytester.path / "junit.xml").find("testsuite")
    assert suite is not None
    told = [(p.get("name"), p.get("value")) for p in suite.findall("properties/*")]
    assert told[:3] == [
        ("agentgym_gate", sentence),
        ("agentgym_exit_code", "1"),
        ("agentgym_reason", below),
    ]
    assert runner.outputs["steps.report.outputs.gate"] == sentence
    assert runner.step("Gate")[0] == 1


def test_a_test_that_is_no_scenario_fails_the_job_and_not_the_gate(
    runner: Runner, gym: Gym
) -> None:
    gym.file(SCENARIO.format(message="look_up=7") + "\n\ndef test_x(): assert 0\n")
    runner.step("Measure")
    assert runner.step("Report") == (0, "")
    report = Path(runner.outputs["steps.report.outputs.report"]).read_text()
    assert "**Gate met: the run reached 95 %.**" in report
    assert "\npytest ended with exit code 1: the log says why.\n" in report
    assert runner.step("Gate")[0] == 1


@pytest.mark.parametrize(
    ("extras", "asked"), [("", ""), ("langchain,policy", "[langchain,policy]")]
)
def test_agentgym_is_installed_from_the_action_and_then_the_agent(
    runner: Runner, monkeypatch: pytest.MonkeyPatch, extras: str, asked: str
) -> None:
    pip = runner.home / "bin" / "pip"
    pip.write_text('#!/bin/sh\nprintf "pip %s %s\\n" "$1" "$2"\n')
    pip.chmod(0o755)
    action = runner.home / "an action" / ".github" / "actions" / "agentgym"
    action.mkdir(parents=True)
    monkeypatch.setenv("GITHUB_ACTION_PATH", str(action))
    runner.inputs |= {"extras": extras, "install": "pip install mine"}
    assert runner.step("Install") == (
        0,
        f"pip install {runner.home}/an action{asked}\npip install mine\n",
    )


def test_a_reliable_agent_passes(runner: Runner) -> None:
    runner.step("Measure")
    runner.step("Report")
    assert runner.step("Gate") == (0, "")


def test_nothing_to_compare_with(runner: Runner) -> None:
    notice = "agentgym found no baseline: no push to 'main' has kept 'agentgym-runs'"
    assert runner.step("Fetch the baseline") == (0, f"::notice::{notice}\n")
    (runner.github / "down").touch()
    code, output = runner.step("Fetch the baseline")
    assert (code, output.splitlines()[-1]) == (0, f"::notice::{notice}")
    runner.step("Measure")
    assert runner.step("Report")[0] == 0


def test_a_baseline_that_cannot_be_read_costs_only_the_comparison(
    runner: Runner,
) -> None:
    runner.step("Measure")
    broken = runner.home / "agentgym" / "baseline" / "r1"
    broken.mkdir(parents=True)
    (broken / "summary.json").write_text("{")
    code, output = runner.step("Report")
    assert (code, "is no summary of a run" in output) == (0, True)
    report = Path(runner.outputs["steps.report.outputs.report"]).read_text()
    assert report.startswith("## Tool reliability: 100.0 %\n")


def test_a_token_that_may_not_comment_is_a_warning(runner: Runner) -> None:
    runner.step("Measure")
    runner.step("Report")
    (runner.github / "down").touch()
    code, output = runner.step("Comment")
    assert code == 0
    assert "::warning::agentgym could not comment" in output


def test_nothing_was_measured(runner: Runner) -> None:
    runner.inputs["threshold"] = "95"
    code, output = runner.step("Measure")
    assert code == 0
    assert "--agentgym-threshold 95: give a number from 0 to 1" in output
    assert runner.step("Report")[0] == 0
    report = Path(runner.outputs["steps.report.outputs.report"]).read_text()
    assert report.startswith(
        "## Tool reliability: not measured\n\npytest ended with exit code 4: "
        "an option, a file or a scenario is wrong.\n"
    )
    assert runner.step("Gate")[0] == 4


def test_an_agent_that_ends_the_process_is_no_success(runner: Runner) -> None:
    (runner.project / "test_it.py").write_text(
        """
import os

from agentgym import scenario


@scenario(episodes=2)
def test_order(agent):
    os._exit(0)
"""
    )
    assert runner.step("Measure")[0] == 0
    assert runner.outputs["steps.measure.outputs.exit-code"] == "1"
    assert runner.step("Report")[0] == 0
    report = Path(runner.outputs["steps.report.outputs.report"]).read_text()
    assert "pytest ended with exit code 1: a test failed, or pytest ended " in report
    assert runner.step("Gate")[0] == 1


@pytest.mark.parametrize(("name", "shown"), [("args", "-k 'x"), ("paths", 'a "b')])
def test_a_quote_that_is_not_closed_is_an_error(
    runner: Runner, name: str, shown: str
) -> None:
    """All tests of the project would be played otherwise."""
    runner.inputs[name] = shown
    code, output = runner.step("Measure")
    assert code == 4
    assert output == f"::error::agentgym: {name}: No closing quotation: {shown!r}\n"


def test_what_is_printed_is_no_command(runner: Runner) -> None:
    (runner.project / "test_it.py").write_text(
        "def test_loud(capfd):\n"
        "    with capfd.disabled():\n"
        "        print('\\n::error::from an agent')\n"
    )
    output = runner.step("Measure")[1].splitlines()
    token = output[0].removeprefix("::stop-commands::")
    assert re.fullmatch("[0-9a-f]{32}", token)
    said = output.index("::error::from an agent")
    assert 0 < said < output.index(f"::{token}::")


def test_only_what_a_push_has_kept_is_a_baseline(runner: Runner) -> None:
    runner.step("Fetch the baseline")
    (listing,) = [asked for asked in runner.asked() if asked[:2] == ["run", "list"]]
    assert listing[listing.index("--event") + 1] == "push"


def test_inputs_are_arguments_and_never_code(runner: Runner) -> None:
    runner.inputs["args"] += " -k 'order or other' --agentgym-episodes=3"
    runner.inputs["paths"] = "'$(touch pwned)' ; touch pwned"
    runner.step("Measure")
    assert not (runner.project / "pwned").exists()
    runner.inputs["paths"] = "\n  test_it.py\n"
    assert "3/3" in runner.step("Measure")[1]


def test_no_script_holds_an_expression() -> None:
    for step in STEPS.values():
        assert "${{" not in step.get("run", ""), step["name"]
        assert ("run" in step) == (step.get("shell") == "bash")


def test_inputs_and_steps_that_are_used_exist() -> None:
    action, text = read(ACTION), ACTION.read_text()
    used = set(re.findall(r"inputs\.([\w-]+)", text))
    assert used == set(action["inputs"])
    ids = {step["id"]: step.get("run", "") for step in STEPS.values() if "id" in step}
    for step, output in re.findall(r"steps\.([\w-]+)\.outputs\.([\w-]+)", text):
        assert f'echo "{output}=' in ids[step]
    assert all(isinstance(about["default"], str) for about in action["inputs"].values())


def test_the_workflow_uses_the_action_as_it_is() -> None:
    workflow, action = read(EXAMPLE), read(ACTION)
    # YAML 1.1 takes `on` for a truth value; GitHub does not.
    assert workflow[True] == {"pull_request": None, "push": {"branches": ["main"]}}
    [job] = workflow["jobs"].values()
    assert job["permissions"] == {
        "contents": "read",
        "actions": "read",
        "pull-requests": "write",
    }
    [_, step] = job["steps"]
    path = step["uses"].partition("/agentgym/")[2].partition("@")[0]
    assert (ROOT / path / "action.yml") == ACTION
    assert step["with"].keys() <= action["inputs"].keys()


def test_options_that_are_used_exist() -> None:
    names: list[str] = []
    group = argparse.Namespace(addoption=lambda name, **_: names.append(name))
    parser = argparse.Namespace(getgroup=lambda *_: group, addini=lambda *_, **__: None)
    pytest_addoption(parser)  # type: ignore[arg-type]
    readme = EXAMPLE.with_name("README.md")
    text = "".join(file.read_text() for file in (ACTION, EXAMPLE, readme))
    used = set(re.findall(r"--agentgym[a-z-]*", text))
    assert "--agentgym-threshold" in used
    assert used <= set(names)
    for line in re.findall(r"agentgym (report [^|\n]*)", text):
        words = line.partition("#")[0].replace("||", "").split()
        _parser().parse_args(words)


def test_the_report_is_kept_though_its_folder_is_hidden() -> None:
    kept = STEPS["Keep the run"]["with"]
    assert kept["include-hidden-files"] is True
    assert kept["path"].endswith("/.agentgym/runs")


def test_scripts_are_bash() -> None:
    for step in STEPS.values():
        if "run" in step:
            subprocess.run(["bash", "-n"], input=step["run"], text=True, check=True)
