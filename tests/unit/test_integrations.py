from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import signal
import sys
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

import agentgym
from agentgym.errors import EpisodeStopped, ToolCallLimit, UsageError
from agentgym.integrations.openai import record_openai
from agentgym.integrations.protocol import WrappedAgent
from agentgym.recording.recorder import Recorder
from agentgym.testing import ScriptedModel, call, say


@agentgym.tool
def pay(order: str, amount: float = 1.0) -> str:
    """Pays."""
    if amount < 0:
        raise ValueError("too little")
    return f"paid {order}"


@agentgym.tool
async def look(order: str) -> str:
    """Looks."""
    await asyncio.sleep(0)
    return order


def recorded(function: Any, *args: Any, **kwargs: Any) -> list[tuple[str, Any]]:
    recorder = Recorder()
    # The recorder tells of any error.
    with recorder.activate(), contextlib.suppress(Exception):
        function(*args, **kwargs)
    return [(str(c), c.error or c.result) for c in recorder.trajectory.tool_calls]


class TestTool:
    def test_a_call_is_recorded_by_name(self) -> None:
        assert recorded(pay, "A1", amount=2) == [
            ("pay(order='A1', amount=2)", "paid A1")
        ]

    def test_it_stays_the_same_function(self) -> None:
        import inspect

        assert pay("A1") == "paid A1"
        assert (pay.__name__, pay.__doc__) == ("pay", "Pays.")
        assert list(inspect.signature(pay).parameters) == ["order", "amount"]

    def test_errors_are_recorded_and_raised(self) -> None:
        assert recorded(pay, "A1", -1) == [
            ("pay(order='A1', amount=-1)", "ValueError: too little")
        ]
        with pytest.raises(ValueError, match="too little"):
            pay("A1", -1)

    def test_arguments_that_do_not_fit_are_a_tool_error(self) -> None:
        [(called, error)] = recorded(pay, "A1", sum=2)
        assert called == "pay(order='A1', sum=2)"
        assert "unexpected keyword" in error

    def test_an_async_tool(self) -> None:
        recorder = Recorder()
        with recorder.activate():
            assert asyncio.run(look("A1")) == "A1"
        assert [str(c) for c in recorder.trajectory.tool_calls] == ["look(order='A1')"]

    def test_async_tools_in_parallel_are_all_recorded(self) -> None:
        async def both() -> None:
            await asyncio.gather(look("A1"), look("A2"))

        assert recorded(lambda: asyncio.run(both())) == [
            ("look(order='A1')", "A1"),
            ("look(order='A2')", "A2"),
        ]

    def test_threads_with_the_context_are_recorded(self) -> None:
        import contextvars

        together = threading.Barrier(2, timeout=60)

        @agentgym.tool
        def meet(n: int) -> int:
            together.wait()
            return n

        recorder = Recorder()
        with recorder.activate():
            threads = [
                threading.Thread(target=contextvars.copy_context().run, args=(meet, n))
                for n in (1, 2)
            ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(c.result for c in recorder.trajectory.tool_calls) == [1, 2]

    def test_what_a_tool_calls_itself_is_not_the_agents(self) -> None:
        @agentgym.tool
        def refund(order: str) -> str:
            return pay(order, 5)

        assert recorded(refund, "A1") == [("refund(order='A1')", "paid A1")]

    def test_what_is_awaited_later_is_recorded_then(self) -> None:
        class Shop:
            async def __call__(self, order: str) -> str:
                await asyncio.sleep(0)
                return pay(order, -1) if order == "B2" else order

        sell = agentgym.tool(Shop())

        async def both() -> None:
            await sell("A1")
            await sell("B2")

        assert recorded(lambda: asyncio.run(both())) == [
            ("Shop(order='A1')", "A1"),
            ("Shop(order='B2')", "ValueError: too little"),
        ]

    def test_methods_and_collected_arguments(self) -> None:
        class Shop:
            @agentgym.tool
            def sell(self, item: str, **options: Any) -> str:
                return item

            def plain(self, item: str) -> str:
                return item

        shop = Shop()
        assert recorded(shop.sell, "cup", color="red") == [
            ("sell(item='cup', color='red')", "cup")
        ]
        assert recorded(agentgym.tool(shop.plain), "cup") == [
            ("plain(item='cup')", "cup")
        ]

    def test_functions_without_a_signature(self) -> None:
        assert recorded(agentgym.tool(max), 1, 2) == [("max(args=[1, 2])", 2)]

    @pytest.mark.parametrize("thing", [3, None, int, "pay"])
    def test_other_things_are_refused(self, thing: Any) -> None:
        with pytest.raises(UsageError, match=r"agentgym\.tool\(.*\): give a function"):
            agentgym.tool(thing)

    def test_an_abandoned_episode_stops(self) -> None:
        recorder = Recorder()
        recorder.stop(EpisodeStopped("late"))
        with recorder.activate(), pytest.raises(EpisodeStopped):
            pay("A1")


def obey(message: str) -> str:
    for order in message.split():
        pay(order)
    return f"did {message}"


class TestWrap:
    def test_a_function(self) -> None:
        with Recorder().activate():
            agent = agentgym.wrap(obey)
            first, second = agent.run("A1 A2"), agent.run("A1")
        assert [str(c) for c in first.calls] == ["pay(order='A1')", "pay(order='A2')"]
        assert [str(c) for c in second.calls] == ["pay(order='A1')"]
        assert second.reply == "did A1"
        assert second.messages == [
            {"role": "user", "content": "A1"},
            {"role": "assistant", "content": "did A1"},
        ]
        assert second.value == "did A1"
        assert second.duration > 0

    def test_outside_of_an_episode_it_records_too(self) -> None:
        assert agentgym.wrap(obey).run("A1").called("pay", order="A1")

    def test_the_same_reply_twice_is_two_messages(self) -> None:
        with Recorder().activate():
            agent = agentgym.wrap(lambda message: "ok")
            runs = [agent.run("a"), agent.run("b")]
        assert [len(run.messages) for run in runs] == [2, 2]

    @pytest.mark.parametrize(
        ("value", "reply"), [(None, ""), (7, "7"), ({"a": 1}, "{'a': 1}"), ("", "")]
    )
    def test_anything_may_be_the_reply(self, value: Any, reply: str) -> None:
        run = agentgym.wrap(lambda message: value).run("hi")
        assert (run.reply, run.value) == (reply, value)

    def test_an_object_with_run(self) -> None:
        class Mine:
            def run(self, message: str) -> str:
                return message.upper()

        mine = Mine()
        agent = agentgym.wrap(mine)
        assert agent.run("hi").reply == "HI"
        assert agent.wrapped is mine
        assert agentgym.wrap(agent) is agent
        assert isinstance(agent, agentgym.Agent)

    def test_a_list_of_messages_is_played_in_turn(self) -> None:
        run = agentgym.wrap(obey).run(["A1", "A2"])
        assert [m["content"] for m in run.messages] == ["A1", "did A1", "A2", "did A2"]
        assert len(run.calls) == 2

    @pytest.mark.parametrize("message", [None, 3, [], ["a", 3], {"role": "user"}])
    def test_a_message_is_a_text(self, message: Any) -> None:
        with pytest.raises(UsageError, match="give a message, a list of messages"):
            agentgym.wrap(obey).run(message)

    @pytest.mark.parametrize(
        ("thing", "told"),
        [
            (3, "int: 3"),
            (None, "None"),
            ({"model": "x"}, "dict: {'model': 'x'}"),
            (TestTool, "the class TestTool"),
        ],
    )
    def test_what_is_no_agent_is_named(self, thing: Any, told: str) -> None:
        with pytest.raises(UsageError) as raised:
            agentgym.wrap(thing)
        assert str(raised.value) == (
            f"{told} is no agent: give an agent of LangChain, CrewAI, AutoGen, AG2, "
            "Agent Framework, OpenAI Agents SDK, Pydantic AI, an object with "
            "run(message) -> reply, or a callable message -> reply"
        )

    def test_a_limit_that_the_agent_swallows_still_ends_the_run(self) -> None:
        def stubborn(message: str) -> str:
            for _ in range(2):
                with contextlib.suppress(Exception):  # as some frameworks do
                    pay("A1")
            return "all is well"

        with Recorder(max_tool_calls=1).activate(), pytest.raises(ToolCallLimit):
            agentgym.wrap(stubborn).run("go")


class TestAsync:
    async def reply(self, message: str) -> str:
        await look(message)
        return message

    @pytest.mark.parametrize("kind", ["function", "run", "call", "partial"])
    def test_async_agents_are_known(self, kind: str) -> None:
        class Callable:
            async def __call__(self, message: str) -> str:
                await look(message)
                return message

        thing = {
            "function": self.reply,
            "run": SimpleNamespace(run=self.reply),
            "call": Callable(),
            "partial": functools.partial(self.reply),
        }[kind]
        agent = agentgym.wrap(thing)
        in_a_sync_scenario = agent.run("hi")

        async def main() -> Any:
            return await agent.run("hi")

        for run in (in_a_sync_scenario, asyncio.run(main())):
            assert run.called("look", order="hi")
            assert run.reply == "hi"

    def test_a_function_that_returns_a_coroutine(self) -> None:
        agent: WrappedAgent = agentgym.wrap(lambda message: self.reply(message))
        assert agent.run("hi").reply == "hi"

        async def main() -> Any:
            return await agent.run("hi")

        assert asyncio.run(main()).reply == "hi"

    def test_an_agent_that_exits_does_not_stop_the_others(self) -> None:
        async def leave(message: str) -> str:
            raise SystemExit(message)

        with pytest.raises(SystemExit, match="bye"):
            agentgym.wrap(leave).run("bye")
        assert agentgym.wrap(self.reply).run("hi").reply == "hi"

    def test_an_interrupted_wait_cancels_the_agent(self) -> None:
        begun, ended = threading.Event(), threading.Event()

        async def wait(message: str) -> None:
            begun.set()
            try:
                await asyncio.sleep(60)
            finally:
                ended.set()

        def interrupt() -> None:
            begun.wait(60)
            main = threading.main_thread().ident or 0
            # Until the caller waits, too.
            while sys._current_frames()[main].f_code.co_name != "wait":
                time.sleep(0.005)
            os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=interrupt).start()
        with pytest.raises(KeyboardInterrupt):
            agentgym.wrap(wait).run("hi")
        assert ended.wait(60)

    def test_sync_agents_do_not_block_the_loop(self) -> None:
        together = threading.Barrier(2, timeout=60)

        def wait(message: str) -> str:
            together.wait()
            pay(message)
            return message

        async def one(message: str) -> Any:
            with Recorder().activate():
                return await agentgym.wrap(wait).run(message)

        async def main() -> Any:
            return await asyncio.gather(one("A1"), one("A2"))

        runs = asyncio.run(main())
        assert [run.calls[0].arguments["order"] for run in runs] == ["A1", "A2"]
        assert [len(run.calls) for run in runs] == [1, 1]


