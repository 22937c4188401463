"""Plays a runnable: what it takes, what it gives back, and the history between."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from pydantic_core import to_json

from agentgym.errors import UsageError
from agentgym.integrations.langchain.handler import RecordingHandler
from agentgym.integrations.langchain.openai_shape import join_answers, text
from agentgym.integrations.langchain.redirection import make_twins, redirected
from agentgym.recording import event_loop
from agentgym.recording.agent_run import agent_run
from agentgym.recording.trajectory import printed

if TYPE_CHECKING:
    from agentgym.endpoint import PolicyEndpoint
    from agentgym.recording.recorder import Recorder


class LangChainDriver:
    """Plays the turns of a conversation; the history is the graph's messages."""

    def __init__(self, runnable: Any) -> None:
        self._runnable = runnable
        self._history: list[Any] = []
        self._form = _input_form(runnable)
        self._is_async = _is_async(runnable)
        self._thread_id = uuid4().hex
        self._twins: dict[int, Any] = {}
        self._policy: PolicyEndpoint | None = None

    def take(self, message: str, recorder: Recorder) -> Any:
        """Invokes the runnable.

        Args:
            message: What the user says.
            recorder: The episode's.

        Returns:
            What the runnable returned.
        """
        if self._is_async:
            return event_loop.run(self.take_async(message, recorder))
        given, config = self._prepare(message, recorder)
        with redirected(self._twins):
            value = self._runnable.invoke(given, config)
        return self._keep(value, recorder)

    async def take_async(self, message: str, recorder: Recorder) -> Any:
        """Invokes the runnable in the running event loop.

        Args:
            message: What the user says.
            recorder: The episode's.

        Returns:
            What the runnable returned.
        """
        given, config = self._prepare(message, recorder)
        with redirected(self._twins):
            value = await self._runnable.ainvoke(given, config)
        return self._keep(value, recorder)

    def redirect(self, policy: PolicyEndpoint) -> None:
        """Lets the chat models inside the runnable ask the policy.

        Raises:
            UsageError: There is none, or one of another maker than OpenAI.
        """
        self._twins = make_twins(self._runnable, policy)
        self._policy = policy

    def _prepare(self, message: str, recorder: Recorder) -> tuple[Any, Any]:
        recorder.message({"role": "user", "content": message})
        model = None if self._policy is None else self._policy.model
        handler = RecordingHandler(recorder, model)
        config: dict[str, Any] = {"callbacks": [handler]}
        run = agent_run()
        if run is not None:
            # For what takes no callbacks from the graph that it runs in.
            run.kept["langchain"] = handler
        if _has_checkpointer(self._runnable):
            # A checkpointer refuses to run without one.
            config["configurable"] = {"thread_id": self._thread_id}
        if self._form == "text":
            return message, config
        messages = [*self._history, HumanMessage(message)]
        self._history = messages
        return messages if self._form == "list" else {"messages": messages}, config

    def _keep(self, value: Any, recorder: Recorder) -> Any:
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
        else:
            answer = value.get("output", value) if isinstance(value, dict) else value
            recorder.reply(answer if isinstance(answer, str) else printed(value, str))
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


def _has_checkpointer(runnable: Any) -> bool:
    runnable = _unbound(runnable)
    given = (getattr(runnable, "config", None) or {}).get("configurable") or {}
    return bool(getattr(runnable, "checkpointer", None)) and "thread_id" not in given
