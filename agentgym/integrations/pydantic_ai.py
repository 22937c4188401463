"""Pydantic AI: agents watched by a capability that is given to each run.

An agent that a tool runs in turn gets one, too, where its own run begins, and so does
one within an agent of another kind.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from openai import AsyncOpenAI
from pydantic_ai import (
    Agent,
    ApprovalRequired,
    CallDeferred,
    DeferredToolRequests,
    DeferredToolResults,
    ModelRetry,
    ToolDenied,
    capabilities,
)
from pydantic_ai.capabilities import Hooks
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    RetryPromptPart,
    SystemPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_core import to_json

from agentgym.errors import UsageError
from agentgym.integrations.conversation.opening import names_of
from agentgym.integrations.messages import assistant, begin, reading
from agentgym.integrations.protocol import AsyncWaitingDriver
from agentgym.integrations.redirecting import client_settings
from agentgym.recording.agent_run import run_of_another
from agentgym.recording.asked import told
from agentgym.recording.recorder import Recorder
from agentgym.recording.trajectory import Message, ModelCall

if TYPE_CHECKING:
    from agentgym.endpoint import PolicyEndpoint
    from agentgym.integrations.conversation.answers import HumanAnswer

TESTED = ("1.87.0", "2.68.0")
"""Versions of pydantic-ai-slim; older ones take no capabilities for a run."""


def driver(agent: Any, options: Mapping[str, Any] | None = None) -> PydanticAIDriver:
    """The driver of an agent.

    Args:
        agent: The agent.
        options: Of its runs, such as `deps`.
    """
    return PydanticAIDriver(agent, options or {})


class PydanticAIDriver(AsyncWaitingDriver):
    """Plays the turns of a conversation; its history is the runs' messages."""

    def __init__(self, agent: Any, options: Mapping[str, Any]) -> None:
        self._agent = agent
        self._options = options
        self._history: list[ModelMessage] = list(options.get("message_history") or ())
        self._opening: list[Any] = []
        self._model: OpenAIChatModel | OpenAIResponsesModel | None = None

    async def take_async(self, message: str | None, recorder: Recorder) -> Any:
        """Runs the agent on the message.

        Args:
            message: What the user says; None to go on from the history's end.
            recorder: Of the episode; what the agent does is written into it.
        """
        if message is not None:
            recorder.message({"role": "user", "content": message})
        return await self._run(message, recorder)

    async def resume_async(self, answer: HumanAnswer, recorder: Recorder) -> Any:
        """Runs the agent on from where it stopped.

        Args:
            answer: The person's; as a value, what each call is answered with, by its
                id, or `DeferredToolResults`.
            recorder: Of the episode.

        Raises:
            UsageError: The value is of another form.
        """
        results = _results(self.pending, answer)
        for call in self.pending.calls:
            # Nobody here runs it.
            content = results.calls.get(call.tool_call_id)
            text = content if isinstance(content, str) else to_json(content).decode()
            recorder.tool_answered(
                call.tool_call_id, text, refused=answer.kind == "reject"
            )
        return await self._run(None, recorder, deferred_tool_results=results)

    async def _run(self, message: str | None, recorder: Recorder, **more: Any) -> Any:
        watcher = _Watcher(recorder, self._model)
        try:
            result = await self._agent.run(
                message,
                **{
                    **self._options,
                    **more,
                    "message_history": self._history,
                    "model": self._model or self._options.get("model"),
                    "capabilities": [
                        *(self._options.get("capabilities") or ()),
                        watcher.capability,
                        *self._opening,
                    ],
                },
            )
        except Exception as exc:
            watcher.ended(exc)
            raise
        self._history, self._opening = result.all_messages(), []
        output = result.output
        self.pending = output if isinstance(output, DeferredToolRequests) else None
        if self.pending is not None:
            asked = [*output.approvals, *output.calls]
            recorder.interrupted(
                [{"name": c.tool_name, "arguments": c.args} for c in asked]
            )
            return result
        recorder.reply(output if isinstance(output, str) else to_json(output).decode())
        return result

    def remember(self, history: Sequence[Message]) -> None:
        """Begins with these messages.

        Args:
            history: In OpenAI's shape.
        """
        self._history = list(_as_history(history))
        # A system prompt is made for a conversation that begins only.
        reinject = getattr(capabilities, "ReinjectSystemPrompt", None)
        self._opening = [] if reinject is None else [reinject()]

    def redirect(self, policy: PolicyEndpoint) -> None:
        """Lets all agents of a run ask the policy."""
        own = _innermost(self._agent.model)
        client = AsyncOpenAI(
            base_url=policy.base_url,
            api_key=policy.api_key,
            max_retries=0,
            **client_settings(getattr(own, "client", None)),
        )
        kind = OpenAIResponsesModel if isinstance(own, OpenAIResponsesModel) else None
        self._model = (kind or OpenAIChatModel)(
            policy.model,
            provider=OpenAIProvider(openai_client=client),
            # Those of the agent and of each run go on top.
            settings=getattr(own, "settings", None),
        )


