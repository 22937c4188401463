"""LangChain 1.x and LangGraph: any Runnable, watched through its callbacks.

A handler that is passed to each invocation sees the calls of models and tools, nested
graphs included. `redirect` finds the `ChatOpenAI` models inside the runnable and lets
them ask the policy, in this driver's own invocations only.
"""
# The handler's signatures are LangChain's.

from __future__ import annotations

import contextlib
import functools
import types
from collections import deque
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from pydantic_core import to_json

from agentgym.errors import UsageError
from agentgym.integrations.messages import assistant, text_of
from agentgym.recording import event_loop
from agentgym.recording.trajectory import Message, ModelCall, ToolCall, printed

if TYPE_CHECKING:
    from langchain_core.outputs import LLMResult

    from agentgym.endpoint import PolicyEndpoint
    from agentgym.recording.recorder import Recorder

TESTED = ("1.4.7", "1.7.2")
"""Versions of langchain-core."""

_redirected: ContextVar[dict[int, Any] | None] = ContextVar(
    "agentgym_langchain_redirected", default=None
)
"""By the model's id, the model that answers in its place."""


def driver(agent: Any) -> LangChainDriver:
    """The driver of a runnable."""
    return LangChainDriver(agent)


class LangChainDriver:
    """Plays the turns of a conversation; the history is the graph's messages."""

    def __init__(self, runnable: Any) -> None:
        self._runnable = runnable
        self._history: list[Any] = []
        self._form = _input_form(runnable)
        self._is_async = _is_async(runnable)
        self._thread_id = uuid4().hex
        self._models: dict[int, Any] = {}
        self._policy: PolicyEndpoint | None = None

    def take(self, message: str, recorder: Recorder) -> Any:
        """Invokes the runnable."""
        if self._is_async:
            return event_loop.run(self.take_async(message, recorder))
        given, config = self._prepare(message, recorder)
        with self._redirection():
            value = self._runnable.invoke(given, config)
        return self._keep(value, recorder)

    async def take_async(self, message: str, recorder: Recorder) -> Any:
        """Invokes the runnable in the running event loop."""
        given, config = self._prepare(message, recorder)
        with self._redirection():
            value = await self._runnable.ainvoke(given, config)
        return self._keep(value, recorder)

    def redirect(self, policy: PolicyEndpoint) -> None:
        """Lets the chat models inside the runnable ask the policy.

        Raises:
            UsageError: There is none, or one of another maker than OpenAI.
        """
        found = list(_chat_models(self._runnable))
        if not found:
            raise UsageError(
                "redirect(): no chat model was found in this LangChain runnable: build "
                "it in the `agent` fixture from the policy's base_url, api_key and "
                "model"
            )
        self._policy = policy
        for model in found:
            self._models[id(model)] = _twin(model, policy)
            _follow_redirection(model)

    @contextlib.contextmanager
    def _redirection(self) -> Iterator[None]:
        token = _redirected.set(self._models or None)
        try:
            yield
        finally:
            _redirected.reset(token)

    def _prepare(self, message: str, recorder: Recorder) -> tuple[Any, Any]:
        recorder.message({"role": "user", "content": message})
        model = None if self._policy is None else self._policy.model
        config: dict[str, Any] = {"callbacks": [RecordingHandler(recorder, model)]}
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
            elif isinstance(last, ToolMessage):
                # A tool gave the answer, or the model by a call of no real tool.
                _join_answers(recorder, self._history)
                answer = value.get("structured_response")
                recorder.reply(
                    _text(last) if answer is None else to_json(answer).decode()
                )
        elif isinstance(value, BaseMessage):
            self._history = [*self._history, value]
            recorder.reply(_text(value))
        else:
            text = value.get("output", value) if isinstance(value, dict) else value
            recorder.reply(text if isinstance(text, str) else printed(value, str))
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
            "tell how the user's message becomes its input, and its output a reply, as "
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

    def __init__(self, recorder: Recorder, model: str | None = None) -> None:
        self._recorder = recorder
        self._model = model  # in place of the models' own names
        self._models: dict[UUID, ModelCall] = {}
        self._tools: dict[UUID, ToolCall] = {}
        self._written: dict[UUID, dict[Any, list[str]]] = {}
        self._agents: dict[str, tuple[tuple[str, ...], str | None]] = {}

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
        _join_answers(self._recorder, messages[0])
        about = metadata or {}
        self._models[run_id] = self._recorder.model_started(
            self._model or about.get("ls_model_name"),
            heard=(_text(m) for m in messages[0] if isinstance(m, HumanMessage)),
            path=self._path(about),
        )

    def on_llm_start(
        self, serialized: dict[str, Any], prompts: list[str], *, run_id: UUID, **_: Any
    ) -> None:
        """A call of a completion model begins."""
        self._models[run_id] = self._recorder.model_started()

    def on_llm_new_token(
        self, token: Any, *, run_id: UUID, chunk: Any = None, **kwargs: Any
    ) -> None:
        """A part of a streamed answer; LangChain repairs the whole's arguments."""
        message = getattr(chunk, "message", None)
        for part in getattr(message, "tool_call_chunks", None) or ():
            calls = self._written.setdefault(run_id, {})
            written = calls.setdefault(part.get("index"), ["", ""])
            written[0] += part.get("id") or ""
            written[1] += part.get("args") or ""

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        """The model answered."""
        call = self._models.pop(run_id, None)
        written = dict(self._written.pop(run_id, {}).values())
        if call is None:
            return
        generation = response.generations[0][0]
        message = getattr(generation, "message", None)
        usage = getattr(message, "usage_metadata", None) or {}
        details = getattr(message, "response_metadata", None) or {}
        self._recorder.model_finished(
            call,
            message=(
                assistant_message(message, written)
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
        self._written.pop(run_id, None)
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
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """A tool begins to run."""
        name = (serialized or {}).get("name") or kwargs.get("name") or ""
        arguments = {"input": input_str} if inputs is None else dict(inputs)
        self._tools[run_id] = self._recorder.tool_started(
            name, arguments, call_id=tool_call_id, path=self._path(metadata or {})
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

    def _path(self, metadata: dict[str, Any]) -> tuple[str, ...]:
        """The agents or graphs that a node is nested in.

        LangGraph tells the nodes, as a namespace such as `plan:ID|tools:ID|model:ID`.
        An agent with a name is better known by that; graphs within it inherit it.
        """
        namespace = str(metadata.get("langgraph_checkpoint_ns") or "")
        outer = namespace.split("|")[:-1]
        name = metadata.get("lc_agent_name")
        if not outer:
            self._agents[""] = ((), name)
            return ()
        known = self._agents.get("|".join(outer))
        if known is None:
            nodes = tuple(part.partition(":")[0] for part in outer)
            path, outer_name = self._agents.get(
                "|".join(outer[:-1]), (nodes[:-1], None)
            )
            own = nodes[-1] if name in (None, outer_name) else str(name)
            known = self._agents["|".join(outer)] = ((*path, own), name)
        return known[0]


def assistant_message(
    message: AIMessage, written: Mapping[str, str] | None = None
) -> Message:
    """A LangChain message in OpenAI's shape, malformed tool calls included.

    Args:
        message: The message.
        written: By the call's id, arguments as the model wrote them, where known.
    """
    known = written or {}
    calls = [
        (call["id"], call["name"], known.get(call["id"] or "") or call["args"])
        for call in message.tool_calls
    ]
    malformed = [
        (call["id"], call["name"] or "", call["args"] or "")
        for call in message.invalid_tool_calls
    ]
    return assistant(_text(message), [*calls, *malformed])


def _join_answers(recorder: Recorder, messages: list[BaseMessage]) -> None:
    """Tells the answers to the last calls, also to those that never ran."""
    answers = []
    for message in reversed(messages):
        if not isinstance(message, ToolMessage):
            break
        answers.append(message)
    for answer in reversed(answers):
        recorder.tool_answered(
            answer.tool_call_id, _text(answer), refused=answer.status == "error"
        )


def _text(message: BaseMessage) -> str:
    return text_of(message.content)


_MOST_OBJECTS = 20_000
_LEAVES = (str, bytes, int, float, bool, type, types.ModuleType, type(None))


def _chat_models(runnable: Any) -> Iterator[BaseChatModel]:
    """The chat models that a runnable holds, also in the closures of its nodes."""
    seen: dict[int, Any] = {}
    queue = deque([runnable])
    while queue and len(seen) < _MOST_OBJECTS:
        thing = queue.popleft()
        if id(thing) in seen or isinstance(thing, _LEAVES):
            continue
        seen[id(thing)] = thing  # kept, so that no other one can get its id
        if isinstance(thing, BaseChatModel):
            yield thing
        else:
            queue.extend(_held(thing))


def _held(thing: Any) -> list[Any]:
    """What a thing refers to, as far as agents are built of it."""
    if isinstance(thing, dict):
        return list(thing.values())
    if isinstance(thing, list | tuple | set | frozenset):
        return list(thing)
    if isinstance(thing, functools.partial):
        return [thing.func, *thing.args, *thing.keywords.values()]
    if isinstance(thing, types.MethodType):
        return [thing.__func__, thing.__self__]
    if isinstance(thing, types.FunctionType):
        held = []
        for cell in thing.__closure__ or ():
            with contextlib.suppress(ValueError):  # not filled yet
                held.append(cell.cell_contents)
        # A node is often a function of a module that has the model as a global.
        named = (thing.__globals__.get(name) for name in thing.__code__.co_names)
        return held + [value for value in named if not isinstance(value, _LEAVES)]
    try:
        return list(vars(thing).values())
    except TypeError:
        slots = (s for cls in type(thing).__mro__ for s in _slots(cls))
        return [getattr(thing, name, None) for name in slots]


def _slots(cls: type) -> tuple[str, ...]:
    slots = cls.__dict__.get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)


def _twin(model: BaseChatModel, policy: PolicyEndpoint) -> Any:
    """A model of the same settings that asks the policy."""
    from langchain_openai import ChatOpenAI
    from langchain_openai.chat_models.base import BaseChatOpenAI
    from pydantic import SecretStr

    if not isinstance(model, BaseChatOpenAI):
        raise UsageError(
            f"redirect(): the agent asks a {type(model).__name__}, whose requests are "
            "not OpenAI's: build the agent in the `agent` fixture with "
            "ChatOpenAI(base_url=policy.base_url, api_key=policy.api_key, "
            "model=policy.model)"
        )
    return ChatOpenAI(
        base_url=policy.base_url,
        api_key=SecretStr(policy.api_key),
        model=policy.model,
        max_retries=0,
        temperature=model.temperature,
        top_p=model.top_p,
        stop_sequences=model.stop,
        max_completion_tokens=model.max_tokens,
        timeout=model.request_timeout,
        streaming=model.streaming,
    )


def _follow_redirection(model: BaseChatModel) -> None:
    """Lets the model, in a driver's invocation, answer through its twin there."""
    for name in ("_generate", "_agenerate", "_stream", "_astream"):
        if name not in vars(model):
            vars(model)[name] = _followed(model, name)


def _followed(model: BaseChatModel, name: str) -> Any:
    own = getattr(model, name)

    def follow(*args: Any, **kwargs: Any) -> Any:
        twin = (_redirected.get() or {}).get(id(model))
        return (own if twin is None else getattr(twin, name))(*args, **kwargs)

    return follow
