"""OpenAI's JSON as bytes: bodies, events of a stream and errors.

Imports the standard library only: `agentgym.testing` works without the extras.
"""

from __future__ import annotations

import json
from typing import Any

Json = dict[str, Any]

END_OF_STREAM = b"data: [DONE]\n\n"
"""Closes a stream of completions; one of a response has an event for it."""


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


def error_body(
    message: str, *, kind: str, param: str | None = None, code: str | None = None
) -> Json:
    """An error as OpenAI's clients read it.

    Args:
        message: One clear sentence.
        kind: OpenAI's word, such as "invalid_request_error" or "server_error".
        param: The field that is wrong.
        code: More exact than the kind.
    """
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}