def _results(asked: DeferredToolRequests, answer: HumanAnswer) -> DeferredToolResults:
    """What a person says, as Pydantic AI takes it."""
    given = answer.value
    if isinstance(given, DeferredToolResults):
        return given
    approvals = {call.tool_call_id for call in asked.approvals}
    calls = {call.tool_call_id for call in asked.calls}
    if answer.kind == "value":
        if isinstance(given, dict) and given.keys() == approvals | calls:
            return DeferredToolResults(
                approvals={key: given[key] for key in approvals},
                calls={key: given[key] for key in calls},
            )
        raise UsageError(
            f"{answer.method}: Pydantic AI takes DeferredToolResults, or what each "
            f"call is answered with, by its id: {', '.join(approvals | calls)}"
        )
    if answer.approves and calls:
        raise UsageError(
            "agent.approve(): the agent waits for the result of a tool that is run "
            "elsewhere: give it by agent.run(resume={ID: RESULT}), with the ids "
            f"{', '.join(approvals | calls)}"
        )
    said: Any = True
    if not answer.approves:
        said = ToolDenied(answer.reason) if answer.reason else False
    return DeferredToolResults(
        approvals=dict.fromkeys(approvals, said),
        calls=dict.fromkeys(calls, str(answer)),
    )


def _innermost(model: Any) -> Any:
    """The first model that a wrapper or a fallback asks."""
    while True:
        models = getattr(model, "models", None)
        inner = models[0] if isinstance(models, list | tuple) and models else None
        inner = inner or getattr(model, "wrapped", None)
        if inner is None:
            return model
        model = inner


_outer: ContextVar[_Watcher | None] = ContextVar(
    "agentgym_pydantic_ai_outer", default=None
)
"""Set while a watched run's tool runs."""


def watch() -> None:
    """Lets `Agent.iter`, through which all runs go, join those that tools start."""
    own = Agent.iter

    @functools.wraps(own)
    def begun(self: Any, *args: Any, **kwargs: Any) -> Any:
        outer = _outer.get()
        name = str(self.name or "agent")
        watcher = _of_another() if outer is None else outer.within(name)
        if watcher is None:
            return own(self, *args, **kwargs)
        given = kwargs.get("capabilities") or ()
        kwargs["capabilities"] = [*given, watcher.capability]
        kwargs["model"] = watcher.model or kwargs.get("model")
        return watcher.follow(own(self, *args, **kwargs))

    Agent.iter = begun  # type: ignore[method-assign]


def _of_another() -> _Watcher | None:
    """For a run within an agent of another kind."""
    run = run_of_another("pydantic_ai")
    return None if run is None else _Watcher(run.recorder, None, run.path)


