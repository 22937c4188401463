"""OpenAI's HTTP: requests and answers. Imports neither torch nor transformers.

The policy server and the training's hub answer with the same.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Any

from starlette.responses import Response

from agentgym.policy.server.openai_json import Json, encode, error_body

Chunks = AsyncGenerator[Json, None]
"""What /v1/chat/completions streams; the last may be an error."""


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
    except RecursionError:
        raise BadRequestError("the body is nested too deeply") from None
    except ValueError as error:
        raise BadRequestError(f"the body is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise BadRequestError("the body is no JSON object")
    return content


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
