"""AG2 1.x: agents watched by a middleware that is given to each turn.

An agent that a tool asks in turn gets one, too, where it is asked, and so does one
within an agent of another kind.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from ag2 import Agent, AgentReply, MemoryStream
from ag2.config import OpenAIConfig
from ag2.events import (
    DataInput,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextInput,
    ToolCallEvent,
    ToolCallsEvent,
    ToolErrorEvent,
    ToolResult,
    ToolResultEvent,
    ToolResultsEvent,
)
from ag2.exceptions import HumanInputNotProvidedError
from ag2.middleware import BaseMiddleware, builtin
from pydantic import ValidationError

from agentgym.errors import UsageError
from agentgym.integrations.conversation.opening import names_of
from agentgym.integrations.messages import assistant, begin, reading
from agentgym.integrations.protocol import AsyncWaitingDriver
from agentgym.integrations.redirecting import plain_headers
from agentgym.recording.agent_run import run_of_another
from agentgym.recording.asked import described, told
from agentgym.recording.plain import printed
from agentgym.recording.recorder import Recorder
from agentgym.recording.trajectory import Message, ToolCall

if TYPE_CHECKING:
    from agentgym.endpoint import PolicyEndpoint
    from agentgym.integrations.conversation.answers import HumanAnswer

TESTED = ("1.0.0", "1.2.1")
"""Versions of ag2."""


def driver(agent: Any, options: Mapping[str, Any] | None = None) -> AG2Driver:
    """The driver of an agent.

    Args:
        agent: The agent.
        options: Of its turns, such as `dependencies`.
    """
    return AG2Driver(agent, options or {})


class AG2Driver(AsyncWaitingDriver):
    """Plays the turns of a conversation; each goes on from the last one's reply."""

    def __init__(self, agent: Any, options: Mapping[str, Any]) -> None:
        self._agent = agent
        self._options = options
        self._reply: AgentReply[Any, Any] | None = None
        self._history: Sequence[Message] = ()
        self._config: OpenAIConfig | None = None

    async def take_async(self, message: str | None, recorder: Recorder) -> Any:
        """Asks the agent.

        Args:
            message: What the user says.
            recorder: Of the episode; what the agent does is written into it.
        """
        assert message is not None  # see `remember`
        recorder.message({"role": "user", "content": message})
        ask = self._reply.ask if self._reply is not None else self._first
        watcher = _Watcher(recorder, self._config)
        try:
            reply = await ask(
                message,
                **{
                    **self._options,
                    "config": self._config or self._options.get("config"),
                    "middleware": [*self._options.get("middleware", ()), watcher.watch],
                },
            )
        except HumanInputNotProvidedError as exc:
            self.pending = exc
            waits = recorder.trajectory.waiting
            shown = [{"name": c.name, "arguments": c.arguments} for c in waits]
            recorder.interrupted(shown or str(exc))
            return None
        self._reply = reply
        recorder.reply(reply.body or "")
        return reply

    async def resume_async(self, answer: HumanAnswer, recorder: Recorder) -> Any:
        """Raises: AG2 ends a turn in which nobody answers, and cannot go on with it.

        Args:
            answer: The person's.
            recorder: Of the episode.
        """
        raise UsageError(
            f"{answer.method}: an AG2 agent asks a person within its run, and cannot "
            "go on after it: give it a hitl_hook that answers, in the `agent` fixture"
        )

    async def _first(self, message: str, **options: Any) -> Any:
        stream = MemoryStream()
        await stream.history.replace(_as_events(self._history))
        return await self._agent.ask(message, stream=stream, **options)

    def remember(self, history: Sequence[Message]) -> None:
        """Begins with these messages.

        Args:
            history: In OpenAI's shape.

        Raises:
            UsageError: There are messages that AG2 has no place for.
        """
        if history[-1]["role"] == "tool":
            raise UsageError(
                "agent.run(): an AG2 agent goes on with a user's message only: end the "
                "history with one, or before the call of the tool"
            )
        if any(message["role"] in ("system", "developer") for message in history):
            raise UsageError(
                "agent.run(): an AG2 agent has its instructions itself: leave system "
                "messages out of the history"
            )
        self._history = history

    def redirect(self, policy: PolicyEndpoint) -> None:
        """Lets all agents of a turn ask the policy."""
        self._config = OpenAIConfig(
            policy.model,
            base_url=policy.base_url,
            api_key=policy.api_key,
            max_retries=0,
            **_settings(self._agent.config),
        )


