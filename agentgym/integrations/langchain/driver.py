"""Plays a runnable: what it takes, what it gives back, and the history between."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    ToolMessage,
    convert_to_messages,
)
from pydantic_core import to_json

from agentgym.errors import UsageError
from agentgym.integrations.langchain.handler import RecordingHandler
from agentgym.integrations.langchain.interrupts import (
    Pause,
    has_breakpoints,
    interrupts_in,
)
from agentgym.integrations.langchain.openai_shape import join_answers, text
from agentgym.integrations.langchain.redirection import Redirection
from agentgym.recording import event_loop
from agentgym.recording.agent_run import agent_run
from agentgym.recording.plain import printed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agentgym.endpoint import PolicyEndpoint
    from agentgym.integrations.conversation.answers import HumanAnswer
    from agentgym.recording.recorder import Recorder
    from agentgym.recording.trajectory import Message


class LangChainDriver:
    """Plays the turns of a conversation; the history is the graph's messages."""

    def __init__(self, runnable: Any) -> None:
        self._runnable = runnable
        self._history: list[Any] = []
        self._form = _input_form(runnable)
        self._is_async = _is_async(runnable)
        self._thread_id = uuid4().hex
        self.pending: Pause | None = None
        self._redirection: Redirection | None = None
        self._policy: PolicyEndpoint | None = None

    def take(self, message: str | None, recorder: Recorder) -> Any:
        """Invokes the runnable.

        Args:
            message: What the user says; None to go on from the history's end.
            recorder: The episode's.

        Returns:
            What the runnable returned.
        """
        if self._is_async:
            return event_loop.run(self.take_async(message, recorder))
        return self._invoke(self._input(message, recorder), recorder)

    async def take_async(self, message: str | None, recorder: Recorder) -> Any:
        """Invokes the runnable in the running event loop.

        Args:
            message: What the user says; None to go on from the history's end.
            recorder: The episode's.

        Returns:
            What the runnable returned.
        """
        return await self._ainvoke(self._input(message, recorder), recorder)

    def resume(self, answer: HumanAnswer, recorder: Recorder) -> Any:
        """Invokes the graph with what a person answered.

        Args:
            answer: The person's.
            recorder: The episode's.

        Returns:
            What the graph returned.

        Raises:
            UsageError: The graph cannot go on, or not with this.
        """
        if self._is_async:
            return event_loop.run(self.resume_async(answer, recorder))
        return self._invoke(self._resumed(answer), recorder)

    async def resume_async(self, answer: HumanAnswer, recorder: Recorder) -> Any:
        """The same in the running event loop.

        Args:
            answer: The person's.
            recorder: The episode's.

        Returns:
            What the graph returned.

        Raises:
            UsageError: The graph cannot go on, or not with this.
        """
        return await self._ainvoke(self._resumed(answer), recorder)

    def remember(self, history: Sequence[Message]) -> None:
        """Begins with these messages.

        Args:
            history: In OpenAI's shape.

        Raises:
            UsageError: The runnable takes one text.
        """
        if self._form == "text":
            raise UsageError(
                "agent.run(): this LangChain runnable takes one text and no history: "
                "give a graph whose state has `messages`, or a chat model"
            )
        self._history = convert_to_messages(history)

    def redirect(self, policy: PolicyEndpoint) -> None:
        """Lets the chat models inside the runnable ask the policy.

        Raises:
            UsageError: There is none, or one of another maker than OpenAI.
        """
        self._redirection = Redirection(self._runnable, policy)
        self._policy = policy

    def _input(self, message: str | None, recorder: Recorder) -> Any:
        said = []
        if message is not None:
            recorder.message({"role": "user", "content": message})
            said = [HumanMessage(message)]
        if self._form == "text":
            return message
        self._history = messages = [*self._history, *said]
        return messages if self._form == "list" else {"messages": messages}

    def _resumed(self, answer: HumanAnswer) -> Any:
        assert self.pending is not None
        given = self.pending.input_for(answer)
        if not _checkpointer(self._runnable):
            raise UsageError(
                f"{answer.method}: the graph has no checkpointer, without which "
                "LangGraph cannot go on after an interrupt: give it one, as in "
                "checkpointer=InMemorySaver()"
            )
        return given

    def _invoke(self, given: Any, recorder: Recorder) -> Any:
        config = self._config(recorder)
        with self._redirected():
            value = self._runnable.invoke(given, config)
        state = None
        if self._has_breakpoints:
            state = _unbound(self._runnable).get_state(config)
        return self._keep(value, state, recorder)

    async def _ainvoke(self, given: Any, recorder: Recorder) -> Any:
        config = self._config(recorder)
        with self._redirected():
            value = await self._runnable.ainvoke(given, config)
        state = None
        if self._has_breakpoints:
            state = await _unbound(self._runnable).aget_state(config)
        return self._keep(value, state, recorder)

    def _redirected(self) -> contextlib.AbstractContextManager[None]:
        redirection = self._redirection
        return contextlib.nullcontext() if redirection is None else redirection.active()

    @property
    def _has_breakpoints(self) -> bool:
        graph = _unbound(self._runnable)
        return has_breakpoints(graph) and bool(_checkpointer(graph))

    def _config(self, recorder: Recorder) -> Any:
        model = None if self._policy is None else self._policy.model
        handler = RecordingHandler(recorder, model)
        config: dict[str, Any] = {"callbacks": [handler]}
        run = agent_run()
        if run is not None:
            # For what takes no callbacks from the graph that it runs in.
            run.kept["langchain"] = handler
        store, thread = _checkpointer(self._runnable), _thread(self._runnable)
        if store and thread is None:
            # A checkpointer refuses to run without one.
            config["configurable"] = {"thread_id": self._thread_id}
        elif store and not self._history:
            recorder.refuse(
                recorder.shared_state.use_thread(
                    store, str(thread), lambda: _is_empty(store, thread)
                )
            )
        return config

    def _keep(self, value: Any, state: Any, recorder: Recorder) -> Any:
        self.pending = _pause(value, state)
        if isinstance(value, dict) and isinstance(value.get("messages"), list):
            self._history = value["messages"]
            last = self._history[-1] if self._history else None
            if isinstance(last, AIMessage):
                # A graph may also answer without a model.
                recorder.reply(text(last))
            elif isinstance(last, ToolMessage):
                # A tool gave the answer, or the model by a call of no real tool.
                join_answers(recorder, self._history)
                answer = value.get("structured_response")
                recorder.reply(
                    text(last) if answer is None else to_json(answer).decode()
                )
        elif isinstance(value, BaseMessage):
            self._history = [*self._history, value]
            recorder.reply(text(value))
        elif self.pending is None:
            answer = value.get("output", value) if isinstance(value, dict) else value
            recorder.reply(answer if isinstance(answer, str) else printed(value, str))
        if self.pending is not None:
            recorder.interrupted(self.pending.shown)
        return value


