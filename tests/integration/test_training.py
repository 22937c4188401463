"""A real training: pytest, LangChain agents, gateway, policy server, LoRA weights."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("agentlightning")
pytest.importorskip("langchain")

from agentgym import TrainedAgent, TrainingResult
from agentgym.testing import ScriptedModel
from tests.html_page import Page
from tests.summary_schema import check_summary
from tests.tiny_policy import make_tiny

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SMALL = {"groups": 4, "group_size": 4, "learning_rate": 1e-3}


class Project:
    """A folder with some of the shipped scenarios in it."""

    def __init__(self, root: Path, *files: str) -> None:
        self.root = root
        pack = root / "customer_support"
        shutil.copytree(ROOT / "scenarios/customer_support", pack)
        for path in pack.glob("test_*.py"):
            if path.name not in files:
                path.unlink()
        refunds = pack / "test_refunds.py"
        if refunds.exists():
            # The first of its scenarios never passes: a lucky agent would meet the
            # target before there was anything to see.
            changes = 'helpdesk.changes == ["issue_refund"]'
            text = refunds.read_text()
            assert changes in text
            refunds.write_text(text.replace(changes, "not helpdesk.refunds", 1))
        (root / "config.json").write_text(json.dumps(SMALL))

    def command(self, *arguments: str, train: bool = True) -> list[str]:
        plugins = ("agentgym", *(["xdist"] if "-n2" in arguments else []))
        named = [part for name in plugins for part in ("-p", name)]
        command = [sys.executable, "-m", "pytest", *named, "--agentgym"]
        command += ["--rootdir", str(self.root), "--agentgym-episodes=4"]
        if train:
            command += ["--train", "--agentgym-train-config=config.json"]
        return [*command, *arguments]

    def start(self, *arguments: str, train: bool = True) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*arguments, train=train),
            cwd=self.root,
            env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str, train: bool = True) -> tuple[int, str]:
        process = self.start(*arguments, train=train)
        output, _ = process.communicate(timeout=400)
        return process.returncode, output

    @property
    def runs(self) -> list[Path]:
        return sorted((self.root / ".agentgym/runs").glob("*"))

    def lines(self, name: str) -> list[dict[str, Any]]:
        path = self.runs[-1] / name
        if not path.exists():
            return []
        found = []
        for line in path.read_text().splitlines():
            with contextlib.suppress(ValueError):
                found.append(json.loads(line))
        return found

    def wait_for_update(self, process: subprocess.Popen[str]) -> None:
        """Until the first update is in the journal."""
        end = time.monotonic() + 300
        while not (self.runs and self.lines("updates.jsonl")):
            assert process.poll() is None, process.stdout and process.stdout.read()
            assert time.monotonic() < end
            time.sleep(0.05)


def kill_child(process: subprocess.Popen[str], command: str) -> None:
    """Kills one process that the given one has started."""
    find = ["pgrep", "-P", str(process.pid), "-f", command]
    found = subprocess.run(find, capture_output=True, text=True, check=True)
    os.kill(int(found.stdout.split()[0]), signal.SIGKILL)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, int, str]:
    project = Project(tmp_path_factory.mktemp("trained"), "test_refunds.py")
    options = ("--agentgym-updates=2", "--agentgym-price=paid=1/10")
    return project, *project.run(*options, "customer_support")


def test_a_training_leaves_its_results(trained):
    project, code, output = trained
    assert code in (0, 1), output
    summary = json.loads((project.runs[-1] / "summary.json").read_text())
    check_summary(summary)
    training = summary["training"]
    result = TrainingResult.from_json(training)
    assert result.updates == 2
    assert result.met == (code == 0)
    for share in (training["before"], training["after"]):
        assert 0 <= share["low"] <= share["value"] <= share["high"] <= 1
    difference = training["after"]["value"] - training["before"]["value"]
    assert training["difference"]["value"] == pytest.approx(difference)
    assert "paired on the same" in output
    assert re.search(r"dollars per passed episode: \$.* before, \$.* after", output)
    updates = project.lines("updates.jsonl")
    assert [row["update"] for row in updates] == [1, 2]
    for row in updates:
        assert row["mismatch"] < 1e-3
        assert row["stale_share"] == 0
        # Some: LangChain does not hand malformed calls back as they were written.
        assert row["broken_prefixes"] < 0.3
        assert row.pop("signs") == []
        assert len(row.pop("adapter_sha256")) == 64
        assert all(math.isfinite(v) for v in row.values())
    page = Page(project.runs[-1] / "report.html")
    assert page.report["summary"]["training"] == training
    assert [row["update"] for row in page.report["updates"]] == [1, 2]
    assert len(page.rows) == len(project.lines("episodes.jsonl"))


def test_held_out_cases_never_enter_a_batch(trained):
    project, _, output = trained
    episodes = project.lines("episodes.jsonl")
    seeds: dict[str, list[Any]] = {}
    for episode in episodes:
        case = (episode["scenario"], episode["case"]["seed"])
        seeds.setdefault(episode["phase"], []).append(case)
        held_out = episode["phase"] in ("before", "after")
        assert episode["case"]["split"] == ("held_out" if held_out else "train")
    assert sorted(seeds["before"]) == sorted(seeds["after"]), output
    assert not set(seeds["train"]) & set(seeds["before"])
    assert not set(seeds.get("validate", ())) & set(seeds["train"])


def test_the_saved_agent_is_measured_by_its_name(trained):
    project, _, output = trained
    agent = TrainedAgent.load("customer_support_v1.0", root=project.root)
    for said in ("before", "after", "per passed", "at the price of paid", "judged"):
        assert said in agent.card()
    folder = project.root / ".agentgym/agents/customer_support/v1.0"
    assert {p.name for p in folder.iterdir()} == {
        *("adapter_config.json", "adapter_model.safetensors", "agent.json")
    }
    code, output = project.run(
        "--agentgym-policy=customer_support_v1.0", "customer_support", train=False
    )
    assert code in (0, 1), output
    assert "reliability" in output


def test_the_saved_agent_says_who_judged_it(tmp_path):
    project = Project(tmp_path, "test_refunds.py")
    file = tmp_path / "customer_support/test_refunds.py"
    text = file.read_text().replace("import must", "import judge, must")
    text = text.replace("episodes=32", "judged=True, episodes=32")
    check = "    assert str(order.total) in run.reply\n"
    judged = "    assert judge(run, 'it names the sum')\n"
    file.write_text(text.replace(check, check + judged, 1))
    verdict = json.dumps({"reason": "I say so.", "pass": True})
    with ScriptedModel(lambda _: verdict, name="wise") as model:
        code, output = project.run(
            "--agentgym-updates=1",
            f"--agentgym-judge={model.base_url}#wise",
            # That one and another are enough.
            f"{file}::test_damaged_item_is_refunded",
            f"{file}::test_unwanted_item_is_refunded_in_time",
        )
    assert code in (0, 1), output
    agent = TrainedAgent.load("customer_support", root=tmp_path)
    judges = {s["scenario"]: s.get("judged_by") for s in agent.about["scenarios"]}
    name = "customer_support/test_refunds.py::test_damaged_item_is_refunded"
    assert {s: by for s, by in judges.items() if by} == {name: ["wise"]}
    assert len(judges) > 1
    assert f"{name} (judged by wise)" in agent.card()


def test_two_workers_of_which_one_is_killed(tmp_path):
    project = Project(tmp_path, "test_refunds.py")
    process = project.start("-n2", "--agentgym-updates=2", "customer_support")
    project.wait_for_update(process)
    kill_child(process, "stdin.readline")
    output, _ = process.communicate(timeout=400)
    assert process.returncode in (0, 1), output
    updates = project.lines("updates.jsonl")
    assert [row["update"] for row in updates] == [1, 2]
    for row in updates:
        assert row["mismatch"] < 1e-3
        assert row["stale_share"] == 0


def test_a_killed_training_goes_on_from_its_last_update(tmp_path):
    project = Project(tmp_path, "test_refunds.py")
    process = project.start("--agentgym-updates=9", "customer_support")
    project.wait_for_update(process)
    process.kill()
    process.communicate()
    done = len(project.lines("updates.jsonl"))
    before = project.lines("measured.jsonl")
    code, output = project.run(
        "--agentgym-resume", f"--agentgym-updates={done + 1}", "customer_support"
    )
    assert code in (0, 1), output
    assert "resumed after" in output
    assert len(project.runs) == 1
    updates = project.lines("updates.jsonl")
    assert [row["update"] for row in updates] == list(range(1, done + 2))
    again = [x for x in project.lines("measured.jsonl") if x["phase"] == "before"]
    assert again == [line for line in before if line["phase"] == "before"]
    assert not list(project.root.rglob("*.part"))


def test_a_killed_policy_server_is_replaced(tmp_path):
    project = Project(tmp_path, "test_refunds.py")
    process = project.start("--agentgym-updates=2", "customer_support")
    project.wait_for_update(process)
    kill_child(process, "agentgym.policy.server")
    output, _ = process.communicate(timeout=400)
    assert process.returncode in (0, 1), output
    assert "it was started again" in output
    assert len(project.lines("updates.jsonl")) == 2


DEAF = """
import pytest

