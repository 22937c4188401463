"""Whatever happened in an episode, its JSON form is valid and tells all of it."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from agentgym.recording.plain import jsonable
from agentgym.recording.trajectory import ModelCall, Step, ToolCall, Trajectory

texts = st.text(max_size=20)
utf8 = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | utf8,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(utf8, inner, max_size=4)
    ),
    max_leaves=12,
)
anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | texts
    | st.binary(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(texts | st.integers(), inner, max_size=4)
        | st.sets(st.integers(), max_size=3)
    ),
    max_leaves=12,
)
seconds = st.integers(0, 10**9).map(lambda us: us / 1_000_000)
maybe = st.none() | utf8


def trajectories(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Trajectory]:
    arguments = st.dictionaries(utf8, values, max_size=3)
    message = st.fixed_dictionaries({"role": utf8, "content": values})
    tool_calls = st.builds(
        ToolCall,
        id=utf8,
        name=utf8,
        arguments=arguments,
        malformed=maybe,
        result=values,
        error=maybe,
        executed=st.booleans(),
        start=seconds,
        duration=seconds,
    )
    tokens = st.none() | st.integers(0, 10**6)
    model_calls = st.builds(
        ModelCall,
        start=seconds,
        duration=seconds,
        model=maybe,
        message=message,
        prompt_tokens=tokens,
        completion_tokens=tokens,
        finish_reason=maybe,
        error=maybe,
    )
    steps = st.builds(
        Step, model=st.none() | model_calls, tool_calls=st.lists(tool_calls, max_size=2)
    )
    return st.builds(
        Trajectory,
        steps=st.lists(steps, max_size=3),
        messages=st.lists(message, max_size=3),
    )


@settings(max_examples=25, deadline=None)
@given(trajectories(plain))
def test_round_trip_keeps_everything(trajectory: Trajectory) -> None:
    line = json.dumps(trajectory.to_json(), allow_nan=False, ensure_ascii=False)
    assert Trajectory.from_json(json.loads(line.encode())) == trajectory


@settings(max_examples=25, deadline=None)
@given(trajectories(anything))
def test_a_second_trip_changes_nothing(trajectory: Trajectory) -> None:
    told = trajectory.to_json()
    line = json.dumps(told, allow_nan=False, ensure_ascii=False)
    again = Trajectory.from_json(json.loads(line.encode()))
    assert again.to_json() == told
    assert len(again.tool_calls) == len(trajectory.tool_calls)


@settings(max_examples=50, deadline=None)
@given(anything)
def test_jsonable_is_idempotent(value: Any) -> None:
    told = jsonable(value)
    assert jsonable(told) == told
