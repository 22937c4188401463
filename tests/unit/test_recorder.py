from __future__ import annotations

import json
import random
import threading
from collections import UserDict
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from agentgym.errors import (
    EpisodeStopped,
    EpisodeTimeout,
    InfraError,
    ToolCallLimit,
    UsageError,
)
from agentgym.recording.recorder import Recorder, current
from agentgym.recording.shared_state import REMEMBERED, AllEpisodes
from agentgym.recording.trajectory import Message, ToolCall


def asks(*calls: tuple[str, str, str]) -> Message:
    """An assistant message with these calls: id, name, raw arguments."""
    return {
        "role": "assistant",
        "content": "",
        "tool_calls": [
            {"id": i, "type": "function", "function": {"name": n, "arguments": raw}}
            for i, n, raw in calls
        ],
    }


def answer(recorder: Recorder, message: Message) -> None:
    recorder.model_finished(recorder.model_started("m"), message=message)


def test_the_recorder_belongs_to_its_context() -> None:
    assert current() is None
    outer, inner = Recorder(), Recorder()
    with outer.activate():
        with inner.activate():
            assert current() is inner
        assert current() is outer
    assert current() is None


def test_requests_are_joined_by_id() -> None:
    recorder = Recorder()
    answer(recorder, asks(("c1", "pay", '{"n": 1}'), ("c2", "pay", '{"n": 2}')))
    second = recorder.tool_started("pay", {"n": 2}, call_id="c2")
    recorder.tool_finished(second, {"ok": True})
    calls = recorder.trajectory.tool_calls
    assert [(c.id, c.executed, c.result) for c in calls] == [
        ("c1", False, None),
        ("c2", True, {"ok": True}),
    ]
    assert calls[0].start > 0
    assert recorder.trajectory.messages[-1] == {
        "role": "tool",
        "tool_call_id": "c2",
        "content": '{"ok": true}',
    }


def test_without_an_id_the_name_joins() -> None:
    recorder = Recorder()
    answer(recorder, asks(("c1", "look", "{}"), ("c2", "pay", '{"n": 1}')))
    recorder.tool_finished(recorder.tool_started("pay", {"n": 1}), "ok")
    assert [c.executed for c in recorder.trajectory.tool_calls] == [False, True]


def test_an_id_that_is_used_again_means_the_newest() -> None:
    recorder = Recorder()
    for n in (1, 2):
        answer(recorder, asks(("c1", "pay", f'{{"n": {n}}}')))
        call = recorder.tool_started("pay", {"n": n}, call_id="c1")
        recorder.tool_finished(call, n)
    assert [c.result for c in recorder.trajectory.tool_calls] == [1, 2]


def test_a_call_that_nobody_asked_for_joins_the_last_step() -> None:
    recorder = Recorder()
    answer(recorder, {"role": "assistant", "content": "thinking"})
    recorder.tool_finished(recorder.tool_started("pay", {}), "ok")
    [step] = recorder.trajectory.steps
    assert [c.id for c in step.tool_calls] == ["call_1"]
    # OpenAI knows no tool message without a request.
    assert [m["role"] for m in recorder.trajectory.messages] == ["assistant"]


def test_a_users_message_begins_a_new_step() -> None:
    recorder = Recorder()
    for _ in range(2):
        recorder.message({"role": "user", "content": "go"})
        recorder.tool_started("pay", {})
    assert [len(step.tool_calls) for step in recorder.trajectory.steps] == [1, 1]


@pytest.mark.parametrize(
    ("raw", "arguments", "malformed"),
    [
        ('{"n": 1}', {"n": 1}, None),
        ("", {}, None),
        ({"n": 1}, {"n": 1}, None),
        ('{"n": 1', {}, '{"n": 1'),
        ("[1]", {}, "[1]"),
        ("null", {}, "null"),
        (None, {}, "None"),
        ("[" * 100_000, {}, "[" * 100_000),
        ('{"n": ' + "1" * 5000 + "}", {}, '{"n": ' + "1" * 5000 + "}"),
    ],
    ids=["ok", "empty", "object", "cut", "list", "null", "none", "deep", "huge"],
)
def test_arguments_as_the_model_wrote_them(
    raw: Any, arguments: Any, malformed: str | None
) -> None:
    recorder = Recorder()
    answer(recorder, asks(("c1", "pay", raw)))
    [call] = recorder.trajectory.tool_calls
    assert (call.arguments, call.malformed) == (arguments, malformed)
    assert not call.executed


def test_a_repaired_call_stays_malformed() -> None:
    recorder = Recorder()
    answer(recorder, asks(("c1", "pay", "{n: 1}")))
    recorder.tool_started("pay", {"n": 1}, call_id="c1")
    [call] = recorder.trajectory.tool_calls
    assert (call.executed, call.malformed, call.arguments) == (True, "{n: 1}", {"n": 1})


