"""One event loop in a thread: for async agents in sync scenarios, judges and users."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
import traceback
from asyncio import selector_events
from collections.abc import Awaitable
from concurrent.futures import Future
from typing import Any, TypeVar

from agentgym.errors import HarnessError
from agentgym.recording.blame import describe

T = TypeVar("T")

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None


def run(awaitable: Awaitable[T]) -> T:
    """Waits, outside of any event loop, for what an async agent does.

    All agents of the process share the loop, so that they can share a client, too.
    The caller's context variables are seen.

    Args:
        awaitable: What is awaited; cancelled if the caller is interrupted.
    """
    future = submit(awaitable)
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


def submit(awaitable: Awaitable[T]) -> Future[T]:
    """Begins to await something on the loop; the same for who cannot wait here."""
    loop = _running_loop()
    return asyncio.run_coroutine_threadsafe(_settle(awaitable), loop)


def new_loop() -> asyncio.AbstractEventLoop:
    """An event loop.

    Raises:
        HarnessError: None can be made, as where a plugin forbids all sockets: a loop
            wakes itself up by a pair of them.
    """
    try:
        return asyncio.new_event_loop()
    except Exception as exc:
        _forget_half_made(exc)
        raise HarnessError(
            f"an event loop cannot be made: {describe(exc)} (pytest-socket: "
            "--allow-unix-socket allows the sockets that it needs)"
        ) from exc


def _forget_half_made(exc: BaseException) -> None:
    """Lets a loop that could not be made go in silence.

    Its `__del__` would close a pair of sockets that it has not got, and Python would
    print a traceback of that for each one, long after the sentence that says why.
    """
    for frame, _ in traceback.walk_tb(exc.__traceback__):
        half: Any = frame.f_locals.get("self")
        if isinstance(half, asyncio.BaseEventLoop):
            half._closed = True  # type: ignore[attr-defined]


def is_running() -> bool:
    """Whether the caller is within an event loop, as async scenarios are."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def _settle(awaitable: Awaitable[T]) -> T:
    return await awaitable


def _running_loop() -> asyncio.AbstractEventLoop:
    global _loop
    with _lock:
        if _loop is None:
            _loop = new_loop()
            threading.Thread(
                target=_run_forever, args=(_loop,), name="agentgym-agents", daemon=True
            ).start()
        return _loop


def _mend_transports() -> None:
    """Keeps connections that are garbage from closing those of other agents.

    OpenAI's async clients close themselves when they are collected, later and in the
    loop, after the collection has closed their sockets. By then a new connection may
    have the file number, and the loop would stop to listen to that one: its agent waits
    for good. See https://github.com/python/cpython/issues/130141.
    """
    transport: Any = selector_events._SelectorTransport  # type: ignore[attr-defined]
    own = transport.__del__

    @functools.wraps(own)
    def collected(self: Any) -> None:
        own(self)
        # So `close` and `abort` find nothing more to do.
        self._closing = True
        self._conn_lost += 1

    transport.__del__ = collected


def _run_forever(loop: asyncio.AbstractEventLoop) -> None:
    while True:
        # One agent's SystemExit ends the loop's run; the others' episodes go on.
        with contextlib.suppress(KeyboardInterrupt, SystemExit):
            loop.run_forever()


# Here, as every agent comes through this module, whichever loop it runs on.
_mend_transports()