def completion(content: str | None, *calls: tuple[str, str, str]) -> Any:
    asked = [
        SimpleNamespace(id=i, function=SimpleNamespace(name=n, arguments=raw))
        for i, n, raw in calls
    ]
    message = SimpleNamespace(content=content, tool_calls=asked or None)
    return SimpleNamespace(
        choices=[SimpleNamespace(message=message, finish_reason="stop")],
        usage=SimpleNamespace(prompt_tokens=5, completion_tokens=2),
    )


RESPONSES: list[list[dict[str, Any]]] = [
    [
        {
            "type": "function_call",
            "call_id": "c1",
            "name": "pay",
            "arguments": '{"order": "A1"}',
        }
    ],
    [
        {
            "type": "message",
            "id": "m1",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "Done.", "annotations": []}],
        }
    ],
]


def respond(request: Any) -> Any:
    """OpenAI's Responses API: asks for a call, then says that it is done."""
    import httpx

    asked = json.loads(request.content)
    answer = {
        "id": "r1",
        "object": "response",
        "status": "completed",
        "output": RESPONSES[len(asked["input"]) > 1],
        "usage": {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7},
    }
    if not asked["stream"]:
        return httpx.Response(200, json=answer)
    event = json.dumps({"type": "response.completed", "response": answer})
    return httpx.Response(
        200,
        headers={"content-type": "text/event-stream"},
        text=f"event: response.completed\ndata: {event}\n\n",
    )


