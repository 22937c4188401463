"""Finds the runs of an agent that an async scenario asked for without `await`."""

from __future__ import annotations

import inspect
from collections.abc import Coroutine, Sequence
from typing import Any

from agentgym.errors import UsageError


def check_awaited(promised: Sequence[tuple[str, Coroutine[Any, Any, Any]]]) -> None:
    """Checks, at the end of a scenario's body, that all runs have begun.

    Args:
        promised: What made each of them, as "agent.run()", and its coroutine.

    Raises:
        UsageError: One has not: the agent was never asked.
    """
    forgotten = [
        (method, run)
        for method, run in promised
        if inspect.getcoroutinestate(run) == inspect.CORO_CREATED
    ]
    for _, run in forgotten:
        # Or Python would warn of it, some time later and without its place.
        run.close()
    if forgotten:
        raise UsageError(
            f"{forgotten[0][0]} was not awaited, so the agent was never asked: write "
            "`await` before it, as async scenarios must"
        )