def _input_form(runnable: Any) -> str:
    """What a runnable takes: "messages" (a dict), "list" (of messages) or "text".

    Raises:
        UsageError: It is a graph that takes neither.
    """
    runnable = _unbound(runnable)
    if isinstance(runnable, BaseChatModel):
        return "list"
    # A compiled graph has named channels; a plain chain takes the text itself.
    channels = getattr(runnable, "channels", ())
    if "messages" in channels:
        return "messages"
    schemas = getattr(getattr(runnable, "builder", None), "schemas", {})
    keys = list(dict.fromkeys(key for keys in schemas.values() for key in keys))
    if keys and "__root__" not in keys:
        raise UsageError(
            f"the state of the LangGraph graph has no `messages` ({', '.join(keys)}): "
            "say how the user's message becomes its input, and its output a reply, as "
            f"in RunnableLambda(lambda text: {{{keys[0]!r}: text}}) | graph | "
            f"RunnableLambda(lambda state: state[{keys[-1]!r}])"
        )
    return "text"


def _is_async(runnable: Any) -> bool:
    """Whether a part of it can only be awaited, such as the tools of an MCP server."""
    runnable = _unbound(runnable)
    parts: list[Any] = []
    for name in ("steps", "nodes", "tools_by_name"):
        held = getattr(runnable, name, None)
        parts += held.values() if isinstance(held, dict) else held or ()
    return _lacks_sync(runnable) or any(map(_is_async, parts))


def _lacks_sync(part: Any) -> bool:
    """Whether it is a node, a function or a tool without a sync way."""
    waits = getattr(part, "afunc", None) or getattr(part, "coroutine", None)
    return waits is not None and getattr(part, "func", None) is None


def _unbound(runnable: Any) -> Any:
    while (inner := getattr(runnable, "bound", None)) is not None:
        runnable = inner
    return runnable


def _pause(value: Any, state: Any) -> Pause | None:
    """Where the graph stopped; None if it came to its end."""
    interrupts = interrupts_in(value)
    if interrupts:
        return Pause(interrupts)
    return Pause(nodes=tuple(state.next)) if state is not None and state.next else None


def _checkpointer(runnable: Any) -> Any:
    return getattr(_unbound(runnable), "checkpointer", None)


def _thread(runnable: Any) -> Any:
    """The thread that it was given as its own; None without one."""
    given: dict[str, Any] = {}
    while runnable is not None:
        own = (getattr(runnable, "config", None) or {}).get("configurable") or {}
        given = {**own, **given}
        runnable = getattr(runnable, "bound", None)
    return given.get("thread_id")


def _is_empty(store: Any, thread: Any) -> bool:
    """Whether a checkpointer has nothing of a thread; False if that is not known."""
    with contextlib.suppress(Exception):
        config = {"configurable": {"thread_id": thread}}
        return store.get_tuple(config) is None
    return False
