"""A policy served within this process, to clients of OpenAI's API, without a port.

The policy server's own application answers, on an event loop in the background. httpx
hands it each request in the place of a network; an answer that streams arrives whole.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from concurrent.futures import CancelledError, Future
from pathlib import Path
from typing import Any

import httpx

from agentgym.endpoint import PolicyEndpoint
from agentgym.policy.engine.engine import Engine
from agentgym.policy.engine.loading import load
from agentgym.policy.server.routes import PolicyServer

# No client ever looks the name up.
_URL = "http://in-process/v1"


class InProcessPolicy:
    """A loaded model whose clients are in this process.

    Attributes:
        endpoint: Its URL means something only to `transport`.
        transport: For `httpx.Client` and `httpx.AsyncClient`.
    """

    def __init__(
        self,
        model: Path,
        *,
        adapter: Path,
        name: str,
        template: Mapping[str, Any] | None = None,
    ) -> None:
        """Loads the model.

        Args:
            model: Folder of a local Hugging Face model.
            adapter: Folder of its LoRA adapter.
            name: Name of the model in the API.
            template: Variables of the chat template.

        Raises:
            UsageError: The model or its adapter cannot be used.
        """
        policy = load(model, name=name, template=template)
        engine = Engine(policy, adapter=adapter)
        self._server = PolicyServer(engine)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._run, name="agentgym-in-process", daemon=True
        )
        self._thread.start()
        self.endpoint = PolicyEndpoint(_URL, "agentgym", name)
        self.transport = _Transport(self._server, self._loop)

    def alive(self) -> bool:
        """Whether it answers."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Ends it; requests that wait for an answer get an error."""
        self.transport.shut()
        self._server.engine.close()
        if self.alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            # At its end the runner cancels the requests that are still there.
            runner.get_loop().run_forever()


class _Transport(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Sync and async clients' way to the application."""

    def __init__(self, server: PolicyServer, loop: asyncio.AbstractEventLoop) -> None:
        self._inner = httpx.ASGITransport(server.app(), raise_app_exceptions=False)
        self._loop = loop
        self._lock = threading.Lock()
        self._open = True

    def shut(self) -> None:
        """Refuses what comes from now on: nobody would answer it."""
        with self._lock:
            self._open = False

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Waits for an answer."""
        future = self._submit(request)
        try:
            return future.result()
        except CancelledError:
            raise _closed(request) from None
        finally:
            # Harmless unless something interrupted the waiting.
            future.cancel()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Awaits an answer, in whatever event loop."""
        future = self._submit(request)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise _closed(request) from None

    def _submit(self, request: httpx.Request) -> Future[httpx.Response]:
        with self._lock:
            if not self._open:
                raise _closed(request)
            return asyncio.run_coroutine_threadsafe(self._answer(request), self._loop)

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        limit = request.extensions.get("timeout", {}).get("read")
        try:
            async with asyncio.timeout(limit):
                response = await self._inner.handle_async_request(request)
                body = await response.aread()
        except TimeoutError:
            text = f"the policy did not answer within {limit:g} s"
            raise httpx.ReadTimeout(text, request=request) from None
        return httpx.Response(
            response.status_code, headers=response.headers, content=body
        )


def _closed(request: httpx.Request) -> httpx.ConnectError:
    return httpx.ConnectError("the trained agent was closed", request=request)
