from __future__ import annotations

import http.client
import json
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from agentgym.errors import UsageError
from agentgym.recording.recorder import Recorder
from agentgym.testing import (
    ScriptedAgent,
    ScriptedModel,
    call,
    error,
    hang,
    malformed,
    say,
)


def ask(model: ScriptedModel, turns: int = 0, **request: Any) -> Any:
    """One chat completion after so many assistant messages."""
    messages = [{"role": "user", "content": "go"}]
    messages += [{"role": "assistant", "content": "x"}] * turns
    body = json.dumps({"model": model.name, "messages": messages, **request}).encode()
    with urllib.request.urlopen(
        f"{model.base_url}/chat/completions", body, 30
    ) as answer:
        text = answer.read().decode()
    return text if request.get("stream") else json.loads(text)


def message(completion: Any) -> Any:
    return completion["choices"][0]["message"]


class TestScriptedModel:
    def test_a_script_that_raises_is_told(self) -> None:
        def script(request: dict[str, Any]) -> Any:
            raise KeyError("order")

        with (
            ScriptedModel(script) as model,
            pytest.raises(urllib.error.HTTPError) as told,
        ):
            ask(model)
        assert told.value.code == 400
        assert "the script raised KeyError('order')" in told.value.read().decode()

    def test_the_assistant_messages_choose_the_reply(self) -> None:
        with ScriptedModel([call("look", order="A1"), "Done."]) as model:
            # In any order, as other conversations go on at the same time.
            assert message(ask(model, 1)) == {"role": "assistant", "content": "Done."}
            first = ask(model, 0)
            [request] = message(first)["tool_calls"]
            assert request["function"]["name"] == "look"
            assert json.loads(request["function"]["arguments"]) == {"order": "A1"}
            assert first["choices"][0]["finish_reason"] == "tool_calls"
            usage = first["usage"]
            assert usage["total_tokens"] == (
                usage["prompt_tokens"] + usage["completion_tokens"]
            )
            assert len(model.requests) == 2

    def test_replies_join(self) -> None:
        both = say("Let me see.") & call("look", n=1) & malformed("look", "{")
        with ScriptedModel([both]) as model:
            told = message(ask(model))
        assert told["content"] == "Let me see."
        raw = [c["function"]["arguments"] for c in told["tool_calls"]]
        assert raw == ['{"n": 1}', "{"]
        assert len({c["id"] for c in told["tool_calls"]}) == 2

    def test_a_function_may_answer(self) -> None:
        with ScriptedModel(lambda request: request["messages"][0]["content"]) as model:
            assert message(ask(model))["content"] == "go"

    def test_errors_end_after_some_times(self) -> None:
        with ScriptedModel(["a", error(429, times=2), "b", error(503)]) as model:
            assert message(ask(model, 0))["content"] == "a"
            for _ in range(2):
                with pytest.raises(urllib.error.HTTPError, match="429") as raised:
                    ask(model, 1)
                assert b"scripted error" in raised.value.read()
                raised.value.close()
            assert message(ask(model, 1))["content"] == "b"
            with pytest.raises(urllib.error.HTTPError, match="503") as raised:
                ask(model, 2)
            raised.value.close()

    def test_the_end_of_the_script_is_named(self) -> None:
        with ScriptedModel(["a"]) as model:
            with pytest.raises(urllib.error.HTTPError, match="400") as raised:
                ask(model, 1)
            assert b"no reply after 1 assistant messages" in raised.value.read()
            raised.value.close()

    def test_it_may_hang_and_still_stops_at_once(self) -> None:
        failed: list[Exception] = []

        def work() -> None:
            try:
                ask(model)
            except (OSError, http.client.HTTPException) as exc:
                failed.append(exc)

        with ScriptedModel([hang(60)]) as model:
            thread = threading.Thread(target=work)
            thread.start()
            while not model.requests:
                time.sleep(0.005)
        thread.join(30)
        assert failed

    def test_many_conversations_wait_together(self) -> None:
        together = threading.Barrier(20)

        def script(request: dict[str, Any]) -> str:
            together.wait(60)
            return "a"

        with ScriptedModel(script, delay=0.2) as model:
            begun = time.monotonic()
            with ThreadPoolExecutor(20) as pool:
                told = list(pool.map(lambda _: message(ask(model)), range(20)))
            assert time.monotonic() - begun >= 0.2
        assert [one["content"] for one in told] == ["a"] * 20

    def test_a_reply_has_a_delay_of_its_own(self) -> None:
        # The client waits no longer than half a minute.
        with ScriptedModel(["a", say("b").after(0.01)], delay=600) as model:
            assert message(ask(model, 1))["content"] == "b"

    def test_a_connection_is_kept(self) -> None:
        with ScriptedModel(["a"]) as model:
            connection = http.client.HTTPConnection(model.base_url[7:-3], timeout=30)
            for _ in range(3):
                connection.request(
                    "POST", "/v1/chat/completions", json.dumps({"messages": []})
                )
                used = connection.sock
                assert message(json.load(connection.getresponse()))["content"] == "a"
                assert connection.sock is used
            connection.close()

    def test_streaming(self) -> None:
        script = [say("All is\n  paid.") & call("look", order="A1")]
        with ScriptedModel(script) as model:
            text = ask(model, stream=True, stream_options={"include_usage": True})
        events = [line[6:] for line in text.split("\n\n") if line]
        assert events.pop() == "[DONE]"
        *chunks, usage = [json.loads(event) for event in events]
        deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
        said = "".join(delta.get("content") or "" for delta in deltas)
        assert said == "All is\n  paid."
        [asked] = [delta["tool_calls"][0] for delta in deltas if "tool_calls" in delta]
        assert asked["index"] == 0
        assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"
        assert usage["usage"]["completion_tokens"] > 0

    def test_other_addresses(self) -> None:
        with ScriptedModel(["a"], name="m") as model:
            base = model.base_url
            with urllib.request.urlopen(f"{base}/models", timeout=30) as answer:
                assert json.load(answer)["data"][0]["id"] == "m"
            with urllib.request.urlopen(f"{base[:-3]}/health", timeout=30) as answer:
                assert json.load(answer) == {"status": "ok"}
            for address, body in (
                (f"{base}/x", b""),
                (f"{base}/chat/completions", b"{"),
            ):
                with pytest.raises(urllib.error.HTTPError, match=r"40[04]") as raised:
                    urllib.request.urlopen(address, body, 30)
                raised.value.close()

    def test_the_endpoint(self) -> None:
        model = ScriptedModel([])
        with pytest.raises(UsageError, match="not running"):
            _ = model.base_url
        with model.start():
            assert model.endpoint.model == "scripted"
            assert model.endpoint.base_url == model.base_url
            assert model.endpoint.api_key not in repr(model.endpoint).split("model")[0]


