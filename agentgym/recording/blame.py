"""Which outcome an exception gives an episode: who caused it."""

from __future__ import annotations

import contextlib
from collections import deque
from enum import StrEnum
from typing import TYPE_CHECKING

from agentgym.endpoint import without_secrets
from agentgym.errors import AgentError, HarnessError, InfraError, SimulatorError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Outcome(StrEnum):
    """An episode's result; only the first two measure the agent."""

    passed = "passed"
    failed = "failed"
    infra_error = "infra_error"
    harness_error = "harness_error"
    simulator_error = "simulator_error"

    @property
    def counts(self) -> bool:
        """Whether it measures the agent."""
        return self in (Outcome.passed, Outcome.failed)


_OWN = (
    (InfraError, Outcome.infra_error),
    (HarnessError, Outcome.harness_error),
    (SimulatorError, Outcome.simulator_error),
    (AgentError, Outcome.failed),
)

# By name, because naming a class must not import its package. A wrong key or model
# name says as little about the agent as a server that is down.
_INFRA_CLASSES = frozenset(
    {
        *("aiohttp.ClientConnectionError", "aiohttp.ClientPayloadError"),
        *("anthropic.APIConnectionError", "anthropic.AuthenticationError"),
        *("anthropic.NotFoundError", "anthropic.PermissionDeniedError"),
        "builtins.ConnectionError",
        *("httpcore.NetworkError", "httpcore.ProtocolError"),
        *("httpcore.TimeoutException", "httpx.TransportError"),
        *("openai.APIConnectionError", "openai.AuthenticationError"),
        *("openai.InternalServerError", "openai.NotFoundError"),
        *("openai.PermissionDeniedError", "openai.RateLimitError"),
        *("requests.ChunkedEncodingError", "requests.ConnectionError"),
        "requests.Timeout",
        *("socket.gaierror", "ssl.SSLError", "urllib.URLError"),
        *("urllib3.MaxRetryError", "urllib3.NewConnectionError"),
        *("urllib3.ProtocolError", "urllib3.TimeoutError"),
    }
)


def classify(
    exc: BaseException, *, from_tool: Callable[[BaseException], bool] | None = None
) -> Outcome:
    """The outcome of an episode that an exception ended.

    Args:
        exc: The exception; its causes and grouped exceptions count, too.
        from_tool: Says which exceptions a tool raised: a tool's connection error is
            not the model's.

    Returns:
        `failed`, which blames the agent, unless something else is to blame.
    """
    for link in chain(exc):
        for kind, outcome in _OWN:
            if isinstance(link, kind):
                return outcome
        if from_tool is not None and from_tool(link):
            return Outcome.failed
        if is_infra(link):
            return Outcome.infra_error
    return Outcome.failed


def is_infra(exc: BaseException) -> bool:
    """Whether the exception itself says that a model server or the network failed."""
    if isinstance(exc, InfraError):
        return True
    if not isinstance(exc, Exception):
        return False
    status = _status(exc)
    if status is not None and (status in (402, 408, 429) or 500 <= status < 600):
        return True
    # urllib's HTTPError is a URLError, but a server that answered is reachable.
    return _has_infra_class(type(exc)) and not (
        status is not None and isinstance(exc, OSError)
    )


def describe(exc: BaseException) -> str:
    """One line of at most 500 characters that names the exception."""
    # Clients write the address that they asked into their errors.
    text = without_secrets(" ".join(str(exc).split()))
    return f"{type(exc).__name__}: {text}"[:500] if text else type(exc).__name__


def chain(exc: BaseException) -> Iterator[BaseException]:
    """The exception, then its causes, contexts and grouped exceptions, nearest first.

    A context that `raise ... from None` hides is among them: it happened all the same.
    """
    seen: set[int] = set()
    queue = deque([exc])
    while queue:
        link = queue.popleft()
        if id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        if isinstance(link, BaseExceptionGroup):
            queue.extend(link.exceptions)
        queue.extend(e for e in (link.__cause__, link.__context__) if e is not None)


def _has_infra_class(kind: type[BaseException]) -> bool:
    return any(
        f"{cls.__module__.partition('.')[0]}.{cls.__name__}" in _INFRA_CLASSES
        for cls in kind.__mro__
    )


def _status(exc: Exception) -> int | None:
    """The HTTP status that an exception carries, under the names in use."""
    response = None
    with contextlib.suppress(Exception):
        response = getattr(exc, "response", None)
    for holder in (exc, response):
        for name in ("status_code", "status", "code"):
            # A property of a foreign exception may raise anything.
            with contextlib.suppress(Exception):
                value = getattr(holder, name, None)
                if isinstance(value, int) and 100 <= value < 600:
                    return int(value)
    return None
