"""Microsoft Agent Framework: agents, and workflows as agents.

Each run of an agent within a driver's turn, nested ones and those of a workflow
included, or within an agent of another kind gets a middleware that sees the model;
tools are seen where they are called, as function middleware sees neither what a tool
returned nor whether it ran.
"""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterator,
    Mapping,
    Sequence,
)
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent_framework import (
    Agent,
    ChatMiddleware,
    ChatResponse,
    Content,
    FunctionInvocationContext,
    FunctionMiddleware,
    FunctionTool,
    ResponseStream,
    Workflow,
)
from agent_framework import Message as SaidMessage
from openai import AsyncOpenAI
from pydantic import ValidationError

from agentgym.integrations.messages import assistant, begin, reading
from agentgym.integrations.protocol import AsyncWaitingDriver
from agentgym.integrations.redirecting import client_settings
from agentgym.recording.agent_run import run_of_another
from agentgym.recording.asked import described, told
from agentgym.recording.recorder import Recorder
from agentgym.recording.trajectory import Message, ModelCall, ToolCall

if TYPE_CHECKING:
    from agentgym.endpoint import PolicyEndpoint
    from agentgym.integrations.conversation.answers import HumanAnswer

TESTED = ("1.20.0", "1.23.0")
"""Versions of agent-framework-core."""


def driver(
    agent: Any, options: Mapping[str, Any] | None = None
) -> AgentFrameworkDriver:
    """The driver of an agent or a workflow.

    Args:
        agent: The agent or workflow.
        options: Of its runs, such as `options` or `function_invocation_kwargs`.
    """
    return AgentFrameworkDriver(agent, options or {})


class AgentFrameworkDriver(AsyncWaitingDriver):
    """Plays the turns of a conversation, which the framework's session keeps."""

    def __init__(self, agent: Any, options: Mapping[str, Any]) -> None:
        self._agent = agent.as_agent() if isinstance(agent, Workflow) else agent
        self._options = {"session": self._agent.create_session(), **options}
        self._history: list[SaidMessage] = []
        self._policy: PolicyEndpoint | None = None
        self._client: AsyncOpenAI | None = None

    async def take_async(self, message: str | None, recorder: Recorder) -> Any:
        """Runs the agent on the message.

        Args:
            message: What the user says; None to go on from the history's end.
            recorder: Of the episode; what the agent does is written into it.
        """
        given, self._history = self._history, []
        if message is not None:
            recorder.message({"role": "user", "content": message})
            given = [*given, SaidMessage("user", [message])]
        return await self._run(given, recorder)

    async def resume_async(self, answer: HumanAnswer, recorder: Recorder) -> Any:
        """Runs the agent on from where it stopped.

        Args:
            answer: The person's; as a value, contents of a message.
            recorder: Of the episode.
        """
        contents = answer.value
        if answer.kind != "value":
            contents = [
                request.to_function_approval_response(answer.approves)
                for request in self.pending
            ]
        elif not isinstance(contents, list):
            contents = [contents]
        return await self._run([SaidMessage("user", contents)], recorder)

    async def _run(self, given: list[SaidMessage], recorder: Recorder) -> Any:
        # The agents of a workflow are nested in it.
        path = None if isinstance(self._agent, Agent) else ()
        token = _outer.set(_Watcher(recorder, self, path))
        try:
            response = await self._agent.run(given, **self._options)
        finally:
            _outer.reset(token)
        self.pending = _approvals(response) or None
        if self.pending is None:
            recorder.reply(response.text)
        else:
            calls = [request.function_call for request in self.pending]
            recorder.interrupted(
                [{"name": c.name, "arguments": c.arguments} for c in calls if c]
            )
        return response

    def remember(self, history: Sequence[Message]) -> None:
        """Begins with these messages.

        Args:
            history: In OpenAI's shape.
        """
        self._history = [_as_said(message) for message in history]

    def redirect(self, policy: PolicyEndpoint) -> None:
        """Lets all agents of a run ask the policy."""
        self._policy = policy
        own = getattr(getattr(self._agent, "client", None), "client", None)
        self._client = AsyncOpenAI(
            base_url=policy.base_url,
            api_key=policy.api_key,
            max_retries=0,
            **client_settings(own),
        )

    def redirected(self, agent: Any) -> Any:
        """The agent, or a copy of it that asks the policy."""
        if self._policy is None:
            return agent
        from agent_framework_openai import OpenAIChatCompletionClient

        own, twin = agent.client, copy.copy(agent)
        twin.client = OpenAIChatCompletionClient(
            self._policy.model,
            async_client=self._client,
            function_invocation_configuration=getattr(
                own, "function_invocation_configuration", None
            ),
            middleware=[
                *getattr(own, "function_middleware", ()),
                *getattr(own, "chat_middleware", ()),
            ],
        )
        twin.default_options = {**agent.default_options, "model": self._policy.model}
        # The framework adds to it.
        twin.context_providers = list(agent.context_providers)
        return twin


