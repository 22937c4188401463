"""Agents that are a loop of their own around an OpenAI client."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, TypeVar

from agentgym.errors import UsageError
from agentgym.recorder import Recorder, current
from agentgym.trajectory import printed, shorten

if TYPE_CHECKING:
    from agentgym.trajectory import Message, ModelCall

C = TypeVar("C")


def record_openai(client: C) -> C:
    """Records what a client's `chat.completions.create` asks and answers.

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

    if inspect.iscoroutinefunction(create):

        @functools.wraps(create)
        async def recorded_async(*args: Any, **kwargs: Any) -> Any:
            recorder = current()
            if recorder is None:
                return await create(*args, **kwargs)
            call = _begin(recorder, kwargs)
            try:
                answer = await create(*args, **kwargs)
            except Exception as exc:
                recorder.model_failed(call, exc)
                raise
            _end(recorder, call, answer)
            return answer

        recorded: Any = recorded_async
    else:

        @functools.wraps(create)
        def recorded_sync(*args: Any, **kwargs: Any) -> Any:
            recorder = current()
            if recorder is None:
                return create(*args, **kwargs)
            call = _begin(recorder, kwargs)
            try:
                answer = create(*args, **kwargs)
            except Exception as exc:
                recorder.model_failed(call, exc)
                raise
            _end(recorder, call, answer)
            return answer

        recorded = recorded_sync

    recorded.recorded_by_agentgym = True
    completions.create = recorded
    return client


def _begin(recorder: Recorder, request: dict[str, Any]) -> ModelCall:
    """Joins the results in the request to their calls, then starts the model call."""
    if request.get("stream"):
        raise UsageError(
            "record_openai cannot follow stream=True: let the agent ask without it"
        )
    answers = []
    for message in reversed(list(request.get("messages") or ())):
        if _field(message, "role") != "tool":
            break
        answers.append(message)
    for message in reversed(answers):
        content = _field(message, "content")
        recorder.tool_answered(
            str(_field(message, "tool_call_id")),
            content if isinstance(content, str) else _text(content),
        )
    return recorder.model_started(request.get("model"))


def _end(recorder: Recorder, call: ModelCall, answer: Any) -> None:
    choice = answer.choices[0]
    message: Message = {"role": "assistant", "content": choice.message.content or ""}
    calls = [
        {
            "id": request.id,
            "type": "function",
            "function": {
                "name": request.function.name,
                "arguments": request.function.arguments,
            },
        }
        for request in choice.message.tool_calls or ()
        if getattr(request, "function", None) is not None
    ]
    if calls:
        message["tool_calls"] = calls
    usage = answer.usage
    recorder.model_finished(
        call,
        message=message,
        prompt_tokens=None if usage is None else usage.prompt_tokens,
        completion_tokens=None if usage is None else usage.completion_tokens,
        finish_reason=choice.finish_reason,
    )


def _field(message: Any, name: str) -> Any:
    return (
        message.get(name) if isinstance(message, dict) else getattr(message, name, None)
    )


def _text(content: Any) -> str:
    parts = content if isinstance(content, list) else []
    return "".join(str(p.get("text", "")) for p in parts if isinstance(p, dict))
