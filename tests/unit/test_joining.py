"""Executions and answers find their calls whatever ids a model gives."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agentgym.integrations.answering.fragments import Fragments
from agentgym.integrations.messages import assistant, begin
from agentgym.recording.joining import ToolAnswer
from agentgym.recording.recorder import Recorder

IDS = [
    ("a", "b"),
    ("call_0", "call_0"),
    ("", ""),
    (None, None),
    ("call_0", ""),
]


def asked(ids: Any, *, path: tuple[str, ...] = ()) -> Recorder:
    recorder = Recorder()
    ask(recorder, ids, path=path)
    return recorder


def ask(
    recorder: Recorder,
    ids: Any,
    cities: Any = ("Ulm", "Bern"),
    *,
    path: tuple[str, ...] = (),
) -> None:
    calls = [
        (i, "weather", json.dumps({"city": city}))
        for i, city in zip(ids, cities, strict=True)
    ]
    model = recorder.model_started(path=path)
    recorder.model_finished(model, message=assistant("", calls))


def results(recorder: Recorder) -> list[tuple[str, Any]]:
    return [(c.arguments["city"], c.result) for c in recorder.trajectory.tool_calls]


@pytest.mark.parametrize("ids", IDS, ids=repr)
@pytest.mark.parametrize("order", [("Ulm", "Bern"), ("Bern", "Ulm")])
@pytest.mark.parametrize("more", [{}, {"unit": "C"}], ids=["as asked", "defaults"])
def test_executions_find_their_calls(ids: Any, order: Any, more: Any) -> None:
    recorder = asked(ids)
    of = dict(zip(("Ulm", "Bern"), ids, strict=True))
    running = {
        city: recorder.tool_started("weather", {"city": city, **more}, call_id=of[city])
        for city in order
    }
    for city in order:
        recorder.tool_finished(running[city], f"sun in {city}")
    assert results(recorder) == [("Ulm", "sun in Ulm"), ("Bern", "sun in Bern")]


@pytest.mark.parametrize("ids", IDS, ids=repr)
@pytest.mark.parametrize("times", [1, 2], ids=["once", "asked again"])
def test_answers_of_a_request_find_their_calls(ids: Any, times: int) -> None:
    recorder = asked(ids)
    told = [
        {"role": "tool", "tool_call_id": i, "content": f"sun in {city}"}
        for i, city in zip(ids, ("Ulm", "Bern"), strict=True)
    ]
    for _ in range(times):
        begin(recorder, told, watched=False)
    assert results(recorder) == [("Ulm", "sun in Ulm"), ("Bern", "sun in Bern")]
    assert [m["content"] for m in recorder.trajectory.messages[1:]] == [
        "sun in Ulm",
        "sun in Bern",
    ]


def test_answers_with_ids_of_the_agents_own_go_by_their_order() -> None:
    recorder = asked(("", ""))
    recorder.tools_answered([ToolAnswer("x1", "sun"), ToolAnswer("x2", "rain")])
    assert results(recorder) == [("Ulm", "sun"), ("Bern", "rain")]
    # Nobody knows whose a third one is.
    recorder = asked(("", ""))
    recorder.tools_answered([ToolAnswer(f"x{i}", "sun") for i in range(3)])
    assert results(recorder) == [("Ulm", None), ("Bern", None)]


def test_answers_that_come_in_another_order_go_by_what_the_tools_gave() -> None:
    recorder = asked(("call_0", "call_0"))
    for city in ("Ulm", "Bern"):
        call = recorder.tool_started("weather", {"city": city}, call_id="call_0")
        recorder.tool_finished(call, f"sun in {city}")
    before = [dict(message) for message in recorder.trajectory.messages]
    recorder.tools_answered(
        [ToolAnswer("call_0", "sun in Bern"), ToolAnswer("call_0", "sun in Ulm")]
    )
    assert recorder.trajectory.messages == before


def test_answers_of_alike_ids_go_by_the_tools_name_where_it_is_told() -> None:
    recorder = Recorder()
    calls = [("0", "weather", "{}"), ("0", "traffic", "{}")]
    recorder.model_finished(recorder.model_started(), message=assistant("", calls))
    recorder.tools_answered(
        [ToolAnswer("0", "jam", name="traffic"), ToolAnswer("0", "sun", name="weather")]
    )
    assert [c.result for c in recorder.trajectory.tool_calls] == ["sun", "jam"]


def test_ids_that_each_turn_begins_anew_are_the_newest_turns() -> None:
    recorder = asked(("0", "1"))
    recorder.tools_answered([ToolAnswer("0", "sun"), ToolAnswer("1", "rain")])
    ask(recorder, ("0",), ("Graz",))
    recorder.tools_answered([ToolAnswer("0", "snow")])
    assert results(recorder) == [("Ulm", "sun"), ("Bern", "rain"), ("Graz", "snow")]


def test_agents_that_run_side_by_side_may_use_the_same_ids() -> None:
    recorder = asked(("0",) * 2, path=("north",))
    ask(recorder, ("0",), ("Graz",), path=("south",))
    call = recorder.tool_started(
        "weather", {"city": "Bern"}, call_id="0", path=("north",)
    )
    recorder.tool_finished(call, "sun in Bern")
    recorder.tools_answered([ToolAnswer("0", "snow")], path=("south",))
    assert results(recorder) == [
        ("Ulm", None),
        ("Bern", "sun in Bern"),
        ("Graz", "snow"),
    ]


A, B = '{"city": "Ulm"}', '{"city": "Bern"}'
TWO = [("weather", A), ("weather", B)]
STREAMS: dict[str, tuple[list[tuple[Any, ...]], list[tuple[str, str]]]] = {
    "in order": (
        [(0, "a", "weather", A[:5]), (0, None, None, A[5:]), (1, "b", "weather", B)],
        TWO,
    ),
    "interleaved": (
        [
            (0, "a", "weather", ""),
            (1, "b", "weather", ""),
            (0, None, None, A),
            (1, None, None, B),
        ],
        TWO,
    ),
    "index 0 for all": ([(0, "a", "weather", A), (0, "b", "weather", B)], TWO),
    "no index": ([(None, "a", "weather", A), (None, "b", "weather", B)], TWO),
    "index 0, one id": ([(0, "0", "weather", A), (0, "0", "weather", B)], TWO),
    "index 0, no ids": ([(0, "", "weather", A), (0, None, "weather", B)], TWO),
    "index 0, in parts": (
        [
            (0, "a", "weather", ""),
            (0, None, None, A),
            (0, "b", "weather", ""),
            (0, None, None, B[:4]),
            (0, None, None, B[4:]),
        ],
        TWO,
    ),
    "id and name in each": (
        [
            (0, "a", "weather", A[:5]),
            (0, "a", "weather", A[5:]),
            (1, "b", "weather", B[:5]),
            (1, "b", "weather", B[5:]),
        ],
        TWO,
    ),
    "id and name in each, index 0": (
        [
            (0, "a", "weather", A[:5]),
            (0, "a", "weather", A[5:]),
            (0, "b", "weather", B[:5]),
            (0, "b", "weather", B[5:]),
        ],
        TWO,
    ),
    "an id for each part": (
        [
            (0, "a1", "weather", A[:5]),
            (0, "a2", "weather", A[5:]),
            (1, "b1", "weather", B[:5]),
            (1, "b2", None, B[5:]),
        ],
        TWO,
    ),
    "one id, each its index": ([(0, "0", "weather", A), (1, "0", "weather", B)], TWO),
    "an index for each part": (
        [(0, "a", "weather", A[:5]), (1, None, None, A[5:]), (2, "b", "weather", B)],
        TWO,
    ),
    "other tools, no ids": (
        [(0, None, "weather", A), (0, None, "traffic", B)],
        [("weather", A), ("traffic", B)],
    ),
    "no arguments": (
        [(0, "a", "now", ""), (0, "a", "now", ""), (1, "b", "now", "{}")],
        [("now", ""), ("now", "{}")],
    ),
    "a name in parts": (
        [(0, "a", "wea", None), (0, None, "ther", None), (0, None, None, A)],
        [("weather", A)],
    ),
    "broken off": ([(0, "a", "weather", A[:5])], [("weather", A[:5])]),
}


@pytest.mark.parametrize("name", STREAMS)
def test_calls_of_a_stream_are_put_together(name: str) -> None:
    parts, expected = STREAMS[name]
    fragments = Fragments()
    for part in parts:
        fragments.add(*part)
    assert [(c.name, c.arguments) for c in fragments.calls] == expected
