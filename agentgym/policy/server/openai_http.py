"""OpenAI's HTTP: bodies, errors and streams. Imports neither torch nor transformers.

The policy server and the training's hub answer with the same.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Any

from starlette.responses import Response

Json = dict[str, Any]

Chunks = AsyncGenerator[Json, None]
"""What /v1/chat/completions streams; the last may be an error."""

END_OF_STREAM = b"data: [DONE]\n\n"
"""Closes a stream of completions; one of a response has an event for it."""


class BadRequestError(ValueError):
    """The client's mistake; the text is one clear sentence.

    Args:
        message: The sentence.
        status: Of the answer.
        param: The field that is wrong.
    """

    def __init__(
        self, message: str, *, status: int = 400, param: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.param = param


def read_object(body: bytes) -> Json:
    """Reads a body that holds a JSON object.

    Raises:
        BadRequestError: It holds none.
    """
    try:
        content = json.loads(body)
    except ValueError as error:
        raise BadRequestError(f"the body is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise BadRequestError("the body is no JSON object")
    return content


def encode(data: Any) -> bytes:
    """Compact JSON; a text that is no valid Unicode is escaped."""
    return json.dumps(data, separators=(",", ":")).encode()


def sse_event(data: Any, name: str | None = None) -> bytes:
    """A server-sent event.

    Args:
        data: What JSON can hold.
        name: The event's; completions have none, responses do.
    """
    head = b"" if name is None else f"event: {name}\n".encode()
    return head + b"data: " + encode(data) + b"\n\n"


def error_body(message: str, *, kind: str, param: str | None = None) -> Json:
    """An error as OpenAI's clients read it.

    Args:
        message: One clear sentence.
        kind: OpenAI's word, such as "invalid_request_error" or "server_error".
        param: The field that is wrong.
    """
    return {"error": {"message": message, "type": kind, "param": param, "code": None}}


def json_response(data: Any, status: int = 200) -> Response:
    """An answer in one piece.

    Args:
        data: What JSON can hold.
        status: Of the answer.
    """
    return Response(encode(data), status, media_type="application/json")


def error_response(
    message: str,
    status: int,
    *,
    kind: str = "invalid_request_error",
    param: str | None = None,
) -> Response:
    """An error as an answer.

    Args:
        message: One clear sentence.
        status: 400 or more.
        kind: OpenAI's word for it.
        param: The field that is wrong.
    """
    return json_response(error_body(message, kind=kind, param=param), status)