_NOT_KEPT = frozenset(
    {
        *("model", "api_key", "base_url", "websocket_base_url", "organization"),
        *("project", "max_retries", "http_client"),
    }
)


def _settings(config: Any) -> dict[str, Any]:
    """How the agent's own model is asked, as far as that is given."""
    own = {field.name: field.default for field in fields(OpenAIConfig)}
    found: dict[str, Any] = {}
    for name in own.keys() - _NOT_KEPT:
        value = getattr(config, name, own[name])
        # Each maker's configuration marks what is not given by an object of its own.
        if value != own[name] and isinstance(
            value, int | float | str | list | tuple | Mapping
        ):
            found[name] = value
    if "default_headers" in found:
        found["default_headers"] = plain_headers(found["default_headers"])
    return found


_outer: ContextVar[_Watcher | None] = ContextVar("agentgym_ag2_outer", default=None)
"""Set while a watched turn's tool runs."""


_guarded: ContextVar[tuple[Recorder, ToolCall, tuple[str, ...]] | None] = ContextVar(
    "agentgym_ag2_guarded", default=None
)
"""The call that is executed, which a person may have to approve before it runs."""


def watch() -> None:
    """Lets `Agent.ask` and `Agent.run` join the turns that tools start.

    What asks for a person's approval stands between the model and the tool.
    """
    for name in ("ask", "run"):
        setattr(Agent, name, _joining(getattr(Agent, name)))

    approval: Any = getattr(builtin, "ApprovalRequired", None)
    if approval is not None:  # AG2 1.0.0 has a function there, which nobody can see
        approval.__call__ = _guard(approval.__call__)


def _guard(own_guard: Any) -> Any:
    """Asks for a person's approval: until then the call waits."""

    @functools.wraps(own_guard)
    async def guard(self: Any, call_next: Any, event: Any, context: Any) -> Any:
        found = _guarded.get()
        if found is None:
            return await own_guard(self, call_next, event, context)
        recorder, call, path = found
        recorder.tool_interrupted(call)

        async def run(event: Any, context: Any) -> Any:
            given = _arguments(event) or call.arguments
            recorder.tool_started(call.name, given, call_id=call.id, path=path)
            return await call_next(event, context)

        return await own_guard(self, run, event, context)

    return guard


def _joining(own: Any) -> Any:
    @functools.wraps(own)
    def begun(self: Any, *args: Any, **kwargs: Any) -> Any:
        outer = _outer.get()
        watcher = _of_another() if outer is None else outer.within(self.name)
        if watcher is not None:
            kwargs["middleware"] = [*kwargs.get("middleware", ()), watcher.watch]
            kwargs["config"] = watcher.config or kwargs.get("config")
        return own(self, *args, **kwargs)

    return begun


def _of_another() -> _Watcher | None:
    """For a turn within an agent of another kind."""
    run = run_of_another("ag2")
    return None if run is None else _Watcher(run.recorder, None, run.path)


class _Watcher:
    """Records one turn's calls of models and tools."""

    def __init__(
        self,
        recorder: Recorder,
        config: OpenAIConfig | None,
        path: tuple[str, ...] = (),
    ) -> None:
        self.config = config
        self._recorder = recorder
        self._path = path

    def within(self, name: str) -> _Watcher:
        """The watcher of an agent that a tool of this turn's agent asks."""
        return _Watcher(self._recorder, self.config, (*self._path, name))

    def watch(self, event: Any, context: Any) -> BaseMiddleware:
        """The middleware of the turn."""
        return _Middleware(event, context, self)

    async def ask(self, call_next: Any, events: Any, context: Any) -> Any:
        """Records a call of the model."""
        messages = [message for event in events for message in _messages(event)]
        call = begin(
            self._recorder,
            messages,
            path=self._path,
            system=[str(text) for text in getattr(context, "prompt", ())],
            tools=_tools(call_next),
            describe=_described,
        )
        try:
            response = await call_next(events, context)
        except Exception as exc:
            self._recorder.model_failed(call, exc)
            raise
        with reading(self._recorder, call):
            usage, text = response.usage, response.message
            call.model = response.model
            self._recorder.model_finished(
                call,
                message=assistant(
                    text and text.content,
                    [(c.id, c.name, c.arguments) for c in response.tool_calls.calls],
                ),
                prompt_tokens=usage.prompt_tokens,
                completion_tokens=usage.completion_tokens,
                finish_reason=response.finish_reason,
            )
        return response

    async def execute(self, call_next: Any, event: Any, context: Any) -> Any:
        """Records a run of a tool."""
        arguments = _arguments(event)
        if arguments is None:
            return await call_next(event, context)
        call = self._recorder.tool_started(
            event.name, arguments, call_id=event.id, path=self._path
        )
        token = _outer.set(self)
        guarded = _guarded.set((self._recorder, call, self._path))
        try:
            result = await call_next(event, context)
        except HumanInputNotProvidedError:
            # Whoever asked, the tool or what guards it: nobody has answered.
            if not call.withheld:
                self._recorder.tool_interrupted(call)
            raise
        except Exception as exc:
            self._recorder.tool_failed(call, exc)
            raise
        finally:
            _outer.reset(token)
            _guarded.reset(guarded)
        if call.withheld:
            text = printed(_value(result.result), str)
            self._recorder.tool_answered(event.id, text, refused=True)
        elif isinstance(result, ToolErrorEvent):
            self._recorder.tool_failed(call, result.error)
            # Arguments that do not fit show up where the tool would run.
            call.executed = not _misfit(event.name, result.error)
        elif isinstance(result, ToolResultEvent):
            self._recorder.tool_finished(call, _value(result.result))
        return result


