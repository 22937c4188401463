"""The LangChain adapter, with real `create_agent` agents on a scripted model."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from typing import TYPE_CHECKING, Any, TypedDict

import pytest

import agentgym
from agentgym.errors import EpisodeStopped, ToolCallLimit, UsageError
from agentgym.recording import event_loop
from agentgym.recording.blame import Outcome, chain, classify
from agentgym.recording.recorder import Recorder
from agentgym.testing import ScriptedModel, call, error, hang, malformed, say

pytest.importorskip("langchain_openai")

import httpx
from langchain.agents import create_agent
from langchain.agents.structured_output import ToolStrategy
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import ToolException, tool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from agentgym.recording.trajectory import Trajectory
    from agentgym.scenarios.run import Run

pytestmark = pytest.mark.slow  # importing LangChain takes seconds


def look_up(order_id: str) -> str:
    """Shows an order."""
    return f"{order_id} is paid"


def refund(order_id: str, amount: float) -> dict[str, Any]:
    """Pays an order back."""
    if amount < 0:
        raise ValueError("too little")
    return {"refunded": amount}


@pytest.fixture
def clients() -> Iterator[dict[str, Any]]:
    sync, asynchronous = httpx.Client(), httpx.AsyncClient()
    with sync:
        yield {"http_client": sync, "http_async_client": asynchronous}
        event_loop.run(asynchronous.aclose())  # where async tools have used it


@pytest.fixture
def chat(clients: dict[str, Any]) -> Any:
    def make(model: ScriptedModel, **options: Any) -> ChatOpenAI:
        endpoint = model.endpoint
        return ChatOpenAI(
            base_url=endpoint.base_url,
            api_key=endpoint.api_key,  # type: ignore[arg-type]
            model=endpoint.model,
            max_retries=0,
            **clients,
            **options,
        )

    return make


@pytest.fixture
def play(chat: Any) -> Any:
    """Runs a real agent on a script within an episode."""

    def run(
        script: Any, *messages: str, tools: Sequence[Any] = (look_up, refund), **kw: Any
    ) -> tuple[list[Run], Recorder]:
        recorder = Recorder(max_tool_calls=kw.pop("max_tool_calls", None))
        streaming = kw.pop("streaming", False)
        with ScriptedModel(script) as model, recorder.activate():
            graph = create_agent(
                chat(model, streaming=streaming), tools=list(tools), **kw
            )
            agent = agentgym.wrap(graph)
            return [agent.run(m) for m in messages or ["hello"]], recorder

    return run


def summary(trajectory: Trajectory) -> list[tuple[str, bool, Any, str | None]]:
    return [(str(c), c.executed, c.result, c.error) for c in trajectory.tool_calls]


def test_calls_messages_and_tokens_are_recorded(play: Any) -> None:
    script = [
        call("look_up", order_id="A1"),
        call("refund", order_id="A1", amount=2),
        say("Done."),
    ]
    [run], recorder = play(script, "Refund A1!")
    assert run.called("refund", order_id="A1", amount=2.0).after("look_up")
    assert summary(recorder.trajectory) == [
        ("look_up(order_id='A1')", True, "A1 is paid", None),
        ("refund(order_id='A1', amount=2)", True, '{"refunded": 2.0}', None),
    ]
    assert run.reply == "Done."
    roles = [m["role"] for m in run.messages]
    assert roles == ["user", "assistant", "tool", "assistant", "tool", "assistant"]
    assert run.messages[2]["tool_call_id"] == run.calls[0].id
    assert len(recorder.trajectory.steps) == 3
    steps = [step.model for step in recorder.trajectory.steps]
    assert all(m.model == "scripted" and m.finish_reason for m in steps)
    assert run.tokens == sum(m.prompt_tokens + m.completion_tokens for m in steps) > 0
    assert isinstance(run.value["messages"], list)


def test_a_later_run_continues_the_conversation(play: Any) -> None:
    script = [call("look_up", order_id="A1"), say("One."), say("Two.")]
    runs, recorder = play(script, "first", "second")
    assert [run.reply for run in runs] == ["One.", "Two."]
    assert [len(run.calls) for run in runs] == [1, 0]
    assert [m["content"] for m in runs[1].messages] == ["second", "Two."]
    # The script goes by the assistant messages that the model was shown.
    assert len(recorder.trajectory.steps) == 3


def test_a_list_of_messages_is_played_in_turn(chat: Any) -> None:
    with ScriptedModel([say("One."), say("Two.")]) as model:
        run = agentgym.wrap(create_agent(chat(model))).run(["a", "b"])
        sent = [m["content"] for m in model.requests[1]["messages"]]
    assert [m["content"] for m in run.messages] == ["a", "One.", "b", "Two."]
    assert sent == ["a", "One.", "b"]


def test_a_checkpointer_gets_a_thread(play: Any) -> None:
    runs, recorder = play(
        [say("One."), say("Two.")], "a", "b", checkpointer=InMemorySaver()
    )
    assert [run.reply for run in runs] == ["One.", "Two."]
    assert len(runs[1].value["messages"]) == 4
    assert len(recorder.trajectory.messages) == 4


def test_parallel_calls_are_recorded_once_each(play: Any) -> None:
    together = threading.Barrier(2, timeout=60)

    def wait(n: int) -> int:
        """Waits for the other call."""
        together.wait()
        return n

    [run], recorder = play(
        [call("wait", n=1) & call("wait", n=2), say("")], tools=[wait]
    )
    assert [(c.arguments, c.result) for c in run.calls] == [
        ({"n": 1}, "1"),
        ({"n": 2}, "2"),
    ]
    assert len(recorder.trajectory.steps) == 2


def test_every_call_has_a_time_of_its_own(play: Any) -> None:
    def wait(seconds: float) -> str:
        """Waits."""
        time.sleep(seconds)
        return "done"

    script = [call("wait", seconds=0) & call("wait", seconds=1), say("")]
    [run], _ = play(script, tools=[wait])
    quick, slow = (c.duration for c in run.calls)
    assert 0 < quick < slow
    assert slow >= 1


def test_a_tool_error_that_becomes_text_is_recorded(play: Any) -> None:
    @tool
    def fragile(text: str) -> str:
        """Breaks."""
        raise ToolException("broken " + text)

    fragile.handle_tool_error = True
    [run], _ = play([call("fragile", text="cup"), say("Sorry.")], tools=[fragile])
    assert [(c.executed, c.error) for c in run.calls] == [(True, "broken cup")]
    assert run.messages[2]["content"] == "broken cup"
    assert run.reply == "Sorry."


def test_a_tool_that_raises_is_the_agents_failure(play: Any) -> None:
    recorder = Recorder()

    def dial(number: str) -> str:
        """Calls somebody."""
        raise ConnectionError("no line")

    with recorder.activate(), pytest.raises(ConnectionError) as raised:
        play_in(recorder, play, [call("dial", number="1"), say("")], tools=[dial])
    assert recorder.trajectory.errors == ["ConnectionError: no line"]
    assert classify(raised.value, from_tool=recorder.is_tool_error) is Outcome.failed


def play_in(recorder: Recorder, play: Any, script: Any, **kw: Any) -> Any:
    """As `play`, in the given recorder, which stays at hand if it raises."""
    activate = Recorder.activate
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Recorder, "activate", lambda _: activate(recorder))
        return play(script, **kw)


def test_arguments_that_do_not_fit_are_an_error(play: Any) -> None:
    [run], _ = play([call("refund", order_id="A1", amount="much"), say("Oh.")])
    [only] = run.calls
    assert only.error is not None
    assert "amount" in only.error
    assert "amount" in run.messages[2]["content"]


def test_an_unknown_tool_never_runs(play: Any) -> None:
    [run], _ = play([call("fly", to="Rome"), say("I cannot fly.")])
    [only] = run.calls
    assert (only.name, only.arguments, only.executed) == ("fly", {"to": "Rome"}, False)
    assert only.error is not None
    assert "fly is not a valid tool" in only.error
    assert [m["role"] for m in run.messages] == [
        "user",
        "assistant",
        "tool",
        "assistant",
    ]


@pytest.mark.parametrize("raw", ['{"order_id": "A1', "A1", "\udcff"])
def test_malformed_arguments_are_kept_as_they_are(play: Any, raw: str) -> None:
    [run], recorder = play([malformed("look_up", raw), say("Oh.")])
    [only] = run.calls
    assert only.malformed == raw
    assert only.executed is False
    assert not run.called("look_up")
    # LangChain takes a message without any good call for the last one.
    assert [m["role"] for m in run.messages] == ["user", "assistant"]
    json.dumps(recorder.trajectory.to_json()).encode()


def test_arguments_that_are_no_object_end_the_run(play: Any) -> None:
    # ChatOpenAI raises before anybody sees the call: the agent's doing all the same.
    recorder = Recorder()
    with pytest.raises(ValueError, match="valid dictionary") as raised:
        play_in(recorder, play, [malformed("look_up", "[1]")])
    assert classify(raised.value, from_tool=recorder.is_tool_error) is Outcome.failed
    assert "ValidationError" in recorder.trajectory.errors[0]


def test_a_good_call_beside_a_malformed_one_runs(play: Any) -> None:
    script = [call("look_up", order_id="A1") & malformed("refund", "{"), say("Oh.")]
    [run], _ = play(script)
    assert [(c.name, c.executed, c.malformed) for c in run.calls] == [
        ("look_up", True, None),
        ("refund", False, "{"),
    ]
    assert "malformed or truncated" in str(run.calls[1].error)


def test_streamed_answers_are_recorded_alike(play: Any) -> None:
    script = [call("look_up", order_id="A1"), say("All is paid.")]
    [run], recorder = play(script, streaming=True)
    assert run.called("look_up", order_id="A1").times(1)
    assert run.reply == "All is paid."
    assert len(recorder.trajectory.steps) == 2


def test_functions_marked_as_tools_are_not_recorded_twice(play: Any) -> None:
    marked = agentgym.tool(look_up)
    script = [call("look_up", order_id="A1") & call("look_up", order_id="A2"), say("")]
    [run], _ = play(script, tools=[marked])
    assert [c.arguments["order_id"] for c in run.calls] == ["A1", "A2"]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_failing_model_is_infrastructure(play: Any, status: int) -> None:
    recorder = Recorder()
    with pytest.raises(Exception, match="scripted error") as raised:
        play_in(recorder, play, [error(status)])
    assert (
        classify(raised.value, from_tool=recorder.is_tool_error) is Outcome.infra_error
    )
    # LangChain's own exception was raised of the client's, which was seen first.
    assert any(link is recorder.infra_failure for link in chain(raised.value))
    [step] = recorder.trajectory.steps
    assert step.model is not None
    assert "scripted error" in str(step.model.error)


def test_a_closed_connection_is_infrastructure(play: Any) -> None:
    recorder = Recorder()
    with pytest.raises(Exception, match="onnection") as raised:
        play_in(recorder, play, [hang(0)])
    assert (
        classify(raised.value, from_tool=recorder.is_tool_error) is Outcome.infra_error
    )


def test_a_request_that_the_model_refuses_is_the_agents_doing(play: Any) -> None:
    recorder = Recorder()
    with pytest.raises(Exception, match="no reply after") as raised:
        play_in(recorder, play, [])
    assert classify(raised.value, from_tool=recorder.is_tool_error) is Outcome.failed
    assert recorder.infra_failure is None


def test_a_model_that_fails_within_a_tool_is_infrastructure(chat: Any) -> None:
    recorder = Recorder()
    with (
        ScriptedModel([error(503)]) as broken,
        ScriptedModel([call("ask", question="?")]) as model,
        recorder.activate(),
    ):

        def ask(question: str) -> str:
            """Asks a sub-agent."""
            return str(chat(broken).invoke(question).content)

        with pytest.raises(Exception, match="scripted error") as raised:
            agentgym.wrap(create_agent(chat(model), tools=[ask])).run("go")
    assert (
        classify(raised.value, from_tool=recorder.is_tool_error) is Outcome.infra_error
    )


def test_too_many_tool_calls_end_the_run(play: Any) -> None:
    recorder = Recorder(max_tool_calls=3)
    endless = lambda request: call("look_up", order_id="A1")  # noqa: E731
    with pytest.raises(ToolCallLimit, match="more than 3 tool calls"):
        play_in(recorder, play, endless)
    assert [c.executed for c in recorder.trajectory.tool_calls] == [True] * 3 + [False]


def test_a_stopped_episode_ends_its_thread(chat: Any) -> None:
    recorder = Recorder()
    ended: list[BaseException] = []
    stopped = threading.Event()

    def late(request: Any) -> Any:
        stopped.wait(60)
        return say("late")

    with ScriptedModel(late) as model:

        def work() -> None:
            with recorder.activate():
                try:
                    agentgym.wrap(create_agent(chat(model))).run("go")
                except BaseException as exc:  # noqa: BLE001
                    ended.append(exc)

        thread = threading.Thread(target=work)
        thread.start()
        while recorder.model_in_flight() is None:
            time.sleep(0.005)
        recorder.stop(EpisodeStopped("time is up"))
        told = recorder.trajectory.to_json()
        stopped.set()
        thread.join(60)
    assert isinstance(ended[0], EpisodeStopped)
    assert recorder.trajectory.to_json() == told


def test_async_scenarios_use_ainvoke(chat: Any) -> None:
    begun: list[int] = []

    async def slow(n: int) -> int:
        """Waits for the other call."""
        begun.append(n)
        async with asyncio.timeout(60):
            while len(begun) < 2:
                await asyncio.sleep(0.01)
        return n

    async def main() -> list[Run]:
        client = httpx.AsyncClient()
        script = [call("slow", n=1) & call("slow", n=2), say("Done."), say("Again.")]
        with ScriptedModel(script) as model:
            options = {"http_async_client": client}
            llm = ChatOpenAI(
                base_url=model.base_url,
                api_key="k",  # type: ignore[arg-type]
                model="scripted",
                http_client=httpx.Client(),
                **options,  # type: ignore[arg-type]
            )
            agent = agentgym.wrap(create_agent(llm, tools=[slow]))
            runs = [await agent.run("a"), await agent.run("b")]
            await client.aclose()
            return runs

    recorder = Recorder()
    with recorder.activate():
        first, second = asyncio.run(main())
    assert [(c.arguments["n"], c.result) for c in first.calls] == [(1, "1"), (2, "2")]
    assert first.calls[1].start < first.calls[0].start + first.calls[0].duration
    assert (first.reply, second.reply) == ("Done.", "Again.")
    assert not second.calls


def test_a_chat_model_is_an_agent_with_a_memory(chat: Any) -> None:
    with ScriptedModel([say("One."), say("Two.")]) as model, Recorder().activate():
        agent = agentgym.wrap(chat(model).with_retry())
        assert [agent.run("a").reply, agent.run("b").reply] == ["One.", "Two."]
        assert len(model.requests[-1]["messages"]) == 3


@pytest.mark.parametrize(
    ("answer", "reply"),
    [
        ("hi", "hi"),
        (AIMessage("hi"), "hi"),
        ({"output": "hi"}, "hi"),
        ({"answer": "hi"}, "{'answer': 'hi'}"),
        (7, "7"),
    ],
)
def test_any_runnable_may_take_the_text(answer: Any, reply: str) -> None:
    with Recorder().activate():
        agent = agentgym.wrap(RunnableLambda(lambda text: answer))
        first, second = agent.run("hello"), agent.run("hello")
    for run in (first, second):
        assert run.reply == reply
        assert [m["role"] for m in run.messages] == ["user", "assistant"]
        assert run.value == answer


def test_a_graph_without_messages_is_refused_with_what_to_do() -> None:
    class State(TypedDict):
        question: str
        answer: str

    graph = StateGraph(State)
    graph.add_node("node", lambda state: {"answer": state["question"].upper()})
    compiled = graph.add_edge(START, "node").compile()
    with pytest.raises(UsageError) as raised:
        agentgym.wrap(compiled)
    assert str(raised.value) == (
        "the state of the LangGraph graph has no `messages` (question, answer): say "
        "how the user's message becomes its input, and its output a reply, as in "
        "RunnableLambda(lambda text: {'question': text}) | graph | "
        "RunnableLambda(lambda state: state['answer'])"
    )
    mended = eval(  # the sentence's own words
        str(raised.value).partition("as in ")[2],
        {"RunnableLambda": RunnableLambda, "graph": compiled},
    )
    with Recorder().activate():
        assert agentgym.wrap(mended).run("hello").reply == "HELLO"


async def look_up_async(order_id: str) -> str:
    """Shows an order."""
    return look_up(order_id)


def _within_a_graph(agent: Any) -> Any:
    graph = StateGraph(MessagesState).add_node("desk", agent)
    return graph.add_edge(START, "desk").compile()


@pytest.mark.parametrize("shape", [lambda agent: agent, _within_a_graph])
def test_async_tools_are_run_in_sync_scenarios(chat: Any, shape: Any) -> None:
    script = [call("look_up_async", order_id="A1"), say("Paid.")]
    with ScriptedModel(script) as model, Recorder().activate():
        graph = shape(create_agent(chat(model), [look_up_async, refund]))
        run = agentgym.wrap(graph).run("hello")
    assert [(c.name, c.result) for c in run.calls] == [("look_up_async", "A1 is paid")]
    assert run.reply == "Paid."


async def _answer(text: str) -> str:
    return text.upper()


def test_async_functions_are_run_in_sync_scenarios() -> None:
    with Recorder().activate():
        agent = agentgym.wrap(RunnableLambda(str) | RunnableLambda(_answer))
        assert agent.run("hello").reply == "HELLO"


def test_an_answer_that_a_tool_gives_is_the_reply(play: Any) -> None:
    @tool(return_direct=True)
    def find(order_id: str) -> str:
        """Shows an order."""
        return look_up(order_id)

    (run,), _ = play([call("find", order_id="A1")], tools=[find])
    assert run.reply == "A1 is paid"
    assert [m["role"] for m in run.messages] == [
        "user",
        "assistant",
        "tool",
        "assistant",
    ]


def test_a_structured_answer_by_a_tool_call_is_the_reply(play: Any) -> None:
    class Answer(BaseModel):
        paid: bool

    script = [call("look_up", order_id="A1"), call("Answer", paid=True)]
    (run,), _ = play(script, response_format=ToolStrategy(Answer))
    assert json.loads(run.reply) == {"paid": True}
    assert [(name, ran, error) for name, ran, _, error in summary(run.trajectory)] == [
        ("look_up(order_id='A1')", True, None),
        ("Answer(paid=True)", True, None),
    ]