class _Watcher:
    """Records one run's calls of models and tools."""

    def __init__(
        self,
        recorder: Recorder,
        model: OpenAIChatModel | OpenAIResponsesModel | None,
        path: tuple[str, ...] = (),
    ) -> None:
        self.model = model
        self.capability: Hooks[Any] = Hooks(
            model_request=self._ask,
            tool_validate_error=self._refuse,
            tool_execute=self._execute,
        )
        self._recorder = recorder
        self._path = path
        self._open: dict[int, ModelCall] = {}

    def within(self, name: str) -> _Watcher:
        """The watcher of an agent that a tool of this run's agent runs."""
        inner = _Watcher(self._recorder, self.model, (*self._path, name))
        inner._open = self._open
        return inner

    @contextlib.asynccontextmanager
    async def follow(self, run: Any) -> AsyncIterator[Any]:
        """A run that this one is to know the end of."""
        try:
            async with run as begun:
                yield begun
        except Exception as exc:
            self.ended(exc)
            raise

    def ended(self, exc: Exception) -> None:
        """The run raised: a stream that broke off is reported to no hook."""
        for call in self._open.values():
            self._recorder.model_failed(call, exc)
        self._open.clear()

    async def _ask(self, context: Any, /, *, request_context: Any, handler: Any) -> Any:
        asked = request_context.messages
        messages = [m for message in asked for m in _messages(message)]
        name = request_context.model.model_name
        given = request_context.model_request_parameters
        call = begin(
            self._recorder,
            messages,
            name,
            path=self._path,
            system=[_instructions(asked)],
            tools=[*given.function_tools, *given.output_tools],
            describe=lambda t: told(t.name, t.description, t.parameters_json_schema),
        )
        self._open[id(call)] = call
        try:
            response = await handler(request_context)
        except Exception as exc:
            self._recorder.model_failed(self._open.pop(id(call)), exc)
            raise
        del self._open[id(call)]
        with reading(self._recorder, call):
            outputs = given.output_tools
            self._recorder.model_finished(
                call,
                message=_as_message(response, {tool.name for tool in outputs}),
                prompt_tokens=response.usage.input_tokens or None,
                completion_tokens=response.usage.output_tokens or None,
                finish_reason={"tool_call": "tool_calls"}.get(
                    response.finish_reason, response.finish_reason
                ),
            )
        return response

    async def _refuse(
        self, context: Any, /, *, call: Any, tool_def: Any, args: Any, error: Any
    ) -> Any:
        """The arguments are not the tool's; the model reads that in other words."""
        text = f"{type(error).__name__}: {error}"
        self._recorder.tool_answered(call.tool_call_id, text, refused=True)
        raise error

    async def _execute(
        self, context: Any, /, *, call: Any, tool_def: Any, args: Any, handler: Any
    ) -> Any:
        started = self._recorder.tool_started(
            call.tool_name, dict(args), call_id=call.tool_call_id, path=self._path
        )
        token = _outer.set(self)
        try:
            result = await handler(args)
        except (ApprovalRequired, CallDeferred):
            self._recorder.tool_interrupted(started)
            raise
        except Exception as exc:
            # What a tool raises for the model is wrapped into the message.
            cause = exc.__cause__
            self._recorder.tool_failed(
                started, cause if isinstance(cause, ModelRetry) else exc
            )
            raise
        finally:
            _outer.reset(token)
        # A ToolReturn carries more than the model gets.
        value = getattr(result, "return_value", result)
        self._recorder.tool_finished(started, value)
        return result


def _messages(message: ModelMessage) -> Iterator[Message]:
    if isinstance(message, ModelResponse):
        yield {"role": "assistant", "content": ""}
        return
    # Files that tools return follow their answers as a user's message.
    for part in message.parts:
        if isinstance(part, SystemPromptPart):
            yield {"role": "system", "content": part.content}
        elif isinstance(part, UserPromptPart):
            content = part.content
            texts = [content] if isinstance(content, str) else content
            text = "".join(text for text in texts if isinstance(text, str))
            yield {"role": "user", "content": text}
    for part in message.parts:
        if isinstance(part, ToolReturnPart):
            yield _answer(part.tool_call_id, part.model_response_str())
        elif isinstance(part, RetryPromptPart):
            yield _answer(part.tool_call_id, part.model_response())


def _as_history(history: Sequence[Message]) -> Iterator[ModelMessage]:
    names = names_of(history)
    for message in history:
        content: str = message["content"]
        match message["role"]:
            case "user":
                yield ModelRequest(parts=[UserPromptPart(content)])
            case "tool":
                call_id = message["tool_call_id"]
                part = ToolReturnPart(names[call_id], content, call_id)
                yield ModelRequest(parts=[part])
            case "assistant":
                parts: list[Any] = [TextPart(content)] if content else []
                for call in message.get("tool_calls", ()):
                    function = call["function"]
                    parts.append(
                        ToolCallPart(
                            function["name"], function["arguments"], call["id"]
                        )
                    )
                yield ModelResponse(parts=parts)
            case _:
                yield ModelRequest(parts=[SystemPromptPart(content)])


def _instructions(messages: list[ModelMessage]) -> str:
    """Those of the agent and the run, which each request has anew."""
    found = (getattr(message, "instructions", None) for message in reversed(messages))
    return next((text for text in found if text), "")


def _answer(call_id: str, content: str) -> Message:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def _as_message(response: ModelResponse, outputs: set[str]) -> Message:
    text, calls = "", []
    for part in response.parts:
        if isinstance(part, TextPart):
            text += part.content
        elif isinstance(part, ToolCallPart):
            arguments = part.args or {}
            if part.tool_name in outputs:
                # A structured answer: no tool runs.
                text += part.args_as_json_str()
            else:
                calls.append((part.tool_call_id, part.tool_name, arguments))
    return assistant(text, calls)