def look(order: str) -> dict[str, str]:
    return {"order": order, "total": "9"}


def pay(amount: float) -> str:
    if amount < 0:
        raise ValueError("too little")
    return "paid"


class TestScriptedAgent:
    def play(self, script: list[Any], **kw: Any) -> tuple[Any, Recorder]:
        recorder = Recorder()
        with recorder.activate():
            return ScriptedAgent(script, **kw).run("go"), recorder

    def test_it_calls_tools_and_replies(self) -> None:
        reply, recorder = self.play(
            [("look", {"order": "A1"}), ("pay", {"amount": 2}), "Paid.", "Later."],
            tools=[look, pay],
        )
        assert reply == "Paid."
        told = [(str(c), c.executed, c.result) for c in recorder.trajectory.tool_calls]
        assert told == [
            ("look(order='A1')", True, {"order": "A1", "total": "9"}),
            ("pay(amount=2)", True, "paid"),
        ]
        roles = [m["role"] for m in recorder.trajectory.messages]
        assert roles == ["assistant", "tool", "assistant", "tool", "assistant"]

    def test_every_text_ends_a_turn(self) -> None:
        agent = ScriptedAgent(["One.", ("look", {"order": "A1"}), "Two."], tools=[look])
        assert [agent.run("a"), agent.run("b"), agent.run("c")] == ["One.", "Two.", ""]

    def test_an_error_is_recorded_and_goes_on(self) -> None:
        seen: list[Any] = []

        def then(last: Any) -> Any:
            seen.append(last)
            return ("pay", {"amount": 1}) if len(seen) == 1 else "Done."

        reply, recorder = self.play([("pay", {"amount": -1}), then, then], tools=[pay])
        assert reply == "Done."
        assert seen == ["ValueError: too little", "paid"]
        assert recorder.trajectory.errors == ["ValueError: too little"]

    def test_what_never_runs(self) -> None:
        _, recorder = self.play([("fly", {"to": "Rome"}), ("pay", "{")], tools=[pay])
        told = [
            (c.executed, c.malformed, c.error) for c in recorder.trajectory.tool_calls
        ]
        assert told == [
            (False, None, "no tool fly"),
            (False, "{", "the arguments are no JSON object"),
        ]

    def test_marked_and_async_tools(self) -> None:
        import agentgym

        @agentgym.tool
        async def look_later(order: str) -> str:
            return order

        script = [("look_later", {"order": "A1"}), ("pay", {"amount": 1}), "ok"]
        _, recorder = self.play(script, tools=[look_later, agentgym.tool(pay)])
        assert [c.result for c in recorder.trajectory.tool_calls] == ["A1", "paid"]

    @pytest.mark.slow  # importing LangChain takes seconds
    def test_langchain_tools(self) -> None:
        tools = pytest.importorskip("langchain_core.tools")
        pay.__doc__ = "Pays."
        script = [("pay", {"amount": 1}), ("pay", {"amount": "much"}), "ok"]
        _, recorder = self.play(script, tools=[tools.tool(pay)])
        first, second = recorder.trajectory.tool_calls
        assert (first.result, first.error) == ("paid", None)
        assert "amount" in str(second.error)

    def test_a_tool_must_be_one(self) -> None:
        with pytest.raises(UsageError, match="'pay' is no tool"):
            ScriptedAgent([], tools=["pay"])

    def test_without_an_episode_it_just_runs(self) -> None:
        assert (
            ScriptedAgent([("look", {"order": "A1"}), "ok"], [look]).run("go") == "ok"
        )
