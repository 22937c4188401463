"""Finds the runs of an agent that an async scenario began without `await`."""

from __future__ import annotations

import inspect
from collections.abc import Coroutine
from typing import Any, TypeVar

from agentgym.errors import UsageError

T = TypeVar("T")


class PromisedRuns:
    """What an async scenario was promised, and has to await."""

    def __init__(self) -> None:
        self._promised: list[tuple[str, Coroutine[Any, Any, Any]]] = []

    def add(self, method: str, run: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]:
        """Notes a run that begins once it is awaited; returns it.

        Args:
            method: What made it, as "agent.run()".
            run: The coroutine.
        """
        self._promised.append((method, run))
        return run

    def check(self) -> None:
        """Checks, at the end of the scenario's body, that all of them have begun.

        Raises:
            UsageError: One has not: the agent was never asked.
        """
        forgotten = [
            (method, run)
            for method, run in self._promised
            if inspect.getcoroutinestate(run) == inspect.CORO_CREATED
        ]
        for _, run in forgotten:
            # Or Python would warn of it, some time later and without its place.
            run.close()
        if forgotten:
            method = forgotten[0][0]
            raise UsageError(
                f"{method} was not awaited, so the agent was never asked: write "
                "`await` before it, as async scenarios must"
            )
