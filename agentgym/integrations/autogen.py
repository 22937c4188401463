"""AutoGen 0.7: agents and teams of `autogen_agentchat`.

The model clients of agents and teams, and the workbenches of assistants, are watched
where they are called; the run's own events have the answers to calls that never ran.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from autogen_agentchat.agents import AssistantAgent, BaseChatAgent
from autogen_agentchat.base import TaskResult
from autogen_agentchat.messages import BaseChatMessage, ToolCallExecutionEvent
from autogen_agentchat.teams import BaseGroupChat
from autogen_core import FunctionCall
from autogen_core.models import (
    AssistantMessage,
    ChatCompletionClient,
    CreateResult,
    FunctionExecutionResult,
    FunctionExecutionResultMessage,
    SystemMessage,
    UserMessage,
)
from autogen_core.tools import ToolResult
from pydantic import BaseModel

from agentgym.errors import UsageError
from agentgym.integrations.conversation.opening import names_of
from agentgym.integrations.messages import assistant, begin, reading, text_of
from agentgym.integrations.protocol import AsyncDriver
from agentgym.integrations.redirecting import plain_headers
from agentgym.recording.agent_run import run_of_another
from agentgym.recording.asked import described
from agentgym.recording.joining import ToolAnswer
from agentgym.recording.recorder import Recorder, current
from agentgym.recording.trajectory import Message, ModelCall

if TYPE_CHECKING:
    from agentgym.endpoint import PolicyEndpoint

TESTED = ("0.7.5", "0.7.5")
"""Versions of autogen-agentchat."""

_redirected: ContextVar[ChatCompletionClient | None] = ContextVar(
    "agentgym_autogen_redirected", default=None
)


def driver(agent: Any) -> AutoGenDriver:
    """The driver of an agent or a team."""
    return AutoGenDriver(agent)


def watch() -> None:
    """Watches agents and teams that run within an agent of another kind."""
    for kind in (BaseChatAgent, BaseGroupChat):
        for name in ("run", "run_stream"):
            setattr(kind, name, _watching(getattr(kind, name)))


def _watching(own: Any) -> Any:
    """A way to run an agent or a team, which watches it where nobody else does."""

    def begin(agent: Any) -> Recorder | None:
        run = run_of_another("autogen")
        if run is None:
            return None
        for member, path in _members(agent, run.path):
            _watch(member, path)
        return run.recorder

    if inspect.isasyncgenfunction(own):

        @functools.wraps(own)
        async def run_stream(
            self: Any, *args: Any, **kwargs: Any
        ) -> AsyncIterator[Any]:
            recorder = begin(self)
            async for event in own(self, *args, **kwargs):
                _read(recorder, event)
                yield event

        return run_stream

    @functools.wraps(own)
    async def run_whole(self: Any, *args: Any, **kwargs: Any) -> Any:
        recorder = begin(self)
        result = await own(self, *args, **kwargs)
        for event in result.messages:
            _read(recorder, event)
        return result

    return run_whole


def _read(recorder: Recorder | None, event: Any) -> None:
    """Records the answers to calls, also to those that never ran."""
    if recorder is not None and isinstance(event, ToolCallExecutionEvent):
        _join(recorder, event.content)


class AutoGenDriver(AsyncDriver):
    """Plays the turns of a conversation; agents and teams keep its history."""

    def __init__(self, agent: Any) -> None:
        self._agent = agent
        self._twin: ChatCompletionClient | None = None
        self._history: list[Any] = []
        self._members = list(_members(agent))
        for member, path in self._members:
            _watch(member, path)

    async def take_async(self, message: str | None, recorder: Recorder) -> Any:
        """Runs the agent or team on the message.

        Args:
            message: What the user says; None to go on from the history's end.
            recorder: Of the episode; what the agent does is written into it.
        """
        if message is not None:
            recorder.message({"role": "user", "content": message})
        for said in self._history:
            await self._agent.model_context.add_message(said)
        self._history = []
        result: TaskResult | None = None
        token = _redirected.set(self._twin)
        try:
            async for event in self._agent.run_stream(task=message):
                if isinstance(event, TaskResult):
                    result = event
                else:
                    _read(recorder, event)
        finally:
            _redirected.reset(token)
        if result is not None:
            recorder.reply(_reply(result))
        return result

    def remember(self, history: Sequence[Message]) -> None:
        """Begins with these messages, which the agent's model context gets.

        Args:
            history: In OpenAI's shape.

        Raises:
            UsageError: It is a team, or an agent without a model context.
        """
        if not isinstance(self._agent, AssistantAgent):
            raise UsageError(
                f"agent.run(): {type(self._agent).__name__} of AutoGen takes no "
                "history, as each of its members keeps its own: give an AssistantAgent"
            )
        self._history = list(_as_context(history, self._agent.name))

    def redirect(self, policy: PolicyEndpoint) -> None:
        """Lets the model clients of all agents and teams ask the policy."""
        if not self._members:
            raise UsageError(
                f"redirect(): no model client was found in this "
                f"{type(self._agent).__name__}: give its model client the policy's "
                "base_url, api_key and model in the `agent` fixture"
            )
        from autogen_ext.models.openai import OpenAIChatCompletionClient

        own: ChatCompletionClient = self._members[0][0]._model_client
        given = {
            name: value
            for name, value in getattr(own, "_raw_config", _settings(own)).items()
            if name not in _NOT_KEPT
        }
        if "default_headers" in given:
            given["default_headers"] = plain_headers(given["default_headers"])
        self._twin = OpenAIChatCompletionClient(
            model=policy.model,
            base_url=policy.base_url,
            api_key=policy.api_key,
            max_retries=0,
            **given,
            model_info={
                **own.model_info,
                "function_calling": True,
                "multiple_system_messages": True,
            },
        )


_NOT_KEPT = frozenset(
    {
        *("model", "model_info", "model_capabilities", "base_url", "api_key"),
        *(
            "organization",
            "project",
            "max_retries",
            "http_client",
            "websocket_base_url",
        ),
        # Azure's.
        *("azure_endpoint", "azure_deployment", "api_version", "azure_ad_token"),
        "azure_ad_token_provider",
    }
)
"""Whom a client asks; all else that it was given are settings."""


def _settings(client: Any) -> dict[str, Any]:
    """What a client asks with; none has a public name for it."""
    given: dict[str, Any] = getattr(client, "_create_args", {})
    return given


def _members(
    agent: Any, path: tuple[str, ...] = ()
) -> Iterator[tuple[Any, tuple[str, ...]]]:
    """What has a model client in an agent or a team, and where each is.

    Teams have one, too, that chooses who speaks.
    """
    if getattr(agent, "_model_client", None) is not None:
        yield agent, path
    if isinstance(agent, AssistantAgent):
        for workbench in agent._workbench:
            for tool in getattr(workbench, "_tools", ()):
                # An AgentTool or a TeamTool.
                for name in ("_agent", "_team"):
                    inner = getattr(tool, name, None)
                    if inner is not None:
                        yield from _members(inner, (*path, inner.name))
    inner = getattr(agent, "_team", None)  # a SocietyOfMindAgent
    if inner is not None:
        yield from _members(inner, path)
    for member in getattr(agent, "_participants", ()):
        yield from _members(member, (*path, member.name))


def _watch(agent: Any, path: tuple[str, ...]) -> None:
    agent._model_client = _WatchedClient.of(agent._model_client, path)
    if not isinstance(agent, AssistantAgent):
        return
    _watch_tools(agent._handoff_tools, path)
    for workbench in agent._workbench:
        tools = getattr(workbench, "_tools", None)
        if tools is not None:
            _watch_tools(tools, path)
        elif not hasattr(workbench.call_tool, "watched_by_agentgym"):
            # As of an MCP server, whose tools are not there yet.
            own: Any = workbench.call_tool
            workbench.call_tool = _watched(own, None, path)  # type: ignore[method-assign]


class _WatchedClient:
    """A model client that records what it is asked and answers, or its twin does."""

    def __init__(self, own: ChatCompletionClient, path: tuple[str, ...]) -> None:
        self._own = own
        self._path = path

    @classmethod
    def of(cls, client: Any, path: tuple[str, ...]) -> Any:
        return client if isinstance(client, cls) else cls(client, path)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)

    @property
    def _client(self) -> ChatCompletionClient:
        return _redirected.get() or self._own

    async def create(self, messages: Sequence[Any], **kwargs: Any) -> CreateResult:
        recorder = current()
        if recorder is None:
            return await self._client.create(messages, **kwargs)
        call = self._begin(recorder, messages, kwargs.get("tools"))
        try:
            result = await self._client.create(messages, **kwargs)
        except Exception as exc:
            recorder.model_failed(call, exc)
            raise
        _end(recorder, call, result)
        return result

    async def create_stream(
        self, messages: Sequence[Any], **kwargs: Any
    ) -> AsyncIterator[str | CreateResult]:
        recorder = current()
        call = None
        if recorder is not None:
            call = self._begin(recorder, messages, kwargs.get("tools"))
        try:
            async for part in self._client.create_stream(messages, **kwargs):
                if recorder and call and isinstance(part, CreateResult):
                    _end(recorder, call, part)
                yield part
        except Exception as exc:
            if recorder and call:
                recorder.model_failed(call, exc)
            raise

    def _begin(
        self, recorder: Recorder, messages: Sequence[Any], tools: Any
    ) -> ModelCall:
        asked = [m for message in messages for m in _messages(message)]
        return begin(
            recorder,
            asked,
            _settings(self._client).get("model"),
            path=self._path,
            tools=tools,
            describe=lambda tool: described(getattr(tool, "schema", tool)),
        )


def _messages(message: Any) -> Iterator[Message]:
    if isinstance(message, FunctionExecutionResultMessage):
        for result in message.content:
            yield {
                "role": "tool",
                "tool_call_id": result.call_id,
                "content": result.content,
            }
    elif isinstance(message, UserMessage):
        yield {"role": "user", "content": _content(message.content)}
    elif isinstance(message, AssistantMessage):
        yield {"role": "assistant", "content": ""}
    elif isinstance(message, SystemMessage):
        yield {"role": "system", "content": message.content}


def _as_context(history: Sequence[Message], agent: str) -> Iterator[Any]:
    """A history as AutoGen's messages; the answers to one message are one."""
    names = names_of(history)
    answers: list[FunctionExecutionResult] = []
    for message in history:
        content = message["content"]
        if message["role"] == "tool":
            call_id = message["tool_call_id"]
            name = names[call_id]
            answers.append(
                FunctionExecutionResult(content=content, name=name, call_id=call_id)
            )
            continue
        if answers:
            yield FunctionExecutionResultMessage(content=answers)
            answers = []
        if message["role"] == "user":
            yield UserMessage(content=content, source="user")
        elif message["role"] == "assistant":
            calls = [
                FunctionCall(id=call["id"], **call["function"])
                for call in message.get("tool_calls", ())
            ]
            thought = content or None if calls else None
            yield AssistantMessage(
                content=calls or content, thought=thought, source=agent
            )
        else:
            yield SystemMessage(content=content)
    if answers:
        yield FunctionExecutionResultMessage(content=answers)


