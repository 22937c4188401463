"""The hub of a training: Agent Lightning's gateway, in a thread of this process."""

from __future__ import annotations

import asyncio
import importlib
import itertools
import logging
import secrets
import socket
import sys
import threading
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

from agentgym.distribution import install_command
from agentgym.endpoint import PolicyEndpoint
from agentgym.errors import AgentGymError, UsageError
from agentgym.training.hub.asgi import AgentLayer
from agentgym.training.hub.heard import Heard
from agentgym.training.hub.rollout_result import RolloutResult, read_result
from agentgym.training.hub.runner_client import MODEL
from agentgym.training.job.task import Task

T = TypeVar("T")

_PYTHON = tuple(sys.version_info[:3])
_TEMPERATURE = 1.0
"""Rows are trained on the untempered policy, so they are sampled from it."""
_LONG = 3600.0
"""Seconds that an idle connection is kept: a client that just uses it when it is closed
would have to send its request twice."""
_CALL_SECONDS = 300.0
"""For one answer of the policy server, waiting for its turn included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedRollout:
    """A rollout that ended, "succeeded" or "failed"."""

    rollout_id: str
    task: Task
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningRollout:
    """A rollout that a runner plays; without a task if others queued it."""

    rollout_id: str
    task: Task | None
    runner: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """Where a gateway listens.

    Attributes:
        host: An address or a name of this machine, by which others reach it, too.
        port: 0 for any that is free.
        key: What clients have to know; a random one if it is empty.
    """

    host: str = "127.0.0.1"
    port: int = 0
    key: str = ""


class Gateway:
    """Agent Lightning's gateway, on 127.0.0.1 unless others play, too.

    There is one at a time in a process.

    Rollouts are queued here and claimed by runners (`RunnerClient`). Agents reach the
    policy through it, so that each of their model calls is recorded.

    Attributes:
        url: Its address.
        key: What clients have to know.
        arrived: Called with the results of runners elsewhere before anything is made
            of them: it stores their episodes.
    """

    def __init__(self, lightning: _Lightning, at: Listening) -> None:
        self._lightning = lightning
        self._host = at.host
        # asyncio turns Nagle's algorithm off, which makes answers wait for 40 ms, only
        # where the protocol is given.
        self._listener = socket.socket(proto=socket.IPPROTO_TCP)
        # A port that was just in use may be taken again at once.
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._listener.bind((at.host, at.port))
        except OSError as error:
            self._listener.close()
            raise UsageError(
                f"the training's gateway cannot listen on {at.host}:{at.port}: "
                f"{error.strerror or error}"
            ) from None
        self.url = f"http://{at.host}:{self._listener.getsockname()[1]}"
        self.key = at.key or secrets.token_urlsafe(24)
        self.arrived: Callable[[Sequence[RolloutResult]], None] = lambda _: None
        self._heard = Heard(_not_yet)
        self._tasks: dict[str, Task] = {}
        self._cursor = 0
        self._endpoint = ""
        self._closed = False
        self._ready = threading.Event()
        self._error: BaseException | None = None
        # These come with the hub's own thread, before `start` returns.
        self._app: Any
        self._loop: asyncio.AbstractEventLoop
        self._stop: Callable[[], None]
        self._thread = threading.Thread(
            target=self._run, name="agentgym-gateway", daemon=True
        )

    @classmethod
    def start(cls, at: Listening | None = None) -> Gateway:
        """Starts a hub and waits until it answers.

        Args:
            at: Where it listens.

        Raises:
            UsageError: Agent Lightning is missing, or it cannot listen there.
        """
        lightning = _Lightning.load()
        lightning.clear()
        gateway = cls(lightning, at or Listening())
        gateway._thread.start()
        gateway._ready.wait()
        if gateway._error is not None:
            raise AgentGymError(
                f"the training's hub did not start: {gateway._error}"
            ) from gateway._error
        return gateway

    def publish(self, endpoint: PolicyEndpoint, model: str, version: int) -> None:
        """Sends every model call from now on to this policy.

        Args:
            endpoint: Of the policy server.
            model: The name to ask it for, whatever the agent asks for.
            version: Recorded in each model call.
        """
        models = self._lightning.models

        async def publish() -> None:
            # Nothing here waits, so no request comes between.
            if endpoint.base_url != self._endpoint:
                await models.delete_all_models()
            served = self._lightning.schemas.Model(
                model=model, endpoint=endpoint.base_url, version=version
            )
            await models.register_models([served])
            router = self._lightning.proxy.ProxyRouter(_proxy_config(model))
            self._app.state.proxy_router = router
            authorization = f"Bearer {endpoint.api_key}"
            self._app.state.http_client.headers["Authorization"] = authorization
            self._endpoint = endpoint.base_url

        self._do(publish())

    def pass_on(self, model: str) -> None:
        """Leaves it to others where the model is: Agent Lightning's trainer says so.

        Args:
            model: What it calls its model.
        """

        async def pass_on() -> None:
            await self._lightning.models.delete_all_models()
            router = self._lightning.proxy.ProxyRouter(_proxy_config(model))
            self._app.state.proxy_router = router
            self._app.state.http_client.headers.pop("Authorization", None)
            self._endpoint = ""

        self._do(pass_on())

    def enqueue(
        self, tasks: Mapping[str, Task], *, timeout: int, seed: int | None = None
    ) -> None:
        """Queues rollouts for the runners.

        Args:
            tasks: What to play, by rollout id.
            timeout: Seconds that one may take.
            seed: Of the run, which the cases are drawn by; None for the runner's own.
        """
        schemas = self._lightning.schemas
        self._tasks.update(tasks)
        rollouts = [
            schemas.RolloutCreate(
                rollout_id=rollout_id,
                input={**task.to_json(), "data_id": _data_id(task), "seed": seed},
                is_train=task.phase == "train",
                config=schemas.RolloutConfig(timeout_seconds=timeout),
            )
            for rollout_id, task in tasks.items()
        ]
        self._do(self._lightning.rollouts.enqueue_rollouts(rollouts))

    def finished(self) -> list[FinishedRollout]:
        """The rollouts that ended since the last call, of those that `enqueue` queued.

        Others may queue some of their own, as Agent Lightning's trainer does.
        """
        ended: list[FinishedRollout] = []
        while True:
            page = self._do(
                self._lightning.rollouts.list_terminal_rollouts(after=self._cursor)
            )
            ended += [
                FinishedRollout(
                    rollout_id=item.rollout_id,
                    task=self._tasks[item.rollout_id],
                    state=item.state.value,
                )
                for item in page.items
                if item.rollout_id in self._tasks
            ]
            self._cursor = page.next_after
            if self._cursor >= page.total_terminal:
                return ended

    def running(self) -> list[RunningRollout]:
        """The rollouts that are being played."""
        state = self._lightning.schemas.RolloutState.RUNNING
        listing = self._lightning.rollouts.list_rollouts([state], limit=sys.maxsize)
        return [
            RunningRollout(
                rollout_id=rollout.rollout_id,
                task=self._tasks.get(rollout.rollout_id),
                runner=rollout.status.k8s_job_name or "",
            )
            for rollout in self._do(listing)
        ]

    def queued(self) -> int:
        """How many rollouts no runner has claimed yet."""

        async def count() -> int:
            return len(self._in_queue())

        return self._do(count())

    def withdraw(self, rollout_ids: Iterable[str]) -> set[str]:
        """Takes rollouts back that no runner has claimed yet.

        Returns:
            Those that were taken back; the others are being played, or have ended.
        """

        async def withdraw() -> set[str]:
            # Nothing here waits, so nobody claims one between.
            taken = self._in_queue().intersection(rollout_ids)
            for rollout_id in taken:
                await self._lightning.rollouts.delete_rollout(rollout_id)
            return taken

        taken = self._do(withdraw())
        for rollout_id in taken:
            self._tasks.pop(rollout_id, None)
        return taken

    def _in_queue(self) -> set[str]:
        state = self._lightning.schemas.RolloutState.QUEUING
        held = self._lightning.store._rollouts
        return {name for name, each in held.items() if each.status.state == state}

    def silent(self) -> tuple[str, ...]:
        """Names of runners elsewhere that were heard of, and are no more."""
        return self._heard.silent()

    def fail(self, rollout_id: str, message: str) -> None:
        """Ends a rollout without a reward; harmless when it has ended already.

        Args:
            rollout_id: It was queued here.
            message: Why, as its result says.
        """
        from starlette.exceptions import HTTPException

        schemas = self._lightning.schemas
        status = schemas.RolloutStatusPatch(state="failed", error_message=message)
        patch = schemas.RolloutPatch(status=status)
        try:
            self._do(self._lightning.rollouts.patch_rollout(rollout_id, patch))
        except HTTPException as error:
            if error.status_code not in (404, 409):
                raise

    def result(self, rollout_id: str) -> RolloutResult:
        """What came of a rollout that ended.

        Raises:
            KeyError: It was never queued here, or is forgotten.
        """
        task = self._tasks[rollout_id]

        async def read() -> tuple[Any, list[Any]]:
            detail = await self._lightning.rollouts.get_rollout(rollout_id)
            # All of them: the triplets leave out calls with the same prompt.
            events = await self._lightning.events.query_events(rollout_id, format=None)
            return detail.rollout.status, list(events)

        status, events = self._do(read())
        return read_result(
            rollout_id, task, status.state.value, status.error_message, events
        )

    def forget(self, rollout_ids: Iterable[str]) -> None:
        """Frees the memory of rollouts."""
        forgotten = list(rollout_ids)

        async def forget() -> None:
            for rollout_id in forgotten:
                await self._lightning.rollouts.delete_rollout(rollout_id)

        self._do(forget())
        for rollout_id in forgotten:
            self._tasks.pop(rollout_id, None)

    def close(self) -> None:
        """Ends the hub; calls in flight are refused. Harmless when it has ended."""
        if self._closed:
            return
        self._closed = True
        self._loop.call_soon_threadsafe(self._stop)
        self._thread.join()
        self._lightning.clear()

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of something done in the hub's own thread."""
        if self._closed or not self._thread.is_alive():
            work.close()
            raise AgentGymError("the training's hub has ended")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - raised again by `start`
            self._error = error
        finally:
            self._listener.close()
            self._ready.set()

    async def _serve(self) -> None:
        import uvicorn

        from agentgym.policy.server.guard import Guard
        from agentgym.policy.server.listening import configured

        self._app = self._lightning.app.create_app(
            {"key": self.key, "default_proxy": _proxy_config(MODEL)}
        )
        self._heard.app = AgentLayer(self._app, model=MODEL)
        server = uvicorn.Server(
            configured(
                Guard(
                    self._heard,
                    key=self.key,
                    hosts=(self._host,),
                ),
                log_config=None,
                lifespan="on",
                timeout_keep_alive=int(_LONG),
                timeout_graceful_shutdown=5,
            )
        )

        def stop() -> None:
            server.should_exit = True
            for task in server.server_state.tasks:
                task.cancel()

        serving = asyncio.create_task(server.serve([self._listener]))
        while not server.started:
            if serving.done():
                await serving
                raise AgentGymError("its server ended at once")
            await asyncio.sleep(0.005)
        # Agent Lightning's own client opens at most 100 connections, keeps 20, and
        # would send a proxy of the environment what is for this machine.
        async with httpx.AsyncClient(
            transport=_Pools(), timeout=_CALL_SECONDS, trust_env=False
        ) as client:
            self._app.state.http_client = client
            self._loop, self._stop = asyncio.get_running_loop(), stop
            self._ready.set()
            await serving


