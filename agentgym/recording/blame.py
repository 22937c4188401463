"""Which outcome an exception gives an episode: who caused it."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator
from enum import StrEnum

from agentgym.endpoint import without_secrets
from agentgym.errors import AgentError, HarnessError, InfraError, SimulatorError
from agentgym.recording.client_errors import is_servers
from agentgym.recording.plain import printed


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

# What a client that reads an answer stumbles over when the answer is none.
_UNREADABLE = (json.JSONDecodeError, AttributeError, LookupError, TypeError)

Judge = Callable[[BaseException], Outcome | None]
"""Says which outcome an exception gives, or None if it cannot say."""

_judges: list[Judge] = []


def register_judge(judge: Judge) -> Callable[[], None]:
    """Lets somebody say which outcome exceptions give, before the tables do.

    Args:
        judge: Asked of each exception that ends an episode, and of its causes.

    Returns:
        What takes it away again.
    """
    _judges.append(judge)
    return lambda: _judges.remove(judge)


def classify(
    exc: BaseException,
    *,
    from_tool: Callable[[BaseException], bool] | None = None,
    asking: Callable[[BaseException], bool] | None = None,
) -> Outcome:
    """The outcome of an episode that an exception ended.

    Args:
        exc: The exception; its causes and grouped exceptions count, too.
        from_tool: Says which exceptions a tool raised: a tool's connection error is
            not the model's.
        asking: Says which exceptions left the agent or a call of its model: there a
            404 is the model server's; elsewhere it may be anybody's.

    Returns:
        `failed`, which blames the agent, unless something else is to blame.
    """
    asked = False
    for link in chain(exc):
        for kind, outcome in _OWN:
            if isinstance(link, kind):
                return outcome
        for judge in _judges:
            judged = judge(link)
            if judged is not None:
                return judged
        if from_tool is not None and from_tool(link):
            return Outcome.failed
        asked = asked or (asking is not None and asking(link))
        if isinstance(link, Exception) and is_servers(link, asking=asked):
            return Outcome.infra_error
    return Outcome.failed


def fails_asking(exc: BaseException, *, unread: bool = True) -> bool:
    """Whether infrastructure is to blame for what a call of a model raised.

    Args:
        exc: What it raised.
        unread: Whether the answer may not have been one: what an integration raises
            when it reads `choices` that are none is then the server's.
    """
    if classify(exc, asking=lambda _: True) is Outcome.infra_error:
        return True
    return unread and any(isinstance(link, _UNREADABLE) for link in chain(exc))


def describe(exc: BaseException) -> str:
    """One line of at most 500 characters that names the exception."""
    # Clients write the address that they asked into their errors.
    text = without_secrets(" ".join(printed(exc, str)[:10_000].split()))
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
