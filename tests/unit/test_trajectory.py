from __future__ import annotations

import json
import math
from typing import Any

import pytest

from agentgym.recording.plain import MAX_ITEMS, MAX_TEXT, jsonable, shorten
from agentgym.recording.trajectory import ModelCall, Step, ToolCall, Trajectory


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


def dumped(value: Any) -> Any:
    """Through strict JSON and UTF-8, as a file takes it."""
    text = json.dumps(jsonable(value), allow_nan=False, ensure_ascii=False)
    return json.loads(text.encode("utf-8").decode("utf-8"))


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("text", "text"),
        ("Käse", "Käse"),
        ("a\ud800b", "a?b"),
        (b"\xff\xfea", "\ufffd\ufffda"),
        (bytearray(b"ab"), "ab"),
        (True, True),
        (3, 3),
        (1.5, 1.5),
        (math.nan, "nan"),
        (-math.inf, "-inf"),
        (10**5000, "<a huge integer>"),
        ((1, (2,)), [1, [2]]),
        ({1: {"\udc00": None}}, {"1": {"?": None}}),
        ({"a"}, "{'a'}"),
        (Unprintable(), "<Unprintable that cannot be shown: RuntimeError>"),
        ({Unprintable(): 1}, {"<Unprintable that cannot be shown: RuntimeError>": 1}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_anything_becomes_json(value: Any, told: Any) -> None:
    assert dumped(value) == told


def test_long_texts_are_cut() -> None:
    told = dumped("x" * 10_000_000)
    assert told == "x" * MAX_TEXT + " [... 9980000 characters cut]"
    assert len(dumped(b"\xff" * 10_000_000)) < MAX_TEXT + 50


def test_large_containers_are_cut() -> None:
    told = dumped(list(range(1_000_000)))
    assert len(told) == MAX_ITEMS + 1
    assert told[-1] == "[... 999000 items cut]"
    told = dumped({str(i): i for i in range(1_001)})
    assert told["..."] == "[1 items cut]"


def test_a_value_that_holds_itself_ends() -> None:
    loop: list[Any] = []
    loop.append(loop)
    mapping: dict[str, Any] = {}
    mapping["self"] = mapping
    assert dumped([loop, mapping])


def make() -> Trajectory:
    request = {
        "id": "c1",
        "type": "function",
        "function": {"name": "pay", "arguments": '{"amount": 2.5}'},
    }
    asked = {"role": "assistant", "content": "", "tool_calls": [request]}
    return Trajectory(
        steps=[
            Step(
                model=ModelCall(message=asked, prompt_tokens=10, completion_tokens=2),
                tool_calls=[
                    ToolCall(
                        id="c1", name="pay", arguments={"amount": 2.5}, error="E: x"
                    )
                ],
            ),
            Step(model=ModelCall(error="F: y", prompt_tokens=5)),
            Step(
                tool_calls=[ToolCall(id="c2", name="look", arguments={}, malformed="{")]
            ),
        ],
        messages=[
            {"role": "user", "content": "Pay!"},
            asked,
            {"role": "assistant", "content": None},
        ],
    )


def test_what_a_trajectory_tells() -> None:
    trajectory = make()
    assert [call.name for call in trajectory.tool_calls] == ["pay", "look"]
    assert trajectory.tokens == 17
    assert trajectory.errors == ["E: x", "F: y"]
    assert trajectory.reply == ""
    assert Trajectory().reply == ""
    assert Trajectory().to_json() == {"steps": [], "messages": []}


def test_json_round_trip() -> None:
    trajectory = make()
    told = json.loads(json.dumps(trajectory.to_json()))
    assert Trajectory.from_json(told) == trajectory
    assert told["messages"][1] == told["steps"][0]["model"]["message"]


def test_calls_print_as_python() -> None:
    call = ToolCall(id="", name="pay", arguments={"order": "A1", "amount": 2.5})
    assert str(call) == "pay(order='A1', amount=2.5)"
    assert str(ToolCall(id="", name="pay", arguments={}, malformed="{")) == (
        "pay({ <- malformed)"
    )
    assert len(str(ToolCall(id="", name="f", arguments={"x": "y" * 10**6}))) < 100


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("abc", "abc"),
        ("abcdefghij", "abcdefghij"),
        ("abcdefghijk", "abcdefg..."),
        ("a\n  b", "a b"),
    ],
)
def test_shorten(text: str, short: str) -> None:
    assert shorten(text, 10) == short
