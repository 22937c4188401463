"""One event loop in a thread, on which async agents play in sync scenarios."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")

_door = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None


def run(awaitable: Awaitable[T]) -> T:
    """Waits, outside of any event loop, for what an async agent does.

    All agents of the process share the loop, so that they can share a client, too.
    The caller's context variables are seen.

    Args:
        awaitable: What is awaited; cancelled if the caller is interrupted.
    """
    future = asyncio.run_coroutine_threadsafe(_settle(awaitable), _running_loop())
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


async def _settle(awaitable: Awaitable[T]) -> T:
    return await awaitable


def _running_loop() -> asyncio.AbstractEventLoop:
    global _loop
    with _door:
        if _loop is None:
            _loop = asyncio.new_event_loop()
            threading.Thread(
                target=_run_forever, args=(_loop,), name="agentgym-agents", daemon=True
            ).start()
        return _loop


def _run_forever(loop: asyncio.AbstractEventLoop) -> None:
    while True:
        # One agent's SystemExit ends the loop's run; the others' episodes go on.
        with contextlib.suppress(KeyboardInterrupt, SystemExit):
            loop.run_forever()
