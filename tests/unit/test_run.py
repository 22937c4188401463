from __future__ import annotations

import re
from typing import Any

import pytest
from dirty_equals import AnyThing, IsFloat, IsInt, IsPositive, IsStr
from hypothesis import given, settings
from hypothesis import strategies as st

from agentgym.errors import UsageError
from agentgym.recording.trajectory import ModelCall, Step, ToolCall, Trajectory
from agentgym.scenarios.check_log import CheckLog
from agentgym.scenarios.run import Run, equal


def tool_call(name: str, /, **arguments: Any) -> ToolCall:
    return ToolCall(id="", name=name, arguments=arguments)


def make(*calls: ToolCall) -> Run:
    return Run(Trajectory(steps=[Step(tool_calls=list(calls))]))


LOOK = tool_call("look", order="A1")
PAY = tool_call("pay", order="A1", amount=12.5, urgent=False)
RUN = make(LOOK, PAY)


@pytest.mark.parametrize(
    ("wanted", "actual", "truth"),
    [
        (12.5, 12.5, True),
        (12, 12.0, True),
        (12.5, "12.5", False),
        ("A1", "A1", True),
        ("A1", "a1", False),
        (True, True, True),
        (True, 1, False),
        (1, True, False),
        (0, False, False),
        (None, None, True),
        (None, 0, False),
        (re.compile("A."), "A1", True),
        (re.compile("A"), "A1", False),
        (re.compile("1"), 1, False),
        (lambda value: value > 10, 12.5, True),
        (lambda value: value is False, False, True),
        ({1, 2}.__contains__, 2, True),
        ({1, 2}.__contains__, 3, False),
        (str.isdigit, "12", True),
        ("ab".startswith, "a", True),
        (int, 3, True),
        (int, "3", False),
        (str, "3", True),
        (IsPositive, 12.5, True),
        (IsInt(gt=3), 3, False),
        (IsFloat(approx=0.3), 0.1 + 0.2, True),
        (IsStr(regex="A.*"), "A1", True),
        (AnyThing, True, True),
        (AnyThing(), False, True),
        ({"a": re.compile("x.")}, {"a": "xy"}, True),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ([1, IsStr], [1, "x"], True),
        ((1, 2), [1, 2], True),
        ([1], [1, 2], False),
        ([True], [1], False),
    ],
    ids=repr,
)
def test_an_argument_is_wanted_or_not(wanted: Any, actual: Any, truth: bool) -> None:
    assert equal(wanted, actual) is truth
    assert bool(make(tool_call("f", x=actual)).called("f", x=wanted)) is truth


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)


@settings(max_examples=30, deadline=None)
@given(json_values, json_values)
def test_equality_is_that_of_json(one: Any, other: Any) -> None:
    assert equal(one, one)
    assert equal(one, other) is equal(other, one)
    if equal(one, other):
        assert one == other


class TestCalled:
    def test_by_name_and_some_arguments(self) -> None:
        assert RUN.called("pay")
        assert RUN.called("pay", order="A1")
        assert not RUN.called("pay", order="A2")
        assert not RUN.called("pay", other=None)
        assert not RUN.called("fly")

    def test_a_malformed_call_is_none(self) -> None:
        bad = ToolCall(id="", name="pay", arguments={}, malformed="{")
        assert not make(bad).called("pay")
        assert make(bad).called("pay").times(0)

    def test_arguments_may_be_called_name(self) -> None:
        assert make(tool_call("f", name="x", self=1)).called("f", name="x")

    def test_with_args(self) -> None:
        query = RUN.called("pay")
        assert query.with_args(order="A1")
        assert query.with_args(order="A1").with_args(amount=12.5)
        assert not query.with_args(order="A1").with_args(amount=1)
        assert query.with_args({"order": "A1", "amount": IsPositive, "urgent": False})
        assert not query.with_args({"order": "A1"})
        assert not query.with_args({})
        assert query.with_args(lambda given: given["amount"] > 12)
        assert not query.with_args(lambda given: given["amount"] > 13)
        with pytest.raises(UsageError, match=r"\.with_args\(3\): give name=value"):
            query.with_args(3)  # type: ignore[arg-type]

    def test_times(self) -> None:
        run = make(LOOK, PAY, LOOK)
        assert run.called("look").times(2)
        assert not run.called("look").times(1)
        assert run.called("fly").times(0)
        for count in (-1, 1.5, True, "2"):
            with pytest.raises(UsageError, match="whole number"):
                run.called("look").times(count)  # type: ignore[arg-type]

    def test_a_query_asked_again_is_unchanged(self) -> None:
        query = RUN.called("look")
        query.times(5)
        assert query


