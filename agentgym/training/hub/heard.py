"""When runners on other machines were last heard of."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from agentgym.training.job.task import RUNNER_HEADER

SILENT_SECONDS = 60.0
"""After so long a runner is lost, or its network: it says something every few."""


@dataclass(slots=True)
class Heard:
    """An ASGI layer that notes who asks.

    Attributes:
        app: What answers.
    """

    app: ASGIApp
    _last: dict[str, float] = field(default_factory=dict)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one connection.

        Args:
            scope: Of the request.
            receive: Gives its body.
            send: Takes the answer.
        """
        if scope["type"] == "http":
            runner = Headers(scope=scope).get(RUNNER_HEADER)
            if runner is not None:
                self._last[runner] = time.monotonic()
        await self.app(scope, receive, send)

    def silent(self) -> tuple[str, ...]:
        """Runners that were heard of, and are no more."""
        since = time.monotonic() - SILENT_SECONDS
        return tuple(name for name, last in list(self._last.items()) if last < since)