@pytest.mark.parametrize("message", [{"tool_calls": None}, {"tool_calls": [{}]}])
def test_odd_messages_do_no_harm(message: Message) -> None:
    recorder = Recorder()
    answer(recorder, message)
    json.dumps(recorder.trajectory.to_json())


def test_what_a_tool_changes_later_is_not_recorded() -> None:
    recorder = Recorder()
    arguments: dict[str, Any] = {"items": [1]}
    result = {"state": ["open"]}
    call = recorder.tool_started("pay", arguments)
    arguments["items"].append(2)
    recorder.tool_finished(call, result)
    result["state"].append("closed")
    assert (call.arguments, call.result) == ({"items": [1]}, {"state": ["open"]})


def test_errors_are_told_and_remembered() -> None:
    recorder = Recorder()
    exc = ValueError("no money")
    recorder.tool_failed(recorder.tool_started("pay", {}), exc)
    assert recorder.trajectory.errors == ["ValueError: no money"]
    assert recorder.is_tool_error(exc)
    assert not recorder.is_tool_error(ValueError("no money"))


def test_an_error_that_cannot_be_printed() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no")

    recorder = Recorder()
    recorder.tool_failed(recorder.tool_started("pay", {}), Mute())
    assert "Mute" in recorder.trajectory.errors[0]


def test_what_the_model_reads_joins_too() -> None:
    recorder = Recorder()
    answer(
        recorder, asks(("c1", "fly", "{}"), ("c2", "look", "{}"), ("c3", "pay", "{}"))
    )
    recorder.tool_failed(recorder.tool_started("pay", {}), ValueError("x"))
    recorder.tool_answered("c1", "no such tool", refused=True)
    recorder.tool_answered("c2", "found")
    recorder.tool_answered("c3", "it failed: x")
    recorder.tool_answered("c4", "nobody asked")
    told = [(c.executed, c.result, c.error) for c in recorder.trajectory.tool_calls]
    assert told == [
        (False, None, "no such tool"),
        (True, "found", None),
        (True, None, "ValueError: x"),
    ]
    tools = [m for m in recorder.trajectory.messages if m["role"] == "tool"]
    assert [(m["tool_call_id"], m["content"]) for m in tools] == [
        ("c3", "it failed: x"),
        ("c1", "no such tool"),
        ("c2", "found"),
    ]


class TestInfraFailure:
    def test_the_last_model_call_counts(self) -> None:
        recorder = Recorder()
        exc = ConnectionError("x")
        recorder.model_failed(recorder.model_started(), exc)
        assert recorder.infra_failure is exc
        answer(recorder, {"role": "assistant", "content": "ok"})
        assert recorder.infra_failure is None

    def test_a_refused_request_is_none(self) -> None:
        recorder = Recorder()
        recorder.model_failed(recorder.model_started(), ConnectionError("x"))
        recorder.model_failed(recorder.model_started(), ValueError("too long"))
        assert recorder.infra_failure is None

    def test_its_cause_counts(self) -> None:
        recorder = Recorder()
        exc = RuntimeError("client gave up")
        exc.__cause__ = InfraError("down")
        recorder.model_failed(recorder.model_started(), exc)
        assert recorder.infra_failure is exc


class TestLimit:
    def test_executed_calls_count(self) -> None:
        recorder = Recorder(max_tool_calls=2)
        recorder.tool_started("pay", {})
        recorder.tool_started("pay", {})
        with pytest.raises(ToolCallLimit, match="more than 2 tool calls"):
            recorder.tool_started("pay", {})

    def test_requested_calls_count_once(self) -> None:
        recorder = Recorder(max_tool_calls=2)
        answer(recorder, asks(("c1", "pay", "{}"), ("c2", "pay", "{}")))
        recorder.tool_started("pay", {}, call_id="c1")
        recorder.tool_started("pay", {}, call_id="c2")
        with pytest.raises(ToolCallLimit):
            answer(recorder, asks(("c3", "pay", "{}")))
        assert len(recorder.trajectory.tool_calls) == 3

    def test_an_agent_that_swallows_it_gets_no_further(self) -> None:
        recorder = Recorder(max_tool_calls=0)
        with pytest.raises(ToolCallLimit):
            recorder.tool_started("pay", {})
        assert recorder.limit_exceeded is not None
        for go_on in (recorder.model_started, lambda: recorder.tool_started("pay", {})):
            with pytest.raises(EpisodeStopped, match="more than 0 tool calls"):
                go_on()


