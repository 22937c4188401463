"""Errors, outcomes, and whose doing an exception is.

AgentGymError
├── UsageError            the user's mistake: one clear sentence
├── AgentError            the agent's doing: the episode failed
│   ├── EpisodeTimeout
│   └── ToolCallLimit
├── InfraError            model server, network, rate limit, quota
├── HarnessError          fixture or plugin
└── SimulatorError        a simulated user or judge
EpisodeStopped            ends the thread of an abandoned episode (a BaseException)
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentgym.recorder import Recorder


class Outcome(StrEnum):
    """An episode's result; only the first two measure the agent."""

    passed = "passed"
    failed = "failed"
    infra_error = "infra_error"
    harness_error = "harness_error"
    simulator_error = "simulator_error"


class AgentGymError(Exception):
    """Base of all errors of this package."""


class UsageError(AgentGymError):
    """A mistake of the user; the text says what is wrong, where, and what to do."""


class AgentError(AgentGymError):
    """The agent's doing."""


class EpisodeTimeout(AgentError):
    """The agent did not stop in time."""


class ToolCallLimit(AgentError):
    """The agent called more tools than an episode allows."""


class InfraError(AgentGymError):
    """The model server, the network, a rate limit or a quota."""


class HarnessError(AgentGymError):
    """A fixture, an environment or the plugin."""


class SimulatorError(AgentGymError):
    """A simulated user or a judge."""


class EpisodeStopped(BaseException):
    """Ends the thread of an episode that was abandoned; nothing should catch it."""


_OWN = (
    (InfraError, Outcome.infra_error),
    (HarnessError, Outcome.harness_error),
    (SimulatorError, Outcome.simulator_error),
    (AgentError, Outcome.failed),
)

# By name, because naming a class must not import its package.
_INFRA_CLASSES = frozenset(
    {
        "aiohttp.client_exceptions.ClientConnectionError",
        "anthropic.APIConnectionError",
        "builtins.ConnectionError",
        "httpcore.NetworkError",
        "httpcore.TimeoutException",
        "httpx.TransportError",
        "openai.APIConnectionError",
        "openai.InternalServerError",
        "openai.RateLimitError",
        "requests.exceptions.ConnectionError",
        "requests.exceptions.Timeout",
        "urllib.error.URLError",
        "urllib3.exceptions.HTTPError",
    }
)


def classify(exc: BaseException, *, recorder: Recorder | None = None) -> Outcome:
    """Whose doing an exception is that ended an episode.

    Args:
        exc: The exception; its causes and grouped exceptions are looked at, too.
        recorder: Knows which exceptions a tool raised: a tool's connection error
            is not the model's.

    Returns:
        `failed` (the agent's doing) unless something else is to blame.
    """
    for link in _chain(exc):
        for kind, outcome in _OWN:
            if isinstance(link, kind):
                return outcome
        if recorder is not None and recorder.is_tool_error(link):
            return Outcome.failed
        if is_infra(link):
            return Outcome.infra_error
    return Outcome.failed


def is_infra(exc: BaseException) -> bool:
    """Whether the exception tells of a model server or network that failed."""
    status = getattr(exc, "status_code", None)
    if isinstance(status, int):
        return status == 429 or status >= 500
    return any(
        f"{cls.__module__}.{cls.__name__}" in _INFRA_CLASSES
        or f"{cls.__module__.partition('.')[0]}.{cls.__name__}" in _INFRA_CLASSES
        for cls in type(exc).__mro__
    )


def _chain(exc: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    queue = [exc]
    while queue:
        link = queue.pop(0)
        if id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        if isinstance(link, BaseExceptionGroup):
            queue.extend(link.exceptions)
        queue.extend(e for e in (link.__cause__, link.__context__) if e is not None)
