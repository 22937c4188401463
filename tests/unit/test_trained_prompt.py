"""What a trained agent's card says of its prompt, and what agents made of it get."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agentgym import ScenarioRegistry, UsageError
from agentgym.policy.trained.trained_prompt import (
    OtherThanTrainedWarning,
    TrainedPrompt,
)
from agentgym.runs.files.main_prompt import main_prompt

SYSTEM, TOOLS = {"system": "You help."}, {"tools": [{"name": "look_up"}]}
TOOLS["tools"][0] |= {"description": "Finds.", "parameters": {}}


def call(system: str | None = "s", tools: str | None = "t") -> dict[str, Any]:
    asked = {"system": system, "tools": tools}
    return {"trajectory": {"steps": [{"model": None}, {"model": asked}]}}


@pytest.mark.parametrize(
    ("episodes", "wanted"),
    [
        ([call()] * 3, SYSTEM | TOOLS),
        ([call()] * 3 + [call("other", "other")] * 2, SYSTEM | TOOLS),
        # Of a system prompt that is another each time there is none to compare with.
        ([call(f"s{i}") for i in range(4)], TOOLS),
        ([call(), call("s", None), call("s", None)], SYSTEM),
        ([{"trajectory": {"steps": []}}, {"odd": 1}, [], call()], SYSTEM | TOOLS),
        ([call("unknown", "unknown")], {}),
        ([], {}),
    ],
)
def test_the_prompt_of_most_episodes(tmp_path: Path, episodes, wanted) -> None:
    prompts = [{"digest": "s", **SYSTEM}, {"digest": "t", **TOOLS}]
    for name, rows in (("prompts", prompts), ("episodes", episodes)):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / f"{name}.jsonl").write_text(text + '{"half": ')
    assert main_prompt(tmp_path) == wanted


def test_a_run_without_prompts(tmp_path: Path) -> None:
    assert main_prompt(tmp_path) == {}


def prompt_of(*scenarios: str, **prompt: Any) -> TrainedPrompt:
    about = {"scenarios": [{"scenario": name} for name in scenarios], "prompt": prompt}
    return TrainedPrompt.of("support_v1.0", about)


def look_up(order: str) -> str:
    return order


def refund(order: str) -> str:
    return order


def test_a_packs_own_tools_are_found() -> None:
    prompt = prompt_of("scenarios/customer_support/test_refunds.py::test_x")
    tools = prompt.tools_for("to_langchain", None)
    pack = ScenarioRegistry().get("customer_support")
    assert [tool.__name__ for tool in tools] == list(pack.tools)
    assert tools[0]("A4821")["status"] == "delivered"


@pytest.mark.parametrize(
    ("scenarios", "trained"),
    [
        (("tests/test_it.py::test_it",), ()),
        (("test_it.py::test_it",), ()),
        (("customer_support/test_a.py::test_x", "other/test_b.py::test_x"), ()),
        (("test_it.py::test_it",), ("look_up", "refund")),
    ],
)
def test_tools_that_nobody_knows_have_to_be_given(scenarios, trained) -> None:
    prompt = prompt_of(*scenarios, tools=[{"name": name} for name in trained])
    known = r" \(it was trained with look_up, refund\)" if trained else ""
    wanted = rf"support_v1.0: give its tools=\[...\]{known}, or tools=\[\]"
    with pytest.raises(UsageError, match=wanted):
        prompt.tools_for("to_langchain", None)
    assert prompt_of(*scenarios).tools_for("to_langchain", []) == []


@pytest.mark.parametrize(
    ("given", "warns"),
    [
        ([look_up, refund], False),
        ([refund, {"type": "function", "function": {"name": "look_up"}}], False),
        ([look_up], True),
        ([look_up, refund, print], True),
        # What has no name cannot be compared.
        ([look_up, 3], False),
    ],
)
def test_other_tools_than_in_training(given, warns, recwarn) -> None:
    prompt = prompt_of("test_it.py::x", tools=[{"name": "look_up"}, {"name": "refund"}])
    assert prompt.tools_for("to_autogen", given) is given
    assert [str(each.message) for each in recwarn] == (
        [
            "to_autogen(): support_v1.0 was trained with another list of tools: "
            "look_up, refund"
        ]
        if warns
        else []
    )


def test_another_prompt_than_in_training() -> None:
    prompt = prompt_of(system="You help.")
    assert prompt.system_for("to_langchain", None) == "You help."
    assert prompt.system_for("to_langchain", "You help.\n") == "You help.\n"
    with pytest.warns(OtherThanTrainedWarning, match="another prompt: 'You help.'"):
        assert prompt.system_for("to_langchain", "You sell.") == "You sell."
    assert prompt_of().system_for("to_langchain", "You sell.") == "You sell."


def test_what_a_crew_was_trained_as() -> None:
    system = (
        "You are Support agent. You know the shop. Well.\n"
        "Your personal goal is: Help customers\n\nTools: ..."
    )
    assert prompt_of(system=system).crew() == {
        "role": "Support agent",
        "goal": "Help customers",
        "backstory": "You know the shop. Well.",
    }
    assert prompt_of(system="You help.").crew()["goal"] == "You help."
    assert prompt_of().crew()["role"]


def test_an_early_card_says_nothing() -> None:
    prompt = TrainedPrompt.of("support_v1.0", {})
    assert (prompt.system, prompt.tools, prompt.folders) == (None, (), frozenset())
