"""A streamed reply as server-sent events, in either of OpenAI's APIs."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from starlette.responses import Response, StreamingResponse

from agentgym.policy.server import responses, wire

Chunks = AsyncGenerator[dict[str, Any], None]
"""What /v1/chat/completions streams; the last may be an error."""


def streamed_chat(chunks: Chunks) -> Response:
    """The answer of /v1/chat/completions."""
    return StreamingResponse(_chat(chunks), media_type="text/event-stream")


def streamed_response(body: dict[str, Any], chunks: Chunks) -> Response:
    """The answer of /v1/responses to the request ``body``."""
    return StreamingResponse(_response(body, chunks), media_type="text/event-stream")


async def _chat(chunks: Chunks) -> AsyncIterator[bytes]:
    async with aclosing(chunks):
        async for chunk in chunks:
            yield b"data: " + wire.encode(chunk) + b"\n\n"
            if "error" in chunk:
                return
    yield b"data: [DONE]\n\n"


async def _response(body: dict[str, Any], chunks: Chunks) -> AsyncIterator[bytes]:
    stream = responses.ResponseStream(body)
    async with aclosing(chunks):
        async for chunk in chunks:
            for event in stream.events(chunk):
                yield responses.encode(event)
    for event in stream.end():
        yield responses.encode(event)