class TestOrder:
    run = make(tool_call("a"), tool_call("b", n=1), tool_call("a"), tool_call("c"))

    def test_after(self) -> None:
        called = self.run.called
        assert called("b").after("a")
        assert called("a").after("b")
        assert called("a").after("b").times(1)
        assert not called("b").after("c")
        assert not called("b").after("nothing")
        assert called("c").after(called("b", n=1))
        assert not called("c").after(called("b", n=2))

    def test_before(self) -> None:
        called = self.run.called
        assert called("a").before("b").times(1)
        assert called("a").before("c").times(2)
        assert not called("c").before("a")
        assert not called("a").before("nothing")

    def test_a_call_is_not_after_itself(self) -> None:
        assert self.run.called("a").after("a").times(1)
        assert not self.run.called("b").after("b")

    def test_between(self) -> None:
        assert self.run.called("b").after("a").before("c")
        assert not self.run.called("a").after("c").before("b")

    def test_chains_of_queries(self) -> None:
        called = self.run.called
        assert called("c").after(called("a").after("b"))
        assert not called("b").after(called("a").after("b"))

    def test_a_malformed_call_is_no_predecessor(self) -> None:
        bad = ToolCall(id="", name="look", arguments={}, malformed="{")
        assert not make(bad, PAY).called("pay").after("look")

    def test_earlier_runs_count_for_the_order(self) -> None:
        trajectory = Trajectory(steps=[Step(tool_calls=[LOOK]), Step(tool_calls=[PAY])])
        second = Run(trajectory, first_step=1)
        assert second.called("pay").after("look")
        assert not second.called("look")
        whole = Run(trajectory)
        assert second.called("pay").after(whole.called("look"))
        assert not whole.called("look").after(second.called("pay"))

    @pytest.mark.parametrize("other", [None, 3, ["look"]])
    def test_other_things_are_refused(self, other: Any) -> None:
        with pytest.raises(UsageError, match="give a tool's name or a query"):
            RUN.called("pay").after(other)
        with pytest.raises(UsageError, match="give a tool's name or a query"):
            RUN.called("pay").before(other)


class TestRepr:
    def test_it_says_what_was_asked_and_what_happened(self) -> None:
        query = RUN.called("pay", order="A1", amount=1.0).after("look")
        assert repr(query) == (
            "called pay(order='A1', amount=1.0) after look: no; calls: "
            "look(order='A1'), pay(order='A1', amount=12.5, urgent=False)"
        )
        assert repr(make().called("pay")) == "called pay(): no; calls: none"
        assert repr(RUN.called("look").times(2)) == (
            "called look() 2 times: found 1; calls: "
            "look(order='A1'), pay(order='A1', amount=12.5, urgent=False)"
        )
        query = RUN.called("pay").before(RUN.called("look", order=re.compile("A.")))
        assert repr(query).startswith(
            "called pay() before look(order=re.compile('A.')): no; "
        )

    def test_functions_are_named(self) -> None:
        def big(value: float) -> bool:
            return value > 3

        assert repr(RUN.called("pay", amount=big)).startswith(
            "called pay(amount=big): yes"
        )

    def test_it_is_short_and_names_every_tool(self) -> None:
        calls = [tool_call("look", order="A" * 40, n=i) for i in range(5)]
        query = make(*calls, PAY).called("pay", order="A2")
        assert len(repr(query)) <= 230
        assert repr(query).endswith(
            "look, look, look, look, look, pay(order='A1', amount=12.5, urgent=False)"
        )

    def test_printing_asks_nothing(self) -> None:
        log = CheckLog()
        with log.activate():
            repr(RUN.called("pay"))
            assert not log._queries
            bool(RUN.called("pay"))
            assert [truth for _, truth in log._queries] == [True]


def test_a_run_is_its_part_of_the_episode() -> None:
    steps = [
        Step(model=ModelCall(prompt_tokens=5, error="E: x")),
        Step(model=ModelCall(prompt_tokens=7), tool_calls=[PAY]),
    ]
    messages = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "assistant", "content": "c"},
    ]
    trajectory = Trajectory(steps=steps, messages=messages)
    run = Run(trajectory, first_step=1, first_message=2, value=3, duration=0.5)
    assert (run.calls, run.tokens, run.errors) == ([PAY], 7, [])
    assert (run.reply, run.messages) == ("c", messages[2:])
    assert (run.value, run.duration) == (3, 0.5)
    assert run.trajectory == Trajectory(steps=steps[1:], messages=messages[2:])
    assert repr(run) == ("<Run: pay(order='A1', amount=12.5, urgent=False); reply 'c'>")