class FakeClient:
    """The one part of an OpenAI client that matters here."""

    def __init__(self, answers: list[Any], *, asynchronous: bool = False) -> None:
        def create(**request: Any) -> Any:
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        async def create_async(**request: Any) -> Any:
            return create(**request)

        chosen = create_async if asynchronous else create
        self.chat = SimpleNamespace(completions=SimpleNamespace(create=chosen))


class TestOpenAI:
    answers = (completion(None, ("c1", "pay", '{"order": "A1"}')), completion("Done."))

    def loop(self, client: Any) -> Any:
        messages: list[Any] = []

        def agent(message: str) -> str:
            messages.append({"role": "user", "content": message})
            while True:
                answer = client.chat.completions.create(model="m", messages=messages)
                told = answer.choices[0].message
                messages.append({"role": "assistant", "content": told.content})
                if not told.tool_calls:
                    return str(told.content)
                messages.extend(
                    {"role": "tool", "tool_call_id": call.id, "content": "paid"}
                    for call in told.tool_calls
                )

        return agent

    def test_calls_and_results_are_joined(self) -> None:
        client = record_openai(FakeClient(list(self.answers)))
        run = agentgym.wrap(self.loop(client)).run("Pay!")
        [call] = run.calls
        assert (str(call), call.executed, call.result) == (
            "pay(order='A1')",
            True,
            "paid",
        )
        roles = [m["role"] for m in run.messages]
        assert roles == ["user", "assistant", "tool", "assistant"]
        assert (run.reply, run.tokens) == ("Done.", 14)

    def test_wrapping_twice_records_once(self) -> None:
        client = record_openai(record_openai(FakeClient(list(self.answers))))
        assert len(agentgym.wrap(self.loop(client)).run("Pay!").calls) == 1

    def test_without_an_episode_nothing_changes(self) -> None:
        client = record_openai(FakeClient([self.answers[1]]))
        answer = client.chat.completions.create(model="m", messages=[])
        assert answer is self.answers[1]

    def test_async_clients(self) -> None:
        client = record_openai(FakeClient([self.answers[1]], asynchronous=True))

        async def agent(message: str) -> str:
            answer = await client.chat.completions.create(model="m", messages=[])
            return str(answer.choices[0].message.content)

        async def main() -> Any:
            return await agentgym.wrap(agent).run("hi")

        run = asyncio.run(main())
        assert (run.reply, run.tokens, len(run.messages)) == ("Done.", 7, 2)

    def test_failures_are_recorded(self) -> None:
        recorder = Recorder()
        client = record_openai(FakeClient([ConnectionError("down")]))
        with recorder.activate(), pytest.raises(ConnectionError):
            agentgym.wrap(self.loop(client)).run("Pay!")
        assert isinstance(recorder.infra_failure, ConnectionError)
        assert recorder.trajectory.errors == ["ConnectionError: down"]

    @pytest.mark.parametrize("asynchronous", [False, True])
    def test_streams_are_put_together(self, asynchronous: bool) -> None:
        openai = pytest.importorskip("openai")
        script = [call("look", order="A1") & call("pay", order="A1"), say("All done.")]

        def asked(client: Any, messages: list[Any]) -> Any:
            return client.chat.completions.create(
                model="scripted",
                messages=messages,
                stream=True,
                stream_options={"include_usage": True},
            )

        def first(endpoint: Any) -> Any:
            with openai.OpenAI(
                base_url=endpoint.base_url, api_key="key", max_retries=0
            ) as client:
                record_openai(client)
                said = [{"role": "user", "content": "Pay A1."}]
                list(asked(client, said))
                said.append({"role": "assistant", "content": "..."})
                list(asked(client, said))

        async def second(endpoint: Any) -> None:
            async with openai.AsyncOpenAI(
                base_url=endpoint.base_url, api_key="key", max_retries=0
            ) as client:
                record_openai(client)
                said = [{"role": "user", "content": "Pay A1."}]
                async for _ in await asked(client, said):
                    pass
                said.append({"role": "assistant", "content": "..."})
                async for _ in await asked(client, said):
                    pass

        with ScriptedModel(script) as model, (recorder := Recorder()).activate():
            if asynchronous:
                asyncio.run(second(model.endpoint))
            else:
                first(model.endpoint)
        asking, ending = recorder.trajectory.steps
        assert [str(c) for c in asking.tool_calls] == [
            "look(order='A1')",
            "pay(order='A1')",
        ]
        assert ending.model is not None
        assert ending.model.message["content"] == "All done."
        assert ending.model.finish_reason == "stop"
        assert ending.model.completion_tokens

    def test_a_stream_that_breaks_is_the_models_failure(self) -> None:
        def chunks() -> Any:
            yield SimpleNamespace(
                usage=None,
                choices=[
                    SimpleNamespace(
                        delta=SimpleNamespace(content="It", tool_calls=None),
                        finish_reason=None,
                    )
                ],
            )
            raise ConnectionError("gone")

        client = record_openai(FakeClient([SimpleNamespace(_iterator=chunks())]))
        with (recorder := Recorder()).activate():
            answer = client.chat.completions.create(messages=[], stream=True)
            with pytest.raises(ConnectionError):
                list(answer._iterator)
        assert isinstance(recorder.infra_failure, ConnectionError)

    def test_raw_responses_are_recorded(self) -> None:
        openai = pytest.importorskip("openai")
        said = [{"role": "user", "content": "Pay A1."}]
        with (
            ScriptedModel([call("pay", order="A1")]) as model,
            openai.OpenAI(base_url=model.base_url, api_key="key") as client,
            (recorder := Recorder()).activate(),
        ):
            raw = record_openai(client).chat.completions.with_raw_response
            raw.create(model="scripted", messages=said)
            answer = raw.create(model="scripted", messages=said, stream=True)
            assert list(answer.parse())
        calls = [str(c) for c in recorder.trajectory.tool_calls]
        assert calls == ["pay(order='A1')"] * 2

    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize("asynchronous", [False, True])
    def test_responses_are_recorded(self, asynchronous: bool, stream: bool) -> None:
        httpx, openai = map(pytest.importorskip, ("httpx", "openai"))

        async def asked(client: Any, said: list[Any]) -> None:
            answer = client.responses.create(model="m", input=said, stream=stream)
            if asynchronous:
                answer = await answer
            if stream and asynchronous:
                assert [event async for event in answer]
            elif stream:
                assert list(answer)

        async def play(client: Any) -> None:
            said: list[Any] = [{"role": "user", "content": "Pay A1."}]
            await asked(client, said)
            said += RESPONSES[0]
            said.append(
                {"type": "function_call_output", "call_id": "c1", "output": "paid"}
            )
            await asked(client, said)

        with (recorder := Recorder()).activate():
            transport = httpx.MockTransport(respond)
            if asynchronous:
                http = httpx.AsyncClient(transport=transport)
                client = openai.AsyncOpenAI(api_key="key", http_client=http)
            else:
                http = httpx.Client(transport=transport)
                client = openai.OpenAI(api_key="key", http_client=http)
            asyncio.run(play(record_openai(client)))
        asking, ending = recorder.trajectory.steps
        [paid] = asking.tool_calls
        assert (str(paid), paid.result) == ("pay(order='A1')", "paid")
        assert ending.model is not None
        assert ending.model.message == {"role": "assistant", "content": "Done."}
        assert (ending.model.model, ending.model.finish_reason) == ("m", "stop")
        assert recorder.trajectory.tokens == 14

    def test_other_things_are_refused(self) -> None:
        with pytest.raises(UsageError, match=r"record_openai\(3\): give an OpenAI"):
            record_openai(3)


