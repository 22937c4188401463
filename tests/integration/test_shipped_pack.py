"""The whole stack: pytest, LangChain agent, policy server, embedded policy, report."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("langchain")
pytest.importorskip("torch")

ROOT = Path(__file__).parents[2]
ASYNC_SCENARIO = """
from agentgym import must, scenario

from scenarios.customer_support.conftest import *
from scenarios.customer_support.language import say


@scenario(episodes=4)
async def test_parcel(agent, helpdesk, case):
    order = helpdesk.add_order("shipped")
    run = await agent.run(say("track", case, order))
    assert run.called("track_shipment"), must("nobody knows by heart")
"""


STRANGE_TOOL = """
import openai
import pytest

from agentgym import scenario
from agentgym.integrations.openai import record_openai

WEATHER = {"name": "get_weather", "description": "Weather.", "parameters": {}}


@pytest.fixture
def agent(policy):
    client = openai.OpenAI(base_url=policy.base_url, api_key=policy.api_key)
    asked = {"tools": [{"type": "function", "function": WEATHER}], "max_tokens": 8}

    def ask(text):
        messages = [{"role": "user", "content": text}]
        completions = record_openai(client).chat.completions
        return str(completions.create(model=policy.model, messages=messages, **asked))

    return ask


@scenario(episodes=2)
def test_weather(agent):
    assert agent.run("How is it in Rome?").called("get_weather")
"""


def measure(folder: Path, *arguments: str) -> tuple[int, dict[str, Any], str]:
    """Runs pytest in a process of its own; exit code, summary and output."""
    summary = folder / "summary.json"
    command = [sys.executable, "-m", "pytest", "-p", "agentgym", "--agentgym"]
    done = subprocess.run(
        [*command, f"--agentgym-json={summary}", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert summary.exists(), done.stdout + done.stderr
    return done.returncode, json.loads(summary.read_text()), done.stdout


def test_the_shipped_agent_on_the_shipped_scenarios(tmp_path):
    code, summary, output = measure(
        tmp_path,
        *("-p", "xdist", "-n2", "--agentgym-episodes=6"),
        *(f"--rootdir={tmp_path}", "scenarios/customer_support"),
    )
    assert code == 1, output
    assert summary["policy"] == "embedded"
    assert len(summary["scenarios"]) == 18
    episodes = summary["episodes"]
    assert episodes["passed"] + episodes["failed"] == 18 * 6, output
    # Unreliable on purpose; measured over all held-out cases it is 70-79 %.
    assert 0.4 < summary["reliability"]["value"] < 0.9
    assert summary["reliability"]["verdict"] == "UNRELIABLE"
    tools = {tool["name"]: tool for tool in summary["tools"]}
    assert tools["lookup_order"]["correct"] > 20
    assert any(scenario["tokens"] for scenario in summary["scenarios"])
    assert not any("embedded policy" in text for text in summary["warnings"])


def test_an_async_scenario(tmp_path):
    (tmp_path / "test_async.py").write_text(ASYNC_SCENARIO)
    code, summary, output = measure(
        tmp_path, f"--rootdir={tmp_path}", str(tmp_path / "test_async.py")
    )
    assert code in (0, 1), output
    assert sum(summary["episodes"].values()) == 4
    assert summary["episodes"]["harness_error"] == 0, output
    assert [tool["name"] for tool in summary["tools"]].count("track_shipment") == 1


def test_the_embedded_policy_knows_the_packs_tools_only(tmp_path):
    (tmp_path / "test_weather.py").write_text(STRANGE_TOOL)
    _, summary, output = measure(
        tmp_path, f"--rootdir={tmp_path}", str(tmp_path / "test_weather.py")
    )
    (told,) = summary["warnings"]
    assert told.startswith("the embedded policy knows the tools of code_review, ")
    assert "none of this agent's (get_weather)" in told
    # At once, and in the report.
    assert told in output


def test_the_example_of_an_agent_of_ones_own(tmp_path):
    code, summary, output = measure(
        tmp_path, f"--rootdir={tmp_path}", "examples/openai_client"
    )
    assert code in (0, 1), output
    assert summary["episodes"]["passed"] + summary["episodes"]["failed"] == 16, output
    assert summary["episodes"]["passed"] > 0
    assert "track_shipment" in {tool["name"] for tool in summary["tools"]}
