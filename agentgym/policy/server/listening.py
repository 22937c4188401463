"""uvicorn, set up for a port that strangers can reach."""

from __future__ import annotations

import asyncio
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

MOST_CONNECTIONS = 1000
"""At a time. Episodes in flight are at most 256, and each has few clients."""
HEAD_SECONDS = 30.0
"""How long the head of a request may take to come; the first one of a connection from
when that was opened."""
_HEAD_BYTES = 64 * 1024


class _Protocol(H11Protocol):
    """Closes a connection whose request does not come."""

    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._answers:
            self._stop_waiting()
        elif self._waiting is None:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop_waiting()

    @property
    def _answers(self) -> bool:
        """Whether a request has come that is not answered yet."""
        return self.cycle is not None and not self.cycle.response_complete

    def _wait(self) -> None:
        self._waiting = self.loop.call_later(HEAD_SECONDS, self._late)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _late(self) -> None:
        self._waiting = None
        if not self._answers:
            self.transport.close()


def configured(app: ASGIApp, **settings: Any) -> uvicorn.Config:
    """The configuration of a server.

    Its parser is h11, which limits the head of a request; httptools does not.

    Args:
        app: What answers.
        settings: Of uvicorn, besides those that are the same for all.
    """
    return uvicorn.Config(
        app,
        http=_Protocol,
        h11_max_incomplete_event_size=_HEAD_BYTES,
        limit_concurrency=MOST_CONNECTIONS,
        ws="none",
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        **settings,
    )