def _content(content: Any) -> str:
    return content if isinstance(content, str) else text_of(content)


def _end(recorder: Recorder, call: ModelCall, result: CreateResult) -> None:
    with reading(recorder, call):
        content = result.content
        if isinstance(content, str):
            message = assistant(content)
        else:
            # A text beside tool calls is AutoGen's "thought".
            calls = [(c.id, c.name, c.arguments) for c in content]
            message = assistant(result.thought, calls)
        reason = {"function_calls": "tool_calls"}.get(
            result.finish_reason, result.finish_reason
        )
        recorder.model_finished(
            call,
            message=message,
            prompt_tokens=result.usage.prompt_tokens,
            completion_tokens=result.usage.completion_tokens,
            finish_reason=reason,
        )


def _watch_tools(tools: Iterable[Any], path: tuple[str, ...]) -> None:
    """Records what tools get and return, before AutoGen makes texts of it."""
    for tool in tools:
        if not hasattr(tool.run_json, "watched_by_agentgym"):
            tool.run_json = _watched(tool.run_json, tool.name, path)
        stream = getattr(tool, "run_json_stream", None)
        if stream is not None and not hasattr(stream, "watched_by_agentgym"):
            tool.run_json_stream = _watched_stream(stream, tool.name, path)


def _watched(own: Any, tool: str | None, path: tuple[str, ...]) -> Any:
    """A tool's `run_json(arguments, ...)`, or a workbench's `call_tool(name, ...)`."""

    @functools.wraps(own)
    async def call(*args: Any, **kwargs: Any) -> Any:
        with _Execution(tool, path, inspect.signature(own), args, kwargs) as execution:
            return execution.finish(await own(*args, **kwargs))

    call.watched_by_agentgym = True  # type: ignore[attr-defined]
    return call


