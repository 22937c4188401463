"""What a user's files name keeps its address, wherever its code moves."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import agentgym.testing
from agentgym.exit_code import ExitCode
from agentgym.integrations.frameworks import FRAMEWORKS
from agentgym.integrations.openai import record_openai
from agentgym.runner import ENV_MAP, Episode


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_names():
    assert all(map(callable, (Episode, record_openai)))
    assert set(ENV_MAP) == {"AGENTGYM_SCENARIO", "AGENTGYM_SPLIT", "AGENTGYM_CASE"}
    assert agentgym.testing.ScriptedModel
    assert {framework.module for framework in FRAMEWORKS} == {
        *("ag2", "agent_framework", "autogen", "crewai", "langchain"),
        *("openai_agents", "pydantic_ai"),
    }


def test_a_job_of_a_cluster_says_what_its_environment_lacks():
    done = run("agentgym.runner")
    assert done.returncode == ExitCode.USAGE
    assert "AGENTGYM_SCENARIO is not in the environment" in done.stderr


@pytest.mark.parametrize("command", ["agentgym.policy.server", "agentgym.policy.build"])
def test_commands(command, capsys):
    pytest.importorskip("transformers")
    done = run(command, "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: python -m {command} ")
    # In this process: the other one was busy with imports for seconds.
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(f"{command}.__main__").main(["--bad-option"])
    assert ended.value.code == ExitCode.USAGE
    wrong = capsys.readouterr().err
    assert wrong.startswith(f"usage: python -m {command} ")
    assert f"python -m {command}: error: " in wrong