class _Pools(httpx.AsyncBaseTransport):
    """Connections in several pools: httpx looks at a whole pool for every request."""

    def __init__(self) -> None:
        context = httpx.create_ssl_context()
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        self._pools = [
            httpx.AsyncHTTPTransport(verify=context, limits=limits) for _ in range(16)
        ]
        self._turns = itertools.cycle(self._pools)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await next(self._turns).handle_async_request(request)

    async def aclose(self) -> None:
        for pool in self._pools:
            await pool.aclose()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lightning:
    """The parts of Agent Lightning in use; importing them takes a second."""

    app: Any
    proxy: Any
    store: Any
    schemas: Any
    rollouts: Any
    events: Any
    models: Any

    @classmethod
    def load(cls) -> _Lightning:
        if _PYTHON < (3, 12):
            raise UsageError(
                "training needs Python 3.12 or newer, and this is "
                f"{'.'.join(map(str, _PYTHON))}: measuring works here, too"
            )
        try:
            schemas = importlib.import_module("agentlightning.schemas")
            app, proxy, store, events, models, rollouts, proxy_routes = (
                importlib.import_module(f"agentlightning.server.{name}")
                for name in (
                    *("app", "proxy", "store", "routes.events", "routes.models"),
                    *("routes.rollouts", "routes.proxy"),
                )
            )
        except ImportError as error:
            raise UsageError(
                f"training needs Agent Lightning ({error}): "
                f"run {install_command('train')}"
            ) from None
        for module in (app, proxy, proxy_routes):
            vars(module)["log"] = _Log()
        return cls(
            app=app,
            proxy=proxy,
            store=store,
            schemas=schemas,
            rollouts=rollouts,
            events=events,
            models=models,
        )

    def clear(self) -> None:
        """Empties the store, which all gateways of a process share."""
        store = self.store
        for held in (store._rollouts, store._events, store._models):
            held.clear()
        store._terminal_order.clear()


async def _not_yet(scope: Any, receive: Any, send: Any) -> None:
    raise AgentGymError("the training's hub has not begun")


class _Log:
    """Stands in for Agent Lightning's loggers, which print to the terminal."""

    def __init__(self) -> None:
        self._logger = logging.getLogger("agentlightning")
        self._logger.addHandler(logging.NullHandler())

    def __getattr__(self, level: str) -> Callable[..., None]:
        log: Callable[..., None] = getattr(self._logger, level)
        return lambda event, **more: log("%s %s", event, more)


def _proxy_config(model: str) -> dict[str, Any]:
    temperature = {"temperature": _TEMPERATURE}
    return {"model_name": model, "train": temperature, "val": temperature}


def _data_id(task: Task) -> str:
    return f"{task.scenario}|{task.split}|{task.case}"
