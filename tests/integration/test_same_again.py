"""Runs of the embedded policy, played again: pytest, agents, server and weights."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("langchain")
pytest.importorskip("torch")

from safetensors.torch import load_file, save_file

from agentgym.policy.folders.embedded import embedded_path
from agentgym.runs.again.reproduction import compare_again
from agentgym.runs.files.updates import read_updates

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
NESTED = """
from concurrent.futures import ThreadPoolExecutor

import openai
from agentgym import scenario
from agentgym.integrations.openai import record_openai
import pytest


@pytest.fixture
def agent(policy):
    client = record_openai(
        openai.OpenAI(base_url=policy.base_url, api_key=policy.api_key)
    )

    def ask(text):
        messages = [{"role": "user", "content": text}]
        said = client.chat.completions.create(
            model=policy.model, messages=messages, max_tokens=12
        )
        return said.choices[0].message.content or ""

    def ask_three(text):
        # Side by side, and one of them twice.
        with ThreadPoolExecutor(3) as pool:
            return " | ".join(sorted(pool.map(ask, [text, text, text + " now"])))

    return ask_three


@scenario(episodes=6, cases=["Hello", "Where is my order?"])
def test_nested(agent, case):
    assert agent.run(case.value).reply != "never"
"""


ADDRESSES = """
from agentgym import InfraError, scenario
import pytest

tried = set()


@pytest.fixture
def agent(policy, case):
    def reply(text):
        with open("addresses", "a") as file:
            file.write(policy.base_url + "\\n")
        if case.repeat == 1 and case.id not in tried:
            tried.add(case.id)
            raise InfraError("not yet")
        return text

    return reply


@scenario(episodes=6, cases=2)
def test_addresses(agent):
    assert agent.run("hi").reply
"""


class Shop:
    """A project with a few scenarios of the shipped pack."""

    def __init__(self, root: Path) -> None:
        self.root = root
        pack = root / "customer_support"
        shutil.copytree(ROOT / "scenarios/customer_support", pack)
        for path in pack.glob("test_*.py"):
            if path.name != "test_refunds.py":
                path.unlink()
        self.refunds = pack / "test_refunds.py"

    def run(self, *arguments: str) -> Path:
        """Runs pytest; the folder of the run."""
        before = set(self.runs)
        command = [sys.executable, "-m", "pytest", "-p", "agentgym", "-p", "xdist"]
        done = subprocess.run(
            [*command, "--agentgym", "-q", *arguments],
            cwd=self.root,
            env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            capture_output=True,
            text=True,
        )
        assert done.returncode in (0, 1), done.stdout + done.stderr
        (run,) = set(self.runs) - before
        return run

    def reproduce(self, run: Path) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "agentgym.commands.main", "reproduce", run.name],
            cwd=self.root,
            env={
                **os.environ,
                "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
                "COLUMNS": "160",
            },
            capture_output=True,
            text=True,
        )
        return done.returncode, done.stdout + done.stderr

    @property
    def runs(self) -> list[Path]:
        return sorted((self.root / ".agentgym/runs").glob("2*"))


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def test_a_seed_gives_the_same_replies_however_many_are_in_flight(shop):
    few = ("--agentgym-episodes=3", "customer_support")
    first = shop.run("--agentgym-concurrency=1", *few)
    for options in (["--agentgym-concurrency=8"], ["-n2"]):
        found = compare_again(first, shop.run(*options, *few), whole=True)
        assert (found.differing, found.first) == (0, None)
        assert found.compared >= 6
    other = shop.run("--agentgym-seed=1", *few)
    found = compare_again(first, other, whole=True)
    assert found.differing == found.compared
    assert "of its case was" in str(found.first)


def test_replies_of_an_agent_that_asks_side_by_side_come_again(shop):
    (shop.root / "test_nested.py").write_text(NESTED)
    first, second = (shop.run("test_nested.py") for _ in range(2))

    def said(run: Path) -> list[str]:
        lines = (run / "episodes.jsonl").read_text().splitlines()
        episodes = sorted(map(json.loads, lines), key=lambda e: e["index"])
        return [e["trajectory"]["messages"][-1]["content"] for e in episodes]

    assert said(first) == said(second)
    # Repeats of a case are other episodes, and the same question may be asked twice.
    assert len(set(said(first))) > 3
    assert any(len(set(text.split(" | "))) == 3 for text in said(first))


def test_each_attempt_has_an_address_of_its_own_and_the_same_one_again(shop):
    (shop.root / "test_addresses.py").write_text(ADDRESSES)
    for _ in range(2):
        shop.run("--agentgym-infra-retries=1", "test_addresses.py")
    lines = (shop.root / "addresses").read_text().splitlines()
    # The port before it is another one each time.
    seen = [line.partition("/episode/")[2] for line in lines]
    # Six episodes, of which the second ones of each case were tried twice.
    assert len(seen) == 16
    assert len(set(seen[:8])) == 8
    assert set(seen[8:]) == set(seen[:8])


def test_a_run_that_is_played_again_is_the_same(shop):
    run = shop.run("--agentgym-episodes=2", "customer_support")
    code, output = shop.reproduce(run)
    assert "the same: cases, replies, tool calls and outcomes of" in output
    assert "not as it was" not in output
    assert code == 0


def test_what_is_not_the_same_is_said(shop):
    model = shop.root / "model"
    shutil.copytree(embedded_path(), model)
    few = ("--agentgym-concurrency=1", "--agentgym-episodes=2")
    run = shop.run(*few, "--agentgym-policy=./model", "customer_support")
    weights = load_file(model / "model.safetensors")
    name = "model.embed_tokens.weight"
    weights[name] = weights[name] * 0.5
    save_file(weights, model / "model.safetensors", {"format": "pt"})
    code, output = shop.reproduce(run)
    assert code == 1
    assert "not as it was: the weights of the policy are not what they were" in output
    assert "not the same: " in output
    assert "episode 0, case held_out-0: " in output
    assert " model call 1 was '" in output

    text = shop.refunds.read_text()
    assert "helpdesk.changes" in text
    shop.refunds.write_text(text.replace("say(", "'Hi! ' + say("))
    code, output = shop.reproduce(run)
    assert code == 1
    assert "not as it was: changed since: customer_support/test_refunds.py" in output
    assert "message 1 of the user was '" in output


def test_a_training_gives_the_same_adapters(shop):
    pytest.importorskip("agentlightning")
    small = {"groups": 2, "group_size": 4, "epochs": 1, "updates": 3}
    (shop.root / "config.json").write_text(json.dumps(small))
    options = [
        "--train",
        "--agentgym-train-config=config.json",
        "--agentgym-episodes=2",
    ]
    run = shop.run(*options, "--agentgym-concurrency=1", "customer_support")
    adapters = [line["adapter_sha256"] for line in read_updates(run)]
    assert len(set(adapters)) == 3
    # The settings are the run's own.
    (shop.root / "config.json").unlink()
    code, output = shop.reproduce(run)
    assert code == 0, output
    assert "and the adapter after each of 3 updates" in output
    again = shop.runs[-1]
    assert [line["adapter_sha256"] for line in read_updates(again)] == adapters
    saved = sorted(path.name for path in (shop.root / ".agentgym/agents").iterdir())
    assert saved == ["customer_support", "customer_support-again"]
