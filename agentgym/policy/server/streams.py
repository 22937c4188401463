"""A streamed reply as server-sent events, in either of OpenAI's APIs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from starlette.responses import Response, StreamingResponse

from agentgym.policy.server.openai_http import Chunks
from agentgym.policy.server.openai_json import END_OF_STREAM, sse_event
from agentgym.policy.server.responses_reply import ResponseStream


def streamed_chat(chunks: Chunks) -> Response:
    """The answer of /v1/chat/completions."""
    return StreamingResponse(_chat(chunks), media_type="text/event-stream")


def streamed_response(body: dict[str, Any], chunks: Chunks) -> Response:
    """The answer of /v1/responses.

    Args:
        body: The request for it.
        chunks: The reply as a chat completion.
    """
    return StreamingResponse(_response(body, chunks), media_type="text/event-stream")


async def _chat(chunks: Chunks) -> AsyncIterator[bytes]:
    async with aclosing(chunks):
        async for chunk in chunks:
            yield sse_event(chunk)
            if "error" in chunk:
                return
    yield END_OF_STREAM


async def _response(body: dict[str, Any], chunks: Chunks) -> AsyncIterator[bytes]:
    stream = ResponseStream(body)
    async with aclosing(chunks):
        async for chunk in chunks:
            for part in stream.events(chunk):
                yield sse_event(part, part["type"])
    for part in stream.end():
        yield sse_event(part, part["type"])
