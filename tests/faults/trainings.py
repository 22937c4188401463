"""A small training of a real model, which can be ended at an exact moment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.faults.killing import NOTES, Killing
from tests.taught_policy import ASKED, PLACES, TOOL, make_taught

_AGENT = f"""
import json
import urllib.request

import agentgym
import pytest

TOOL = {TOOL!r}


@agentgym.tool
def look_up(place):
    return "found"


def ask(policy, messages):
    body = {{
        "model": policy.model, "messages": messages, "tools": [TOOL], "max_tokens": 120
    }}
    request = urllib.request.Request(
        policy.base_url + "/chat/completions",
        json.dumps(body).encode(),
        {{
            "Authorization": f"Bearer {{policy.api_key}}",
            "Content-Type": "application/json",
        }},
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)["choices"][0]["message"]


@pytest.fixture
def agent(policy):
    def run(message):
        messages = [{{"role": "user", "content": message}}]
        for _ in range(3):
            reply = ask(policy, messages)
            messages.append(reply)
            if not reply.get("tool_calls"):
                return reply["content"] or ""
            for call in reply["tool_calls"]:
                result = look_up(**json.loads(call["function"]["arguments"]))
                messages.append(
                    {{"role": "tool", "content": result, "tool_call_id": call["id"]}}
                )
        return ""

    return agentgym.wrap(run)
"""

_MOMENTS = '''

# What ends the main process, and when: the variable MOMENT names it.


def die():
    note("died", os.environ["MOMENT"])
    os.kill(os.getpid(), signal.SIGKILL)


def instead(owner, name, make):
    setattr(owner, name, make(getattr(owner, name)))


def in_an_update():
    """In the middle of the first optimizer step."""
    import torch

    instead(torch.optim.AdamW, "step", lambda step: lambda *_, **__: die())


def without_room():
    """No file can grow any more from the first optimizer step on."""
    import atexit
    import resource
    import torch

    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    # What measures the coverage of tests writes its file last of all.
    atexit.register(resource.setrlimit, resource.RLIMIT_FSIZE, (hard, hard))

    def limited(step):
        def take(*given, **named):
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
            return step(*given, **named)

        return take

    instead(torch.optim.AdamW, "step", limited)


def before_the_report():
    """When the agent is saved, and nothing says so yet."""
    from pytest_agentgym.show.run_writer import RunWriter

    instead(RunWriter, "write", lambda usual: lambda *_: die())


if os.environ.get("MOMENT"):
    globals()[os.environ["MOMENT"]]()
'''

SCENARIO = f"""
from agentgym import scenario


@scenario(episodes=16)
def test_it_looks_in_the_right_place(agent):
    assert agent.run({ASKED["content"]!r}).called("look_up", place={PLACES[0]!r})
"""
SETTINGS = {"groups": 1, "group_size": 16, "learning_rate": 3e-3, "target": 0.8}


def training(root: Path, model: Path, *arguments: str) -> Killing:
    """A project that trains a model to look in one place and not in the other.

    Args:
        root: Its folder.
        model: As `taught` makes it.
        *arguments: Of its pytest processes.
    """
    given = ("--train", f"--agentgym-policy={model}", "--agentgym-updates=40")
    project = Killing(root, (*given, "--agentgym-train-config=config.json", *arguments))
    project.write("conftest.py", NOTES + _AGENT + _MOMENTS)
    project.write("test_it.py", SCENARIO)
    project.write("config.json", json.dumps(SETTINGS))
    return project


def taught(folder: Path) -> Path:
    """A model that looks in both places alike."""
    return make_taught(folder, "llama3_json")


def json_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a file that a run has left."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def verdict(project: Killing) -> dict[str, Any]:
    """What the last run of a project says."""
    found: dict[str, Any] = json.loads((project.runs[-1] / "summary.json").read_text())
    return found


def left_over(project: Killing) -> list[str]:
    """What only a process that was killed would leave, below its folder."""
    names = ("*.part", "*.partial", ".saving-*", "agentgym-run-*")
    found = [path for name in names for path in project.root.rglob(name)]
    return [str(path.relative_to(project.root)) for path in found]