class _Watcher:
    """Records one run's calls of models and tools.

    Args:
        recorder: Of the episode.
        driver: Whose turn it is; None within an agent of another kind.
        path: Of the run; None before the outermost agent's.
    """

    def __init__(
        self,
        recorder: Recorder,
        driver: AgentFrameworkDriver | None,
        path: tuple[str, ...] | None,
    ) -> None:
        self.recorder = recorder
        self.driver = driver
        self.path = path or ()
        self._begun = path is not None

    def within(self, name: str) -> _Watcher:
        """The watcher of a run that begins within this one."""
        path = (*self.path, name) if self._begun else ()
        return _Watcher(self.recorder, self.driver, path)

    def model_ends(self, call: ModelCall, response: ChatResponse[Any]) -> None:
        """Records what the model answered."""
        with reading(self.recorder, call):
            usage: Any = response.usage_details or {}
            reason = response.finish_reason
            call.model = response.model or call.model
            self.recorder.model_finished(
                call,
                message=_as_message(response),
                prompt_tokens=usage.get("input_token_count"),
                completion_tokens=usage.get("output_token_count"),
                finish_reason=None if reason is None else str(reason),
            )


@dataclass(slots=True)
class _Call:
    """A model's call of a tool; `ran` says whether its function was called."""

    watcher: _Watcher
    id: str
    ran: bool = False


_outer: ContextVar[_Watcher | None] = ContextVar(
    "agentgym_agent_framework_outer", default=None
)
"""Set while a driver's turn is played."""
_call: ContextVar[_Call | None] = ContextVar(
    "agentgym_agent_framework_call", default=None
)
"""Set until the tool's function is called."""


def watch() -> None:
    """Lets `Agent.run` join the runs of a driver's turn, and watches tools' calls."""
    own_run, own_call = Agent.run, FunctionTool.__call__

    @functools.wraps(own_run)
    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        outer = _outer.get() or _of_another()
        if outer is None:
            return own_run(self, *args, **kwargs)
        watcher = outer.within(str(self.name or "agent"))
        kwargs["middleware"] = [
            *(kwargs.get("middleware") or ()),
            _ModelMiddleware(watcher),
            _ToolMiddleware(watcher),
        ]
        driver = watcher.driver
        agent = self if driver is None else driver.redirected(self)
        run_it: Any = own_run
        return run_it(agent, *args, **kwargs)

    @functools.wraps(own_call)
    def call(self: FunctionTool, *args: Any, **kwargs: Any) -> Any:
        running = _call.get()
        if running is None:
            return own_call(self, *args, **kwargs)
        ask = functools.partial(own_call, self, *args, **kwargs)
        return _execute(running, self.name, ask, kwargs)

    Agent.run = run  # type: ignore[method-assign]
    FunctionTool.__call__ = call  # type: ignore[method-assign]


def _of_another() -> _Watcher | None:
    """For a run within an agent of another kind."""
    run = run_of_another("agent_framework")
    return None if run is None else _Watcher(run.recorder, None, run.path or None)