def _watched_stream(own: Any, tool: str, path: tuple[str, ...]) -> Any:
    @functools.wraps(own)
    async def stream(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        last = None
        with _Execution(tool, path, inspect.signature(own), args, kwargs) as execution:
            async for part in own(*args, **kwargs):
                last = part
                yield part
            execution.finish(last)

    stream.watched_by_agentgym = True  # type: ignore[attr-defined]
    return stream


class _Execution(contextlib.AbstractContextManager["_Execution"]):
    """A tool's run, from its start to its result or exception."""

    def __init__(
        self,
        tool: str | None,
        path: tuple[str, ...],
        signature: inspect.Signature,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        self._call = None
        self._recorder = current()
        if self._recorder is not None:
            given = signature.bind(*args, **kwargs).arguments
            self._call = self._recorder.tool_started(
                tool or given["name"],
                dict(given.get("args" if tool else "arguments") or {}),
                call_id=given.get("call_id"),
                path=path,
            )

    def finish(self, result: Any) -> Any:
        if self._recorder is not None and self._call is not None:
            value, error = result, None
            if isinstance(result, ToolResult):
                value = result.to_text()
                error = value if result.is_error else None
            elif isinstance(result, BaseModel):
                value = result.model_dump()
            self._recorder.tool_finished(self._call, value, error=error)
            self._call = None
        return result

    def __exit__(self, kind: Any, exc: BaseException | None, trace: Any) -> None:
        if isinstance(exc, Exception) and self._recorder and self._call:
            self._recorder.tool_failed(self._call, exc)


def _join(recorder: Recorder, results: Iterable[Any]) -> None:
    answers = [
        ToolAnswer(r.call_id or "", r.content, bool(r.is_error), r.name or "")
        for r in results
    ]
    recorder.tools_answered(answers)


def _reply(result: TaskResult) -> str:
    """The last message to the user."""
    for message in reversed(result.messages):
        if isinstance(message, BaseChatMessage) and message.source != "user":
            return message.to_model_text()
    return ""
