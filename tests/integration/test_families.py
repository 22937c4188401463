"""Models of several families, measured and trained through the real stack."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("agentlightning")
pytest.importorskip("openai")

from tests.made_dialects import FRAME, TEMPLATES, made_tokenizer
from tests.policy_agent import policy_agent
from tests.taught_policy import ASKED, PLACES, TOOL, make_taught
from tests.tiny_policy import make_tiny

CONFTEST = f"""
import json

import agentgym
import openai
import pytest

TOOL = {TOOL!r}


@agentgym.tool
def look_up(place):
    return "found"


@pytest.fixture
def agent(policy):
    client = openai.OpenAI(base_url=policy.base_url, api_key=policy.api_key)

    def run(message):
        messages = [{{"role": "user", "content": message}}]
        for _ in range(3):
            answer = client.chat.completions.create(
                model=policy.model, messages=messages, tools=[TOOL], max_tokens=120
            )
            reply = answer.choices[0].message
            messages.append(reply.model_dump(exclude_none=True))
            if not reply.tool_calls:
                return reply.content or ""
            for call in reply.tool_calls:
                result = look_up(**json.loads(call.function.arguments))
                messages.append(
                    {{"role": "tool", "content": result, "tool_call_id": call.id}}
                )
        return ""

    return agentgym.wrap(run)
"""
SCENARIO = f"""
from agentgym import scenario


@scenario(episodes=16, threshold=0.95)
def test_it_looks_in_the_right_place(agent):
    result = agent.run({ASKED["content"]!r})
    assert result.called("look_up", place={PLACES[0]!r})
    assert result.reply == "Done."
"""
SETTINGS = {"groups": 1, "group_size": 16, "learning_rate": 3e-3}


def pytest_run(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (root / "conftest.py").write_text(CONFTEST)
    (root / "test_it.py").write_text(SCENARIO)
    (root / "config.json").write_text(json.dumps(SETTINGS))
    return run_pytest(root, *arguments)


def run_pytest(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "agentgym", "--agentgym"]
    return subprocess.run(
        [*command, "--rootdir", str(root), *arguments],
        cwd=root,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "COLUMNS": "300"},
        capture_output=True,
        text=True,
        timeout=400,
    )


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("family", ["llama3_json", "mistral", "harmony"])
def test_a_family_is_measured_and_trained(family: str, tmp_path: Path) -> None:
    policy = make_taught(tmp_path / "model", family)
    train = ("--train", "--agentgym-train-config=config.json", "--agentgym-updates=6")
    done = pytest_run(tmp_path, f"--agentgym-policy={policy}", *train)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    (run,) = (tmp_path / ".agentgym/runs").iterdir()
    training = json.loads((run / "summary.json").read_text())["training"]
    before, after = training["before"]["value"], training["after"]["value"]
    # It was taught both places alike, and each update pays for one of them only.
    assert 0 < before < 0.95, done.stdout
    assert after > before, done.stdout
    updates = lines(run / "updates.jsonl")
    for update in updates:
        assert update["mismatch"] < 1e-3
        assert update["broken_prefixes"] == 0
        assert update["trained_tokens"] > 0
        # "Done." is frozen.
        assert update["frozen_tokens"] > 0
    called = [line for line in lines(run / "episodes.jsonl") if line["tools"]]
    assert called


def test_an_unknown_family_is_refused_in_a_sentence(tmp_path: Path) -> None:
    model = make_tiny(tmp_path / "model")
    odd = FRAME % "{% for c in m.tool_calls or [] %}@{{ c.function.name }}!{% endfor %}"
    made_tokenizer(odd).save_pretrained(model)
    for more in ((), ("--train",)):
        done = pytest_run(tmp_path, f"--agentgym-policy={model}", *more)
        assert done.returncode == 4, done.stdout + done.stderr
        shown = done.stdout + done.stderr
        assert "writes tool calls in a way that is not known here: '@agentgym" in shown
        assert "Traceback" not in shown


THINKING = TEMPLATES["llama3_json"].replace(
    "{%- if add_generation_prompt %}<|assistant|>",
    "{%- if add_generation_prompt %}<|assistant|>"
    "{% if not enable_thinking | default(true) %}<think></think>{% endif %}",
)


def test_variables_of_the_chat_template(tmp_path: Path) -> None:
    model = make_tiny(tmp_path / "model")
    tokenizer = made_tokenizer(THINKING)
    tokenizer.save_pretrained(model)
    source = policy_agent("answer", tools=[TOOL], max_tokens=2, return_token_ids=True)
    choice = 'choice = json.load(answer)["choices"][0]'
    source = source.replace(choice, "answer = json.load(answer)")
    (tmp_path / "conftest.py").write_text(source)
    (tmp_path / "test_it.py").write_text(
        "import json\n"
        "from agentgym import scenario\n\n\n"
        "@scenario(episodes=1)\n"
        "def test_it(agent):\n"
        "    answer = json.loads(agent.run('hello').reply)\n"
        "    with open('prompt.json', 'w') as file:\n"
        "        json.dump(answer['prompt_token_ids'], file)\n"
        "    assert answer['prompt_token_ids']\n"
    )
    ends = {}
    for given in ("{}", '{"enable_thinking": false}'):
        done = run_pytest(
            tmp_path,
            f"--agentgym-policy={model}",
            f"--agentgym-chat-template-kwargs={given}",
        )
        assert done.returncode == 0, done.stdout + done.stderr
        ids = json.loads((tmp_path / "prompt.json").read_text())
        ends[given] = tokenizer.decode(ids)[-30:]
    assert ends["{}"].endswith("<|assistant|>")
    assert ends['{"enable_thinking": false}'].endswith("<think></think>")
    for bad in ("[1]", "{"):
        done = run_pytest(tmp_path, f"--agentgym-chat-template-kwargs={bad}")
        assert done.returncode == 4
        assert f"kwargs {bad}: give a JSON object, as" in done.stdout + done.stderr
