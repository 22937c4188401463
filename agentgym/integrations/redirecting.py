"""Sees that a redirected agent asks the policy, and nobody else in its place.

Each framework's adapter exchanges the models that it finds. A model that the agent
makes while it runs, or a client that a node keeps to itself, is found by none: what it
answers would be measured as if the policy had said it. OpenAI's client, which all
frameworks ask with, is therefore watched where it sends a request.
"""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from agentgym.endpoint import without_secrets
from agentgym.errors import UsageError
from agentgym.integrations.messages import RECORDED

if TYPE_CHECKING:
    from agentgym.endpoint import PolicyEndpoint
    from agentgym.recording.recorder import Recorder

T = TypeVar("T")

_ASKING = ("/chat/completions", "/completions", "/responses")
_CREDENTIALS = ("authorization", "api-key", "x-api-key", "cookie")


@dataclass(frozen=True, slots=True)
class _Guard:
    policy: PolicyEndpoint
    recorder: Recorder


_guard: ContextVar[_Guard | None] = ContextVar("agentgym_redirected", default=None)


@contextlib.contextmanager
def guarded(policy: PolicyEndpoint | None, recorder: Recorder) -> Iterator[None]:
    """Refuses, in what runs in this context, model calls that go to another model.

    Args:
        policy: What the agent was redirected to; None if it was not.
        recorder: Of the episode.
    """
    if policy is None:
        yield
        return
    _watch_clients()
    token = _guard.set(_Guard(policy, recorder))
    try:
        yield
    finally:
        _guard.reset(token)


def warn_elsewhere(asked: str) -> None:
    """Says, once, that a model call is recorded which did not go to the policy.

    Args:
        asked: Which model, as the agent knows it.
    """
    if asked not in _warned:
        _warned.add(asked)
        text = f"{_elsewhere(asked)}; its calls are recorded under its own name"
        warnings.warn(text, stacklevel=2)


_warned: set[str] = set()


def _elsewhere(asked: str) -> str:
    return f"redirect(): the agent asks {asked}, which was not redirected to the policy"


@functools.cache
def _watch_clients() -> None:
    with contextlib.suppress(ImportError):
        from openai import _base_client

        sync: Any = _base_client.SyncAPIClient
        asynchronous: Any = _base_client.AsyncAPIClient
        sync.request = _watched(sync.request)
        asynchronous.request = _watched(asynchronous.request)


def _watched(own: Any) -> Any:
    @functools.wraps(own)
    def request(
        self: Any, cast_to: Any, options: Any, *rest: Any, **kwargs: Any
    ) -> Any:
        guard = _guard.get()
        if guard is not None and str(options.url).endswith(_ASKING):
            _check(guard, self, options)
        return own(self, cast_to, options, *rest, **kwargs)

    return request


def _check(guard: _Guard, client: Any, options: Any) -> None:
    recorder = guard.recorder
    given = options.json_data
    model = given.get("model") if isinstance(given, Mapping) else None
    url, policy = str(client.base_url).rstrip("/"), guard.policy.base_url.rstrip("/")
    if url == policy and model in (guard.policy.model, None):
        return
    if url == policy.removesuffix("/v1") + "/any/v1":
        # There the policy goes by whatever name: see `policy_environment`.
        return
    others = any(call.model != guard.policy.model for call in recorder.asking)
    if others or hasattr(client, RECORDED):
        # It is recorded as what it is.
        warn_elsewhere(str(model))
    elif not recorder.tool_runs():
        # What a tool asks of a model of its own is the tool's doing.
        recorder.refuse(
            UsageError(
                f"{_elsewhere(f'{model} at {without_secrets(url)}')}, nor recorded: "
                "build the agent in the `agent` fixture with the policy's base_url, "
                "api_key and model, and redirect nothing"
            )
        )


def client_settings(own: Any) -> dict[str, Any]:
    """How a client of OpenAI's asks, for one that asks the policy.

    Args:
        own: The agent's; None, or whatever else, has no settings.

    Returns:
        Time-out, headers and query parameters that were given, but no credentials.
    """
    found: dict[str, Any] = {}
    headers = getattr(own, "_custom_headers", None)
    if isinstance(headers, Mapping):
        found["default_headers"] = plain_headers(headers)
    query = getattr(own, "_custom_query", None)
    if isinstance(query, Mapping):
        found["default_query"] = dict(query)
    timeout = getattr(own, "timeout", None)
    if isinstance(timeout, int | float):
        found["timeout"] = timeout
    return {name: value for name, value in found.items() if value}


def plain_headers(headers: Mapping[str, T]) -> dict[str, T]:
    """The headers without credentials, which are for another server.

    Args:
        headers: By their names, in whatever case.
    """
    return {k: v for k, v in headers.items() if k.lower() not in _CREDENTIALS}
