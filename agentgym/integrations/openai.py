"""Agents that are a loop of their own around an OpenAI client."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from agentgym.errors import UsageError
from agentgym.integrations.messages import assistant, begin
from agentgym.recorder import Recorder, current
from agentgym.trajectory import printed, shorten

if TYPE_CHECKING:
    from agentgym.trajectory import ModelCall

C = TypeVar("C")


def record_openai(client: C) -> C:
    """Records what a client's chat completions ask and answer, streamed ones, too.

    Tool calls are those that the model asks for; their results are read from the
    messages of the next request. Only this client object is changed.

    Args:
        client: An `OpenAI` or `AsyncOpenAI` client.

    Raises:
        UsageError: It is no such client.
    """
    try:
        completions = client.chat.completions  # type: ignore[attr-defined]
        create = completions.create
    except AttributeError:
        raise UsageError(
            f"record_openai({shorten(printed(client), 60)}): give an OpenAI or "
            "AsyncOpenAI client"
        ) from None
    if getattr(create, "recorded_by_agentgym", False):
        return client
    for name in ("create", "parse"):
        method = getattr(completions, name, None)
        if method is not None:
            setattr(completions, name, _recorded(method))
    return client


def _recorded(method: Callable[..., Any]) -> Callable[..., Any]:
    # The client's own decorator hides that its method is async.
    if inspect.iscoroutinefunction(inspect.unwrap(method)):

        @functools.wraps(method)
        async def recorded_async(*args: Any, **kwargs: Any) -> Any:
            recorder = current()
            if recorder is None:
                return await method(*args, **kwargs)
            call = _begin(recorder, kwargs)
            try:
                answer = await method(*args, **kwargs)
            except Exception as exc:
                recorder.model_failed(call, exc)
                raise
            if kwargs.get("stream"):
                stream = _Stream(recorder, call)
                answer._iterator = stream.follow_async(answer._iterator)
            else:
                _end(recorder, call, answer)
            return answer

        recorded: Any = recorded_async
    else:

        @functools.wraps(method)
        def recorded_sync(*args: Any, **kwargs: Any) -> Any:
            recorder = current()
            if recorder is None:
                return method(*args, **kwargs)
            call = _begin(recorder, kwargs)
            try:
                answer = method(*args, **kwargs)
            except Exception as exc:
                recorder.model_failed(call, exc)
                raise
            if kwargs.get("stream"):
                answer._iterator = _Stream(recorder, call).follow(answer._iterator)
            else:
                _end(recorder, call, answer)
            return answer

        recorded = recorded_sync

    recorded.recorded_by_agentgym = True
    return recorded  # type: ignore[no-any-return]


def _begin(recorder: Recorder, request: dict[str, Any]) -> ModelCall:
    """Joins the results in the request to their calls, then starts the model call."""
    messages = list(request.get("messages") or ())
    return begin(recorder, messages, request.get("model"), watched=False)


class _Stream:
    """Puts a streamed answer together while the agent reads it."""

    def __init__(self, recorder: Recorder, call: ModelCall) -> None:
        self._recorder = recorder
        self._call = call
        self._text: list[str] = []
        self._calls: dict[int, list[str]] = {}
        self._told = False

    def follow(self, chunks: Iterator[Any]) -> Iterator[Any]:
        try:
            for chunk in chunks:
                self._read(chunk)
                yield chunk
        except Exception as exc:
            self._recorder.model_failed(self._call, exc)
            raise
        self._finish(None)

    async def follow_async(self, chunks: AsyncIterator[Any]) -> AsyncIterator[Any]:
        try:
            async for chunk in chunks:
                self._read(chunk)
                yield chunk
        except Exception as exc:
            self._recorder.model_failed(self._call, exc)
            raise
        self._finish(None)

    def _read(self, chunk: Any) -> None:
        if chunk.usage is not None:
            # It comes last, after the message's end.
            self._call.prompt_tokens = chunk.usage.prompt_tokens
            self._call.completion_tokens = chunk.usage.completion_tokens
        for choice in chunk.choices[:1]:
            self._text.append(choice.delta.content or "")
            for part in choice.delta.tool_calls or ():
                call = self._calls.setdefault(part.index, ["", "", ""])
                call[0] += part.id or ""
                if part.function is not None:
                    call[1] += part.function.name or ""
                    call[2] += part.function.arguments or ""
            if choice.finish_reason is not None:
                # An agent may run its tools without reading to the end.
                self._finish(choice.finish_reason)

    def _finish(self, reason: str | None) -> None:
        if self._told:
            return
        self._told = True
        calls = [tuple(call) for _, call in sorted(self._calls.items())]
        self._recorder.model_finished(
            self._call,
            message=assistant("".join(self._text), calls),  # type: ignore[arg-type]
            finish_reason=reason,
        )


def _end(recorder: Recorder, call: ModelCall, answer: Any) -> None:
    choice = answer.choices[0]
    calls = [
        (request.id, request.function.name, request.function.arguments)
        for request in choice.message.tool_calls or ()
        if getattr(request, "function", None) is not None
    ]
    usage = answer.usage
    recorder.model_finished(
        call,
        message=assistant(choice.message.content, calls),
        prompt_tokens=None if usage is None else usage.prompt_tokens,
        completion_tokens=None if usage is None else usage.completion_tokens,
        finish_reason=choice.finish_reason,
    )