class TestStop:
    def test_every_writer_is_stopped(self) -> None:
        recorder = Recorder()
        model = recorder.model_started()
        tool = recorder.tool_started("pay", {})
        told = recorder.trajectory.to_json()
        recorder.stop(EpisodeTimeout("late"))
        writes: list[Any] = [
            lambda: recorder.message({"role": "user"}),
            lambda: recorder.reply("x"),
            lambda: recorder.model_started(),
            lambda: recorder.model_finished(model, message={}),
            lambda: recorder.model_failed(model, ValueError("x")),
            lambda: recorder.tool_started("pay", {}),
            lambda: recorder.function_started("other", {}),
            lambda: recorder.tool_finished(tool, "x"),
            lambda: recorder.tool_failed(tool, ValueError("x")),
            lambda: recorder.tool_answered("c1", "x"),
        ]
        for write in writes:
            with pytest.raises(EpisodeStopped, match="late"):
                write()
        assert recorder.trajectory.to_json() == told


def test_model_in_flight_tells_the_oldest() -> None:
    recorder = Recorder()
    assert recorder.model_in_flight() is None
    first, second = recorder.model_started(), recorder.model_started()
    recorder.model_finished(second, message={"role": "assistant", "content": ""})
    waiting = recorder.model_in_flight()
    assert waiting is not None
    assert waiting >= 0
    recorder.model_failed(first, ValueError("x"))
    assert recorder.model_in_flight() is None


def test_a_reply_is_not_told_twice() -> None:
    recorder = Recorder()
    for _ in range(2):
        recorder.message({"role": "user", "content": "hi"})
        answer(recorder, {"role": "assistant", "content": "ok"})
        recorder.reply("ok")
    recorder.reply("bye")
    contents = [m["content"] for m in recorder.trajectory.messages]
    assert contents == ["hi", "ok", "hi", "ok", "bye"]


def test_many_threads_lose_nothing() -> None:
    recorder = Recorder()
    calls: list[ToolCall] = []

    def work(n: int) -> None:
        for i in range(50):
            call = recorder.tool_started("pay", {"n": n, "i": i})
            recorder.tool_finished(call, i)
            calls.append(call)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    recorded = recorder.trajectory.tool_calls
    assert len(recorded) == len({c.id for c in recorded}) == len(calls) == 400
    assert all(c.executed and c.result == c.arguments["i"] for c in recorded)


