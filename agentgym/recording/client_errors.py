"""What clients raise when a server refuses or is lost, and where the status is in it.

Classes go by name, because naming one must not import its package.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

MODEL_CLIENTS = frozenset(
    {
        *("ai21", "anthropic", "cerebras", "cohere", "fireworks", "google.genai"),
        *("groq", "huggingface_hub", "litellm", "mistralai", "ollama", "openai"),
        *("replicate", "together", "xai_sdk", "zhipuai"),
    }
)
"""Packages whose exceptions are a model server's, wherever they are raised."""

_LOST = frozenset(
    {
        *("aiohttp.ClientConnectionError", "aiohttp.ClientPayloadError"),
        *("botocore.ConnectionError", "botocore.HTTPClientError"),
        *("botocore.NoCredentialsError", "botocore.PartialCredentialsError"),
        "builtins.ConnectionError",
        *("google.DefaultCredentialsError", "google.RefreshError"),
        *("google.RetryError", "google.TransportError"),
        *("http.BadStatusLine", "http.IncompleteRead"),
        *("httpcore.NetworkError", "httpcore.ProtocolError"),
        *("httpcore.TimeoutException", "httpx.TransportError"),
        *("httpcore2.NetworkError", "httpcore2.ProtocolError"),
        *("httpcore2.TimeoutException", "httpx2.TransportError"),
        *("requests.ChunkedEncodingError", "requests.ConnectionError"),
        "requests.Timeout",
        *("socket.gaierror", "ssl.SSLError", "urllib.URLError"),
        *("urllib3.MaxRetryError", "urllib3.NewConnectionError"),
        *("urllib3.ProtocolError", "urllib3.TimeoutError"),
        "websockets.ConnectionClosedError",
    }
)
"""A connection that was refused, broken off, too slow, or never possible."""

_OF_MODELS = frozenset(
    {
        *("APIConnectionError", "AuthenticationError", "InternalServerError"),
        *("NoResponseError", "NotFoundError", "PermissionDeniedError"),
        "RateLimitError",
    }
)
"""The same and refusals, in the words of most clients of models."""

_REFUSED = frozenset({401, 402, 403, 404, 407, 408, 409, 425, 429})
"""What a model server's refusal says nothing of the agent by.

A wrong key or model name says as little about the agent as a server that is down.
"""
_OVERLOADED = frozenset({402, 408, 429})
"""What a server of any kind answers when it has no time, or no more money."""

_BY_NAME = {
    # gRPC, and Google's names of the same.
    "ABORTED": 409,
    "CANCELLED": 499,
    "DEADLINE_EXCEEDED": 504,
    "INTERNAL": 500,
    "NOT_FOUND": 404,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "UNAUTHENTICATED": 401,
    "UNAVAILABLE": 503,
    # AWS.
    "AccessDeniedException": 403,
    "ExpiredTokenException": 401,
    "InternalServerException": 500,
    "ModelNotReadyException": 429,
    "ModelStreamErrorException": 500,
    "ModelTimeoutException": 408,
    "ResourceNotFoundException": 404,
    "ServiceQuotaExceededException": 429,
    "ServiceUnavailableException": 503,
    "ThrottlingException": 429,
    "TooManyRequestsException": 429,
    "UnrecognizedClientException": 403,
}
"""Statuses that are words."""

_THE_AGENTS = (
    *("invalid_request", "invalid_argument", "context_length", "content_filter"),
    *("content_policy", "unprocessable", "string_above_max", "validation"),
)
"""Words in an error's type or code that blame the request, as a status of 400 does."""


def is_servers(exc: Exception, *, asking: bool) -> bool:
    """Whether an exception says that a server refused, failed or was not reached.

    Args:
        exc: Of whichever client.
        asking: Whether it was raised while a model was asked, and not by a tool.
    """
    kinds = type(exc).__mro__
    model = asking or any(map(_is_model_client, kinds))
    status = status_of(exc)
    if status is not None:
        if status in (_REFUSED if model else _OVERLOADED) or 500 <= status < 600:
            return True
        if model and 200 <= status < 300:
            # The client could not use what it got.
            return True
    elif model and type(exc).__name__ == "APIError":
        # Stainless' clients raise it itself for an error in a stream.
        return error_status(getattr(exc, "body", None)) != 400
    elif asking and isinstance(exc, TimeoutError):
        return True
    # urllib's HTTPError is a URLError, but a server that answered is reachable.
    return any(map(_is_lost, kinds)) and not (
        status is not None and isinstance(exc, OSError)
    )


def status_of(exc: BaseException) -> int | None:
    """The HTTP status that an exception carries, wherever its client keeps it."""
    for place in _PLACES:
        for value in place(exc):
            status = _as_status(value)
            if status is not None:
                return status
    return None


def error_status(error: Any) -> int:
    """The status that an `error` in a body or a stream stands for.

    Args:
        error: The value of `error`: a text, or an object with `code`, `type`.

    Returns:
        400 if it blames the request; 500 where it does not say.
    """
    if not isinstance(error, Mapping):
        return 500
    told = [error.get(name) for name in ("status", "code", "type")]
    for value in told:
        status = _as_status(value)
        if status is not None:
            return status
    words = " ".join(value.lower() for value in told if isinstance(value, str))
    return 400 if any(word in words for word in _THE_AGENTS) else 500


def _of(holder: Any, name: str) -> Any:
    # A property of a foreign exception may raise anything.
    with contextlib.suppress(Exception):
        value = getattr(holder, name, None)
        # gRPC's code is a method.
        return value() if name == "code" and callable(value) else value
    return None


def _attributes(holder: Any) -> Iterator[Any]:
    for name in ("status_code", "status", "http_status", "code"):
        yield _of(holder, name)


def _aws(exc: Any) -> Iterator[Any]:
    response = _of(exc, "response")
    for holder, name in (("ResponseMetadata", "HTTPStatusCode"), ("Error", "Code")):
        if isinstance(response, Mapping) and isinstance(response.get(holder), Mapping):
            yield response[holder].get(name)


_PLACES: tuple[Callable[[Any], Iterator[Any]], ...] = (
    # openai, anthropic, groq, together, litellm, cohere, mistral, ollama, google-genai,
    # aiohttp, urllib, grpc
    _attributes,
    # httpx, requests, huggingface_hub, azure
    lambda exc: _attributes(_of(exc, "response")),
    # mistral, where it could not read the body
    lambda exc: _attributes(_of(exc, "raw_response")),
    # botocore
    _aws,
)
"""Where statuses are, the likeliest place first."""


def _as_status(value: Any) -> int | None:
    name = getattr(value, "name", value)
    if isinstance(value, int):
        return int(value) if 100 <= value < 600 else None
    if isinstance(name, str):
        if name.isdecimal() and len(name) == 3:
            return _as_status(int(name))
        return _BY_NAME.get(name)
    return None


def _is_lost(kind: type) -> bool:
    if f"{kind.__module__.partition('.')[0]}.{kind.__name__}" in _LOST:
        return True
    return kind.__name__ in _OF_MODELS and _is_model_client(kind)


def _is_model_client(kind: type) -> bool:
    parts = kind.__module__.split(".", 2)
    return parts[0] in MODEL_CLIENTS or ".".join(parts[:2]) in MODEL_CLIENTS
