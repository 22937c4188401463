"""LangChain 1.x and LangGraph: any Runnable, watched through its callbacks.

Tested with langchain 1.4, langchain-core 1.7, langgraph 1.2.
"""
# The handler's signatures are LangChain's.

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from agentgym.trajectory import Message, ModelCall, ToolCall, printed

if TYPE_CHECKING:
    from langchain_core.outputs import LLMResult

    from agentgym.recorder import Recorder


class LangChainDriver:
    """Plays the turns of a conversation; the history is the graph's messages."""

    asynchronous = False

    def __init__(self, runnable: Any) -> None:
        self._runnable = runnable
        self._history: list[Any] = []
        self._form = _input_form(runnable)
        self._thread_id = uuid4().hex

    def take(self, message: str, recorder: Recorder) -> Any:
        """Invokes the runnable."""
        given, config = self._prepare(message, recorder)
        return self._keep(self._runnable.invoke(given, config), recorder)

    async def take_async(self, message: str, recorder: Recorder) -> Any:
        """Invokes the runnable in the running event loop."""
        given, config = self._prepare(message, recorder)
        return self._keep(await self._runnable.ainvoke(given, config), recorder)

    def _prepare(self, message: str, recorder: Recorder) -> tuple[Any, Any]:
        recorder.message({"role": "user", "content": message})
        config: dict[str, Any] = {"callbacks": [RecordingHandler(recorder)]}
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
                recorder.reply(_text(last))
        elif isinstance(value, BaseMessage):
            self._history = [*self._history, value]
            recorder.reply(_text(value))
        else:
            text = value.get("output") if isinstance(value, dict) else value
            recorder.reply(text if isinstance(text, str) else printed(value, str))
        return value


def _input_form(runnable: Any) -> str:
    """What a runnable takes: "messages" (a dict), "list" (of messages) or "text"."""
    while (inner := getattr(runnable, "bound", None)) is not None:
        runnable = inner
    if isinstance(runnable, BaseChatModel):
        return "list"
    # A compiled graph has named channels; a plain chain takes the text itself.
    channels = getattr(runnable, "channels", None)
    return "messages" if channels is not None and "messages" in channels else "text"


def _has_checkpointer(runnable: Any) -> bool:
    while (inner := getattr(runnable, "bound", None)) is not None:
        runnable = inner
    given = (getattr(runnable, "config", None) or {}).get("configurable") or {}
    return bool(getattr(runnable, "checkpointer", None)) and "thread_id" not in given


class RecordingHandler(BaseCallbackHandler):
    """Writes model and tool events into a recorder, from whichever thread."""

    # Limits and stops are raised by the recorder and must reach the agent.
    raise_error = True
    run_inline = True
    # Every node of a graph is a chain: events that nobody needs. (`ignore_agent` must
    # stay off: LangChain counts the tool events among the agent's.)
    ignore_chain = True
    ignore_retriever = True
    ignore_retry = True
    ignore_custom_event = True

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._models: dict[UUID, ModelCall] = {}
        self._tools: dict[UUID, ToolCall] = {}

    def on_chat_model_start(
        self,
        serialized: dict[str, Any],
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """A model call begins."""
        self._join_answers(messages[0])
        name = (metadata or {}).get("ls_model_name")
        self._models[run_id] = self._recorder.model_started(name)

    def on_llm_start(
        self, serialized: dict[str, Any], prompts: list[str], *, run_id: UUID, **_: Any
    ) -> None:
        """A call of a completion model begins."""
        self._models[run_id] = self._recorder.model_started()

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        """The model answered."""
        call = self._models.pop(run_id, None)
        if call is None:
            return
        generation = response.generations[0][0]
        message = getattr(generation, "message", None)
        usage = getattr(message, "usage_metadata", None) or {}
        details = getattr(message, "response_metadata", None) or {}
        self._recorder.model_finished(
            call,
            message=(
                assistant_message(message)
                if isinstance(message, AIMessage)
                else {"role": "assistant", "content": generation.text}
            ),
            prompt_tokens=usage.get("input_tokens"),
            completion_tokens=usage.get("output_tokens"),
            finish_reason=details.get("finish_reason"),
        )

    def on_llm_error(
        self, error: BaseException, *, run_id: UUID, **kwargs: Any
    ) -> None:
        """The model call raised."""
        call = self._models.pop(run_id, None)
        if call is not None:
            self._recorder.model_failed(call, error)

    def on_tool_start(
        self,
        serialized: dict[str, Any],
        input_str: str,
        *,
        run_id: UUID,
        inputs: dict[str, Any] | None = None,
        tool_call_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        """A tool begins to run."""
        name = (serialized or {}).get("name") or kwargs.get("name") or ""
        arguments = {"input": input_str} if inputs is None else dict(inputs)
        self._tools[run_id] = self._recorder.tool_started(
            name, arguments, call_id=tool_call_id
        )

    def on_tool_end(self, output: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """The tool returned."""
        call = self._tools.pop(run_id, None)
        if call is None:
            return
        if not isinstance(output, ToolMessage):
            self._recorder.tool_finished(call, output)
            return
        # The tool itself made this message of its exception (handle_tool_error).
        error = _text(output) if output.status == "error" else None
        self._recorder.tool_finished(call, output.content, error=error)

    def on_tool_error(
        self, error: BaseException, *, run_id: UUID, **kwargs: Any
    ) -> None:
        """The tool raised."""
        call = self._tools.pop(run_id, None)
        if call is not None:
            self._recorder.tool_failed(call, error)

    def _join_answers(self, messages: list[BaseMessage]) -> None:
        """Tells what the model reads of its calls, also of those that never ran."""
        answers = []
        for message in reversed(messages):
            if not isinstance(message, ToolMessage):
                break
            answers.append(message)
        for answer in reversed(answers):
            self._recorder.tool_answered(
                answer.tool_call_id, _text(answer), refused=answer.status == "error"
            )


def assistant_message(message: AIMessage) -> Message:
    """A LangChain message in OpenAI's shape, malformed tool calls included."""
    told: Message = {"role": "assistant", "content": _text(message)}
    calls = [
        _call(call["id"], call["name"], json.dumps(call["args"]))
        for call in message.tool_calls
    ]
    calls += [
        _call(call["id"], call["name"] or "", call["args"] or "")
        for call in message.invalid_tool_calls
    ]
    if calls:
        told["tool_calls"] = calls
    return told


def _call(call_id: str | None, name: str, arguments: str) -> dict[str, Any]:
    return {
        "id": call_id or "",
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


def _text(message: BaseMessage) -> str:
    content = message.content
    if isinstance(content, str):
        return content
    return "".join(
        part if isinstance(part, str) else str(part.get("text", "")) for part in content
    )
