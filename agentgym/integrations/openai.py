"""Agents that are a loop of their own around an OpenAI client."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from agentgym.errors import UsageError
from agentgym.integrations.answering.client_watch import (
    ChatCall,
    RecordedExchange,
    ResponsesCall,
    record_client,
    recording,
)
from agentgym.integrations.messages import RECORDED
from agentgym.recording.plain import printed, shorten

C = TypeVar("C")


def record_openai(client: C) -> C:
    """Records what a client's chat completions and responses ask and answer.

    Tool calls are those that the model asks for; their results are read from the
    messages of the next request. Streams are recorded as they are read, raw and
    streamed responses likewise. The agent is given what the client alone would give it.
    Only this client, and those that `copy` and `with_options` make of it, record.

    Args:
        client: An `OpenAI` or `AsyncOpenAI` client, or one of its kind.

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
    if getattr(create, RECORDED, False) or record_client(client):
        return client
    _record(completions, ChatCall)
    responses = getattr(client, "responses", None)
    if responses is not None:
        _record(responses, ResponsesCall)
    return client


def _record(resource: Any, kind: type[RecordedExchange]) -> None:
    """Records the methods of a client of another make, which looks like OpenAI's."""
    for name in ("create", "parse"):
        method = getattr(resource, name, None)
        if method is not None:
            setattr(resource, name, _recorded(method, kind))


def _recorded(
    method: Callable[..., Any], kind: type[RecordedExchange]
) -> Callable[..., Any]:
    # A client's own decorator may hide that its method is async.
    if inspect.iscoroutinefunction(inspect.unwrap(method)):

        @functools.wraps(method)
        async def recorded_async(*args: Any, **kwargs: Any) -> Any:
            recorder = recording()
            if recorder is None:
                return await method(*args, **kwargs)
            with kind(recorder, kwargs, bool(kwargs.get("stream"))) as exchange:
                answer = await method(*args, **kwargs)
            return exchange.take(answer)

        recorded: Any = recorded_async
    else:

        @functools.wraps(method)
        def recorded_sync(*args: Any, **kwargs: Any) -> Any:
            recorder = recording()
            if recorder is None:
                return method(*args, **kwargs)
            with kind(recorder, kwargs, bool(kwargs.get("stream"))) as exchange:
                answer = method(*args, **kwargs)
            return exchange.take(answer)

        recorded = recorded_sync

    setattr(recorded, RECORDED, True)
    return recorded  # type: ignore[no-any-return]
