"""What models are asked by: stored once in a run, shown on the page, compared."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Gym
from tests.html_page import Page

pytest.importorskip("openai")

AGENT = """
    import openai
    import pytest

    from agentgym.integrations.openai import record_openai
    from agentgym.testing import ScriptedModel, call, say

    TOOLS = [{
        "type": "function",
        "function": {
            "name": "look_up",
            "description": "DESCRIPTION",
            "parameters": {"type": "object", "properties": {"id": {"type": "TYPE"}}},
        },
    }]


    @pytest.fixture(scope="session")
    def client():
        with ScriptedModel([call("look_up", id="A1"), say("Paid.")]) as model:
            client = openai.OpenAI(base_url=model.base_url, api_key="none")
            yield record_openai(client)


    @pytest.fixture
    def agent(client):
        def ask(text):
            messages = [
                {"role": "system", "content": "Be kind.\\nPROMPT"},
                {"role": "user", "content": text},
            ]
            for _ in range(2):
                answer = client.chat.completions.create(
                    model="m", messages=messages, tools=TOOLS
                )
                message = answer.choices[0].message
                messages.append(message.model_dump(exclude_none=True))
                for made in message.tool_calls or ():
                    messages.append(
                        {"role": "tool", "tool_call_id": made.id, "content": "paid"}
                    )
            return message.content

        return ask
"""
SCENARIO = """
    from agentgym import scenario

    @scenario(episodes=4)
    def test_look_up(agent):
        assert agent.run("Is A1 paid?").called("look_up")

    @scenario(episodes=4)
    def test_again(agent):
        assert agent.run("Is A1 paid yet?").called("look_up")
"""


def play(
    gym: Gym,
    *args: str,
    prompt: str = "Be brief.",
    description: str = "Shows an order.",
    kind: str = "string",
    plugins: tuple[str, ...] = (),
) -> pytest.RunResult:
    given = {"PROMPT": prompt, "DESCRIPTION": description, "TYPE": kind}
    text = AGENT
    for name, value in given.items():
        text = text.replace(name, value)
    gym.conftest(text)
    gym.file(SCENARIO)
    # xdist's workers are told of the plugin by the command line only.
    begin = gym.start if plugins else gym.run
    result = begin("-W", "ignore", *args, plugins=plugins)
    assert result.ret == 0
    return result


def prompts(run: Path) -> dict[str, dict[str, object]]:
    lines = (run / "prompts.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    assert len({line["digest"] for line in found}) == len(found)
    return {line.pop("digest"): line for line in found}


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_each_prompt_is_stored_once_and_named_by_the_calls(
    gym: Gym, workers: tuple[str, ...]
) -> None:
    report = gym.pytester.path / "report.html"
    plugins = ("xdist.plugin",) if workers else ()
    play(gym, *workers, f"--agentgym-report={report}", plugins=plugins)
    stored = prompts(gym.runs[-1])
    assert len(stored) == 2
    for episode in gym.episodes():
        for step in episode["trajectory"]["steps"]:
            asked = stored[step["model"]["system"]]
            assert asked == {"system": "Be kind.\nBe brief."}
            [tool] = stored[step["model"]["tools"]]["tools"]  # type: ignore[misc]
            assert tool["name"] == "look_up"
            assert tool["description"] == "Shows an order."
    assert set(Page(report).report["prompts"]) == set(stored)


def compare(gym: Gym, *args: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "agentgym.commands.main", "compare", *args],
        cwd=gym.pytester.path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_changed_prompt_and_tool_are_told(gym: Gym) -> None:
    play(gym)
    play(gym, prompt="Be very brief.", description="Finds an order.", kind="integer")
    at = gym.pytester.path
    text = compare(gym, "--markdown", str(at / "c.md"), "--json", str(at / "c.json"))
    for words in (
        "what models are asked by",
        "the system prompt changed, in test_again, test_look_up",
        "-Be brief.",
        "+Be very brief.",
        "tool look_up's description changed, in test_again, test_look_up",
        "-Shows an order.",
        "+Finds an order.",
        "tool look_up's parameters changed",
    ):
        assert words in text
    assert "Be kind." not in text
    markdown = (at / "c.md").read_text()
    assert "the system prompt changed" in markdown
    assert "+Be very brief." in markdown
    told = json.loads((at / "c.json").read_text())["prompts"]
    assert [change["sentence"] for change in told] == [
        "the system prompt changed",
        "tool look_up's description changed",
        "tool look_up's parameters changed",
    ]


def test_the_same_prompts_are_not_told_of(gym: Gym) -> None:
    play(gym)
    result = play(gym, "--agentgym-baseline=latest")
    result.stdout.no_fnmatch_line("*what models are asked by*")
    changed = play(gym, "--agentgym-baseline=latest", prompt="Be long.")
    changed.stdout.fnmatch_lines(["*the system prompt changed, in *"])
    assert gym.summary()["baseline"]["prompts"][0]["diff"] == [
        "-Be brief.",
        "+Be long.",
    ]


def test_a_run_of_before_prompts_were_stored_is_compared(gym: Gym) -> None:
    play(gym)
    (gym.runs[-1] / "prompts.jsonl").unlink()
    play(gym, prompt="Be long.")
    assert "asked by" not in compare(gym)