class _ModelMiddleware(ChatMiddleware):
    def __init__(self, watcher: _Watcher) -> None:
        self._watcher = watcher

    async def process(self, context: Any, call_next: Any) -> None:
        recorder = self._watcher.recorder
        messages = [m for message in context.messages for m in _messages(message)]
        options = context.options or {}
        call = begin(
            recorder,
            messages,
            options.get("model"),
            path=self._watcher.path,
            system=[str(options.get("instructions") or "")],
            tools=options.get("tools"),
            describe=_described,
        )
        try:
            await call_next()
        except Exception as exc:
            recorder.model_failed(call, exc)
            raise
        stream = context.result
        if isinstance(stream, ResponseStream):
            context.result = ResponseStream(
                self._follow(stream, call),
                finalizer=lambda _: stream.get_final_response(),
            )
        else:
            self._watcher.model_ends(call, context.result)

    async def _follow(
        self, stream: ResponseStream[Any, Any], call: ModelCall
    ) -> AsyncIterator[Any]:
        try:
            async for update in stream:
                yield update
            response = await stream.get_final_response()
        except Exception as exc:
            self._watcher.recorder.model_failed(call, exc)
            raise
        self._watcher.model_ends(call, response)


class _ToolMiddleware(FunctionMiddleware):
    def __init__(self, watcher: _Watcher) -> None:
        self._watcher = watcher

    async def process(self, context: Any, call_next: Any) -> None:
        call = _Call(self._watcher, context.metadata.get("call_id", ""))
        outer, own = _outer.set(self._watcher), _call.set(call)
        try:
            await call_next()
        except TypeError as exc:
            if not call.ran:
                # The model gets no more than that they do not fit.
                cause = exc.__cause__
                text = f"TypeError: {context.function.name}() {exc}"
                if isinstance(cause, ValidationError):
                    text = f"ValidationError: {cause}"
                self._watcher.recorder.tool_answered(call.id, text, refused=True)
            raise
        finally:
            _call.reset(own)
            _outer.reset(outer)


def _execute(
    running: _Call, name: str, call: Callable[[], Any], arguments: dict[str, Any]
) -> Any:
    """Records a call of a tool's function, which may be async."""
    # A tool may call another one as a function; the middleware sets this back.
    _call.set(None)
    running.ran = True
    recorder = running.watcher.recorder
    given = {
        key: value
        for key, value in arguments.items()
        if not isinstance(value, FunctionInvocationContext)
    }
    started = recorder.tool_started(
        name, given, call_id=running.id, path=running.watcher.path
    )
    try:
        result = call()
    except Exception as exc:
        recorder.tool_failed(started, exc)
        raise
    if inspect.isawaitable(result):
        return _awaited(recorder, started, result)
    recorder.tool_finished(started, result)
    return result


async def _awaited(recorder: Recorder, call: ToolCall, result: Awaitable[Any]) -> Any:
    try:
        value = await result
    except Exception as exc:
        recorder.tool_failed(call, exc)
        raise
    recorder.tool_finished(call, value)
    return value


def _approvals(response: Any) -> list[Any]:
    """What the agent asks a person to let run."""
    requests = getattr(response, "user_input_requests", ())
    return [r for r in requests if r.type == "function_approval_request"]


def _as_said(message: Message) -> SaidMessage:
    """A message in OpenAI's shape as one of the framework's."""
    content = message["content"]
    if message["role"] == "tool":
        call_id = message["tool_call_id"]
        answer = Content.from_function_result(call_id, result=content)
        return SaidMessage("tool", [answer])
    parts = [Content.from_text(content)] if content else []
    for call in message.get("tool_calls", ()):
        function = call["function"]
        parts.append(
            Content.from_function_call(
                call["id"], function["name"], arguments=function["arguments"]
            )
        )
    role = message["role"]
    return SaidMessage("system" if role == "developer" else role, parts)


def _messages(message: Any) -> Iterator[Message]:
    if message.role == "tool":
        for content in message.contents:
            if content.type == "function_result":
                yield {
                    "role": "tool",
                    "tool_call_id": content.call_id,
                    "content": str(content.result or ""),
                }
    elif message.role in ("user", "assistant", "system"):
        yield {"role": str(message.role), "content": message.text}


def _described(tool: Any) -> dict[str, Any]:
    if isinstance(tool, FunctionTool):
        return told(tool.name, tool.description, tool.parameters())
    return described(tool)


def _as_message(response: ChatResponse[Any]) -> Message:
    calls = [
        (content.call_id, str(content.name or ""), content.arguments or {})
        for message in response.messages
        for content in message.contents
        if content.type == "function_call"
    ]
    return assistant(response.text, calls)
