"""Digests of what models are asked by, and what changed in it from run to run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agentgym.recording.asked import MOST_KNOWN, note_asked
from agentgym.recording.trajectory import ModelCall, Step, Trajectory
from agentgym.runs.files.prompt_changes import PromptUse, prompt_changes
from agentgym.runs.files.prompts import PromptFile, PromptLine, read_prompts


def asked(system: str = "", tools: Any = None) -> tuple[ModelCall, dict[str, Any]]:
    trajectory, call = Trajectory(), ModelCall()
    note_asked(trajectory, call, [system], tools)
    return call, trajectory.prompts


def tool(name: str = "look_up", description: str = "Shows.") -> dict[str, Any]:
    function = {"name": name, "description": description, "parameters": {"a": 1}}
    return {"type": "function", "function": function}


def test_equal_tools_have_one_digest_and_changed_ones_another() -> None:
    tools = [tool()]
    first, _ = asked(tools=tools)
    assert asked(tools=[tool()])[0].tools == first.tools
    assert asked(tools=(tool(),))[0].tools == first.tools
    tools[0]["function"]["description"] = "Finds."
    changed, prompts = asked(tools=tools)
    assert changed.tools != first.tools
    [known] = prompts[str(changed.tools)]["tools"]
    assert known["description"] == "Finds."
    for number in range(2 * MOST_KNOWN):
        asked(str(number), [tool(str(number))])
    assert asked(tools=[tool()])[0].tools == first.tools


@pytest.mark.parametrize(
    ("given", "name"),
    [
        (tool(), "look_up"),
        ({"type": "function", "name": "look_up", "parameters": None}, "look_up"),
        ({"name": "look_up", "input_schema": {"a": 1}}, "look_up"),
        ({"type": "web_search"}, "web_search"),
        (object(), "object"),
    ],
)
def test_tools_of_every_shape_have_a_name(given: Any, name: str) -> None:
    call, prompts = asked(tools=[given])
    assert prompts[str(call.tools)]["tools"][0]["name"] == name


@pytest.mark.parametrize("given", [None, [], iter([tool()]), "NOT_GIVEN", object()])
def test_what_is_no_list_of_tools_is_none(given: Any) -> None:
    call, prompts = asked("Be brief.", given)
    assert call.tools is None
    assert list(prompts.values()) == [{"system": "Be brief."}]


def test_a_file_has_each_prompt_once(tmp_path: Path) -> None:
    assert read_prompts(tmp_path) == {}
    PromptFile(tmp_path).add({"a": {"system": "Be brief."}})
    with (tmp_path / "prompts.jsonl").open("a") as file:
        file.write('{"digest": 7}\nno JSON\n')
    # As a run that goes on in this folder.
    again = PromptFile(tmp_path)
    again.add({"a": {"system": "Be brief."}, "b": {"system": "Be long."}})
    again.add({"b": {"system": "Be long."}})
    assert (tmp_path / "prompts.jsonl").read_text().count("digest") == 3
    assert set(read_prompts(tmp_path)) == {"a", "b"}


def use(*digests: str, path: tuple[str, ...] = (), scenario: str = "t") -> PromptUse:
    found = PromptUse()
    steps = [Step(model=ModelCall(system=digest, path=path)) for digest in digests]
    found.add(scenario, Trajectory(steps=steps))
    return found


LINES: dict[str, PromptLine] = {
    name: {"digest": name, "system": f"Be kind.\nIt is {name}."} for name in "abcd"
}


def changes(before: PromptUse, after: PromptUse) -> list[tuple[str, tuple[str, ...]]]:
    found = prompt_changes(before, after, (LINES, LINES))
    return [(change.sentence, change.diff) for change in found]


def test_only_a_prompt_that_took_anothers_place_has_changed() -> None:
    told = ("the system prompt changed", ("-It is a.", "+It is b."))
    assert changes(use("a"), use("b")) == [told]
    assert changes(use("a"), use("a")) == []
    # A prompt that is one of several: played more often is no change.
    assert changes(use("a"), use("a", "b")) == []
    assert changes(use("a", "b"), use("b")) == []
    [(sentence, _)] = changes(use("a", "b"), use("c", "c", "d"))
    assert sentence == "the system prompt changed (one of 2)"
    [(sentence, _)] = changes(use("a", path=("orders",)), use("b", path=("orders",)))
    assert sentence == "the system prompt of orders changed"
    assert changes(use("a"), use("b", path=("orders",))) == []
    assert changes(use("a"), use("b", scenario="other")) == []
    assert changes(use("a"), use("unknown")) == []