class _Middleware(BaseMiddleware):
    def __init__(self, event: Any, context: Any, watcher: _Watcher) -> None:
        super().__init__(event, context)
        self._watcher = watcher

    async def on_llm_call(self, call_next: Any, events: Any, context: Any) -> Any:
        return await self._watcher.ask(call_next, events, context)

    async def on_tool_execution(self, call_next: Any, event: Any, context: Any) -> Any:
        return await self._watcher.execute(call_next, event, context)


def _tools(call: Any) -> Any:
    """The tools that a call of a model, which other middleware may wrap, sends."""
    while isinstance(call, functools.partial):
        if "tools" in call.keywords:
            return call.keywords["tools"]
        call = call.args[0] if call.args else None
    return None


def _described(tool: Any) -> dict[str, Any]:
    function = getattr(tool, "function", None)
    if function is None:
        return described(tool)
    return told(function.name, function.description, function.parameters)


def _misfit(tool: str, error: Exception) -> bool:
    return isinstance(error, ValidationError) and error.title == tool


def _arguments(event: Any) -> dict[str, Any] | None:
    """None if they are malformed: the tool will not run."""
    try:
        arguments = json.loads(event.arguments or "{}")
    except ValueError:
        return None
    return arguments if isinstance(arguments, dict) else None


def _messages(event: Any) -> Iterator[Message]:
    if isinstance(event, ModelRequest):
        yield {"role": "user", "content": _texts(event.parts)}
    elif isinstance(event, ModelResponse):
        yield {"role": "assistant", "content": ""}
    elif isinstance(event, ToolResultsEvent):
        for result in event.results:
            yield {
                "role": "tool",
                "tool_call_id": result.parent_id,
                "content": _texts(result.result.parts),
            }


def _as_events(history: Sequence[Message]) -> Iterator[Any]:
    names = names_of(history)
    results: list[ToolResultEvent] = []
    for message in history:
        content = message["content"]
        if message["role"] == "tool":
            call_id = message["tool_call_id"]
            call = ToolCallEvent(names[call_id], id=call_id)
            results.append(ToolResultEvent.from_call(call, content))
            continue
        if results:
            # Those to one message belong together.
            yield ToolResultsEvent(results)
            results = []
        if message["role"] == "user":
            yield ModelRequest.ensure_request([content])
        else:
            asked = [
                ToolCallEvent(
                    c["function"]["name"],
                    id=c["id"],
                    arguments=c["function"]["arguments"],
                )
                for c in message.get("tool_calls", ())
            ]
            said = ModelMessage(content) if content else None
            yield ModelResponse(said, tool_calls=ToolCallsEvent(asked))
    if results:
        yield ToolResultsEvent(results)


def _texts(parts: list[Any]) -> str:
    return "".join(
        part.content if isinstance(part, TextInput) else printed(_plain(part), str)
        for part in parts
    )


def _value(result: ToolResult) -> Any:
    values = [_plain(part) for part in result.parts]
    return values[0] if len(values) == 1 else values


def _plain(part: Any) -> Any:
    """What a tool returned, as far as a part of its result holds it."""
    if isinstance(part, TextInput):
        return part.content
    return part.data if isinstance(part, DataInput) else part