@pytest.fixture
def agent():
    return lambda message: message
"""
ECHO = """
import pytest
from openai import OpenAI

@pytest.fixture
def agent(policy):
    client = OpenAI(base_url=policy.base_url, api_key=policy.api_key)

    def reply(message):
        answer = client.chat.completions.create(
            model=policy.model,
            messages=[{"role": "user", "content": message}],
            max_tokens=12,
        )
        return answer.choices[0].message.content or ""

    return reply
"""


@pytest.mark.parametrize(
    ("conftest", "scenario", "arguments", "code", "sentence"),
    [
        (DEAF, "run.reply == 'no'", (), 4, "closed API can be measured, not trained"),
        (ECHO, "run.reply or True", (), 0, "the target was met before training"),
        (ECHO, "not run and False", (), 4, "made no tool call and earned nothing"),
        (
            ECHO,
            "case.split == 'train' and sum(map(ord, run.reply)) % 2",
            ("--agentgym-components=parameter_selection",),
            4,
            "the batch has no token to train, so that nothing can be learned from it",
        ),
    ],
    ids=["closed", "met", "no-call", "no-token"],
)
def test_what_cannot_be_trained(
    tmp_path, conftest, scenario, arguments, code, sentence
):
    project = Project(tmp_path)
    (tmp_path / "conftest.py").write_text(conftest)
    (tmp_path / "test_it.py").write_text(
        "from agentgym import scenario\n\n\n@scenario\ndef test_it(agent, case):\n"
        f'    run = agent.run("hello")\n    assert {scenario}\n'
    )
    found, output = project.run(*arguments, "test_it.py")
    assert found == code, output
    assert sentence in " ".join(output.split())
    assert not (tmp_path / ".agentgym/agents").exists()
    if conftest is DEAF:
        assert len(project.lines("episodes.jsonl")) == 1, "it may cost money elsewhere"


@pytest.mark.parametrize(
    ("split", "sentence"),
    [("held_out", "only held-out cases"), ("train", "only train cases")],
)
def test_cases_of_one_split_only(tmp_path, split, sentence):
    project = Project(tmp_path)
    (tmp_path / "conftest.py").write_text(ECHO)
    (tmp_path / "test_it.py").write_text(
        f"from agentgym import scenario\n\n\n@scenario(split={split!r})\n"
        'def test_it(agent):\n    assert agent.run("hello").reply\n'
    )
    code, output = project.run("test_it.py")
    assert code == 4, output
    assert f"there are {sentence}" in output


def test_a_loss_that_is_not_finite(tmp_path):
    project = Project(tmp_path, "test_refunds.py")
    settings = SMALL | {"learning_rate": 1e30}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    code, output = project.run("customer_support")
    assert code == 4, output
    assert "lower learning_rate" in " ".join(output.split())


def test_a_local_model_of_another_family(tmp_path):
    """It learns to be brief, which is paid for letter by letter."""
    project = Project(tmp_path)
    make_tiny(tmp_path / "model", "llama")
    (tmp_path / "conftest.py").write_text(ECHO)
    (tmp_path / "test_it.py").write_text(
        "from agentgym import scenario\n\n\n"
        '@scenario(trainable_components={"output_generation": True})\n'
        'def test_it(agent):\n    run = agent.run("hello")\n'
        "    for most in range(40):\n        assert len(run.reply) <= most\n"
    )
    # A random model is nearly the same for all tokens: it takes long steps, and groups
    # that are large enough for the reward to rise with every seed.
    settings = {"groups": 4, "group_size": 32, "learning_rate": 0.05}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    code, output = project.run(
        "--agentgym-policy=model", "--agentgym-updates=12", "test_it.py"
    )
    assert code in (0, 1), output
    rows = project.lines("updates.jsonl")
    # Rounding moves single tokens of such a model by up to 1e-3, but not the mean.
    assert all(row["mean_mismatch"] < 1e-4 for row in rows)
    rewards = [row["reward"] for row in rows]
    assert sum(rewards[-3:]) / 3 > rewards[0] + 0.05, output


def test_rewards_that_never_vary_end_the_training(tmp_path):
    project = Project(tmp_path)
    (tmp_path / "customer_support/test_impossible.py").write_text(
        "from agentgym import scenario\n"
        "from .language import say\n\n"
        "@scenario(split='auto')\n"
        "def test_impossible(agent, helpdesk, case):\n"
        "    run = agent.run(say('track', case, helpdesk.add_order('shipped')))\n"
        "    assert run.called('teleport')\n"
    )
    code, output = project.run("customer_support")
    assert code == 4, output
    assert "the rewards of the last 3 batches never vary: all episodes" in output
    assert "Traceback" not in output
    assert not (tmp_path / ".agentgym/agents").exists()
