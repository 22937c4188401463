"""A token engine that has a vLLM server sample.

Requests are posted from one event loop in a thread of its own. A reply that is streamed
to its client is streamed from vLLM, too; all others come in one piece. A cancelled
request's connection is closed, and vLLM then stops sampling for it.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from agentgym.endpoint import Endpoint, without_secrets
from agentgym.errors import InfraError, UsageError
from agentgym.policy.engine.generation import Generation, UnknownAdapterError
from agentgym.policy.engine.token_model import TokenModel
from agentgym.policy.vllm_engine.completion import add_choice, request_body
from agentgym.policy.vllm_engine.lora_adapters import LoadedAdapter, LoraAdapters
from agentgym.policy.vllm_engine.served_model import is_here, origin
from agentgym.policy.vllm_engine.vllm_process import VllmProcess

TICK_SECONDS = 0.2
"""How often it looks whether a request was cancelled."""
_DATA = "data: "


class VllmEngine:
    """Samples many requests at a time on a vLLM server."""

    def __init__(
        self,
        policy: TokenModel,
        endpoint: Endpoint,
        *,
        context: int = 0,
        share: Path | None = None,
        adapter: str | Path | None = None,
        process: VllmProcess | None = None,
    ) -> None:
        """Starts the thread; the server has been checked.

        Args:
            policy: The model without its weights.
            endpoint: The server, and the base model's name there.
            context: Tokens that the server holds, where they are fewer than the
                model's own; 0 if that is not known.
            share: Folder for adapters that the server reads, too; None where it reads
                all that we do.
            adapter: Folder of an adapter for the requests that name none.
            process: The server, where it was started for this engine; it ends with it.

        Raises:
            UsageError: vLLM cannot serve the adapter.
        """
        if context:
            policy = replace(policy, context=min(policy.context, context))
        self.policy = policy
        self._endpoint = endpoint
        self._where = f"vLLM at {without_secrets(endpoint.base_url)}"
        self._process = process
        self._lora = LoraAdapters(endpoint, share)
        self._adapters: dict[str, LoadedAdapter] = {}
        self._leaving: set[LoadedAdapter] = set()
        self._base = LoadedAdapter(endpoint.model, policy.path, None)
        self._default = self._base
        if adapter is not None:
            self._default = self._lora.load(policy.name, Path(adapter))
        self._lock = threading.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._silence: str | None = None
        self._loop = asyncio.new_event_loop()
        self._client = self._new_client()
        self._thread = threading.Thread(
            target=self._run, name="agentgym-vllm", daemon=True
        )
        self._thread.start()

    def submit(self, generation: Generation) -> Generation:
        """Queues a request; returns at once.

        Raises:
            UnknownAdapterError: Its adapter is not loaded.
        """
        if self._stopping:
            raise RuntimeError("the engine is closed")
        with self._lock:
            # From here on it has its adapter, whatever becomes of the name.
            served = self._find(generation.adapter)
            served.users += 1
        self._loop.call_soon_threadsafe(self._begin, generation, served)
        return generation

    def load_adapter(self, name: str, folder: str | Path) -> None:
        """Makes an adapter's folder known by a name, in the place of an older one.

        Args:
            name: What requests ask for; not the model's own name.
            folder: As peft wrote it.

        Raises:
            UsageError: vLLM cannot serve it, or the name is no good.
            InfraError: vLLM does not answer.
        """
        if not name or name == self.policy.name:
            raise UsageError(f"{name!r} cannot be an adapter's name: choose another")
        loaded = self._lora.load(name, Path(folder))
        with self._lock:
            older = self._adapters.get(name)
            self._adapters[name] = loaded
        if older is not None:
            self._leave(older)

    def unload_adapter(self, name: str) -> Future[None]:
        """Forgets an adapter: at once for new requests, those queued still run.

        Returns:
            Done when they are answered and vLLM has forgotten it.

        Raises:
            UnknownAdapterError: It is not loaded.
        """
        with self._lock:
            adapter = self._find(name)
            del self._adapters[name]
        return self._leave(adapter)

    @property
    def adapters(self) -> dict[str, Path]:
        """Names and folders of the loaded adapters."""
        with self._lock:
            return {name: loaded.folder for name, loaded in self._adapters.items()}

    @property
    def load(self) -> tuple[int, int]:
        """How many requests vLLM has; it queues them itself."""
        return len(self._tasks), 0

    def rest(self) -> None:
        """Has a vLLM of ours on a GPU free its memory; another's is left alone."""
        if self._process is not None:
            self._process.sleep()

    def wake(self) -> None:
        """Has it take the memory again."""
        if self._process is not None:
            self._process.wake()

    def stop(self) -> None:
        """Cancels everything and ends soon; returns at once."""
        self._stopping = True
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._loop.stop)

    def close(self) -> None:
        """Stops, and waits until it is done; vLLM forgets its adapters."""
        self.stop()
        self._thread.join()
        if self._process is not None:
            self._process.stop()
            return
        # Another's server goes on without us.
        with self._lock:
            mine = {*self._adapters.values(), *self._leaving, self._default}
            self._adapters.clear()
        for adapter in mine - {self._base}:
            self._lora.unload(adapter)

    @property
    def trouble(self) -> str | None:
        """Why nothing is sampled, in one sentence; None as long as vLLM answers."""
        dead = None if self._process is None else self._process.why_dead()
        return dead or self._silence

    def _find(self, name: str | None) -> LoadedAdapter:
        if name is None:
            return self._default
        adapter = self._adapters.get(name)
        if adapter is None:
            raise UnknownAdapterError(f"the adapter {name!r} is not loaded")
        return adapter

    def _leave(self, adapter: LoadedAdapter) -> Future[None]:
        """Has an adapter unloaded as soon as no request runs with it."""
        done: Future[None] = Future()
        with self._lock:
            adapter.unloaded = done
            self._leaving.add(adapter)
            idle = adapter.users == 0
        if idle:
            self._unload(adapter)
        return done

    def _unload(self, adapter: LoadedAdapter) -> None:
        self._lora.unload(adapter)
        with self._lock:
            self._leaving.discard(adapter)
        if adapter.unloaded is not None and not adapter.unloaded.done():
            adapter.unloaded.set_result(None)

    # The engine's thread.

    def _new_client(self) -> httpx.AsyncClient:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        return httpx.AsyncClient(
            base_url=f"{origin(self._endpoint.base_url)}/v1",
            headers={"Authorization": f"Bearer {self._endpoint.api_key}"},
            # A long queue is vLLM's business; whether it is there at all is ours.
            timeout=httpx.Timeout(None, connect=10.0),
            limits=limits,
            trust_env=not is_here(self._endpoint.base_url),
        )

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            # At its end the runner cancels the requests that are still there.
            runner.get_loop().run_forever()
            self._stopping = True
            # One that is cancelled before its first step would say nothing of its end.
            runner.run(asyncio.sleep(0))
            for task in self._tasks:
                task.cancel()
            runner.run(self._client.aclose())

    def _begin(self, generation: Generation, served: LoadedAdapter) -> None:
        task = self._loop.create_task(self._sample(generation, served))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _sample(self, generation: Generation, served: LoadedAdapter) -> None:
        reason, error = "cancelled", None
        try:
            reason = await self._watched(generation, served.served)
        except asyncio.CancelledError:
            if not (generation.cancelled or self._stopping):
                raise
        except Exception as raised:  # noqa: BLE001
            reason, error = "error", raised
        finally:
            self._release(served)
            generation.finish_reason = reason
            generation.error = error
            if generation.on_done is not None:
                generation.on_done(generation)

    async def _watched(self, generation: Generation, model: str) -> str:
        """Asks vLLM, until the request is cancelled; returns how the reply ended."""
        stream = generation.on_step is not None
        asked = asyncio.ensure_future(self._ask(generation, model, stream))
        try:
            while not asked.done():
                if generation.cancelled:
                    return "cancelled"
                await asyncio.wait({asked}, timeout=TICK_SECONDS)
            return await asked
        finally:
            asked.cancel()

    async def _ask(self, generation: Generation, model: str, stream: bool) -> str:
        body = request_body(generation, self.policy, model, stream=stream)
        reason = None
        try:
            async with self._client.stream("POST", "/completions", json=body) as answer:
                if answer.status_code >= 400:
                    raise self._refusal(answer.status_code, await answer.aread())
                self._silence = None
                async for data in _parts(answer, stream):
                    reason = self._add(generation, data) or reason
        except httpx.HTTPError as error:
            raise self._gone(error) from error
        except ValueError as error:
            raise InfraError(f"{self._where} answered no JSON: {error}") from error
        if reason is None:
            raise InfraError(f"{self._where} ended its answer early")
        return reason

    def _add(self, generation: Generation, data: dict[str, Any]) -> str | None:
        """Adds a piece of an answer; returns how the reply ended, if it did."""
        if "error" in data:
            message = data["error"]
            if isinstance(message, dict):
                message = message.get("message", message)
            raise InfraError(f"{self._where} failed: {message}")
        usage = data.get("usage") or {}
        details = usage.get("prompt_tokens_details") or {}
        generation.cached_tokens = details.get("cached_tokens") or 0
        reason = None
        for choice in data.get("choices", ()):
            add_choice(generation, choice, self._where)
            reason = choice.get("finish_reason") or reason
            if reason is None and generation.on_step is not None:
                generation.on_step(generation)
        if reason not in (None, "stop", "length"):
            raise InfraError(f"{self._where} ended its answer by {reason!r}")
        return reason

    def _refusal(self, status: int, body: bytes) -> InfraError:
        try:
            message = json.loads(body)["error"]["message"]
        except (ValueError, KeyError, TypeError):
            message = body.decode(errors="replace").strip() or f"status {status}"
        return InfraError(f"{self._where} answered {status}: {message}")

    def _gone(self, error: httpx.HTTPError) -> InfraError:
        reason = str(error) or type(error).__name__
        self._silence = f"{self._where} does not answer: {reason}"
        return InfraError(self.trouble)

    def _release(self, served: LoadedAdapter) -> None:
        with self._lock:
            served.users -= 1
            last = served.users == 0 and served.unloaded is not None
        if last:
            # It waits for vLLM's answer, and this loop must not.
            self._loop.run_in_executor(None, self._unload, served)


async def _parts(answer: httpx.Response, stream: bool) -> AsyncIterator[dict[str, Any]]:
    """The JSON objects of an answer."""
    if not stream:
        yield json.loads(await answer.aread())
        return
    async for line in answer.aiter_lines():
        if line.startswith(_DATA) and line != f"{_DATA}[DONE]":
            yield json.loads(line[len(_DATA) :])