class TestSharedState:
    """What users said is no proof of memory; that it grows, episode by episode, is."""

    def begin(self, said: str, heard: list[str], **settings: bool) -> Recorder:
        recorder = Recorder(**settings)
        recorder.message({"role": "user", "content": said})
        recorder.model_started("m", heard=heard)
        return recorder

    def test_a_memory_is_found_at_the_third_episode(self) -> None:
        said = [f"Where is my order A-{number}?" for number in range(3)]
        self.begin(said[0], said[:1])
        self.begin(said[1], said[:2])
        with pytest.raises(UsageError, match="keeps its state between episodes"):
            self.begin(said[2], said)

    def test_so_it_is_if_all_users_say_the_same(self) -> None:
        said = "Where is my order C-1?"
        for times in range(1, 7):
            self.begin(said, [said] * times)
        with pytest.raises(UsageError, match="keeps its state between episodes"):
            self.begin(said, [said] * 7)

    @pytest.mark.parametrize("other", [[], ["Answer in one word."]])
    @pytest.mark.parametrize("at_once", [1, 3, 8])
    def test_it_is_found_however_many_begin_at_once(
        self, other: list[str], at_once: int
    ) -> None:
        said = f"Where is my order H-{len(other)}-{at_once}?"
        memory: list[str] = []

        def play() -> None:
            playing = [Recorder() for _ in range(at_once)]
            for recorder in playing:
                recorder.message({"role": "user", "content": said})
                memory.append(said)
                recorder.model_started("m", heard=[*other, *memory])
            for recorder in playing:
                recorder.shared_state.end()

        for _ in range(6 // at_once):
            play()
        with pytest.raises(UsageError, match="keeps its state between episodes"):
            play()

    @pytest.mark.parametrize(
        "times",
        [
            *([1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1] * 2, [1, 2, 3, 4, 5, 6] * 4),
            [n for n in range(1, 13) for _ in range(2)],
            random.Random(1).choices(range(1, 13), k=200),
        ],
        ids=["up", "down", "in-turns", "each-twice", "at-random"],
    )
    @pytest.mark.parametrize("other", [[], ["Answer in one word."]])
    @pytest.mark.parametrize("at_once", [1, 3, 16])
    def test_a_question_that_is_repeated_is_no_memory(
        self,
        request: pytest.FixtureRequest,
        times: list[int],
        other: list[str],
        at_once: int,
    ) -> None:
        said = request.node.name
        for n in range(0, len(times), at_once):
            playing = [
                self.begin(said, [*other, *[said] * often])
                for often in times[n : n + at_once]
            ]
            for recorder in playing:
                recorder.shared_state.end()

    def test_episodes_that_begin_together_grow_in_any_order(self) -> None:
        said = [f"Where is my order D-{number}?" for number in range(4)]
        self.begin(said[3], said)
        self.begin(said[0], said[:1])
        self.begin(said[1], said[:2])
        with pytest.raises(UsageError, match="keeps its state between episodes"):
            self.begin(said[2], said)

    def test_it_is_played_on_if_the_check_is_off(self) -> None:
        said = [f"Where is my order E-{number}?" for number in range(5)]
        for number, text in enumerate(said):
            self.begin(text, said[: number + 1], state_check=False)

    @pytest.mark.parametrize(
        "heard",
        [
            lambda number, said: [said(0), said(number)],
            lambda number, said: [said(0), said(1), said(number)],
            lambda number, said: [
                *(said(n) for n in range(3) if n != number),
                said(number),
            ],
            lambda number, said: [said(number // 2)],
            lambda number, said: [said(number)] * (1 + number % 4),
            lambda number, said: [said(0)] * (1 + number % 4),
            lambda number, said: [f"{said(0)} {n}" for n in range(number)],
            lambda number, said: ["yes", said(number)],
            lambda number, said: [],
        ],
        ids=[
            *("example", "examples", "all-but-its-own", "normalised", "repeated"),
            *("one-question-repeated", "in-other-words", "short", "none"),
        ],
    )
    def test_what_an_agent_may_ask_without_memory(
        self, request: pytest.FixtureRequest, heard: Callable[..., list[str]]
    ) -> None:
        def said(number: int) -> str:
            return f"Where is my order {request.node.name}-{number}?"

        for _ in range(2):
            for number in range(8):
                self.begin(said(number), heard(number, said))

    def test_an_id_of_another_episodes_message_is_proof_in_any_request(self) -> None:
        first, second = (f"Where is my order F-{number}?" for number in range(2))
        recorder = Recorder()
        recorder.message({"role": "user", "content": first})
        recorder.model_started("m", heard_ids=[("id-1", first)])
        recorder = Recorder()
        recorder.message({"role": "user", "content": second})
        recorder.model_started("m", heard_ids=[("id-2", second)])
        with pytest.raises(UsageError, match="keeps its state between episodes"):
            recorder.model_started("m", heard_ids=[("id-1", first), ("id-2", second)])
        assert recorder.misuse is not None

    def test_an_id_that_the_user_gives_is_none(self) -> None:
        said = "Where is my order G-1?"
        for _ in range(3):
            recorder = Recorder()
            recorder.message({"role": "user", "content": said})
            recorder.model_started("m", heard_ids=[("mine", said)])

    def test_a_conversation_that_two_episodes_write_to_at_a_time(self) -> None:
        store = UserDict[str, str]()
        first, second, third = (Recorder().shared_state for _ in range(3))
        assert first.use_thread(store, "1", lambda: True) is None
        assert first.use_thread(store, "1", lambda: False) is None
        assert second.use_thread(store, "2", lambda: False) is None
        assert second.use_thread(UserDict(), "1", lambda: False) is None
        assert second.use_thread(store, "1", lambda: True) is not None
        second.end()
        assert third.use_thread(store, "1", lambda: True) is None
        third.end()
        assert first.use_thread(store, "1", lambda: False) is not None

    def test_only_the_latest_messages_are_kept(self) -> None:
        episodes = AllEpisodes()
        for number in range(REMEMBERED + 1):
            episodes.said(f"Where is my order {number}?", number)
        assert not episodes.is_anothers("Where is my order 0?", 5)
        assert episodes.is_anothers("Where is my order 1?", 5)

    def test_only_the_first_request_is_read(self) -> None:
        recorder = self.begin("Where is my order A-4?", [])

        def never() -> Iterator[str]:
            raise AssertionError("read")
            yield ""

        recorder.model_started("m", heard=never())


def test_parallel_calls_of_one_tool_are_told_apart_by_their_arguments() -> None:
    recorder = Recorder()
    asked = [
        {"id": i, "function": {"name": "look", "arguments": f'{{"order": "{i}"}}'}}
        for i in ("A", "B")
    ]
    recorder.model_finished(
        recorder.model_started(),
        message={"role": "assistant", "content": "", "tool_calls": asked},
    )
    second = recorder.tool_started("look", {"order": "B"})
    first = recorder.tool_started("look", {"order": "A"})
    assert (first.id, second.id) == ("A", "B")