def test_the_public_names_are_these() -> None:
    assert sorted(agentgym.__all__) == [
        "Agent",
        "AgentError",
        "AgentGymError",
        "CallQuery",
        "Case",
        "Episode",
        "HarnessError",
        "InfraError",
        "ModelCall",
        "Outcome",
        "PolicyEndpoint",
        "ProcessLimits",
        "Run",
        "Scenario",
        "ScenarioPack",
        "ScenarioRegistry",
        "SimulatedUser",
        "SimulatorError",
        "Step",
        "ToolCall",
        "TrainedAgent",
        "Trainer",
        "TrainingConfig",
        "TrainingResult",
        "Trajectory",
        "UsageError",
        "__version__",
        "dataset",
        "given",
        "judge",
        "must",
        "recorded_tools",
        "redirect",
        "rubric",
        "scenario",
        "tool",
        "weight",
        "wrap",
    ]
    for name in agentgym.__all__:
        assert getattr(agentgym, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = agentgym.nothing


def test_importing_costs_nothing() -> None:
    import subprocess
    import sys

    code = (
        "import sys; before = set(sys.modules); import agentgym;"
        "print(sorted(m for m in set(sys.modules) - before if 'agentgym' in m));"
        "from agentgym import wrap, tool, scenario, must, Run; import agentgym.testing;"
        "heavy = ('pytest', 'langchain_core', 'openai', 'pydantic', 'httpx', 'torch',"
        "  'starlette');"
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == ["['agentgym']", "[]"]
