"""What a run's judges and users are, and what they did in one episode."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import importlib.util
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from agentgym.distribution import install_command
from agentgym.endpoint import Endpoint
from agentgym.errors import SimulatorError, UsageError
from agentgym.recording import event_loop
from agentgym.recording.activation import Activation
from agentgym.simulators.cache import VerdictCache
from agentgym.simulators.client import ChatModel, Usage
from agentgym.simulators.role import Role

T = TypeVar("T")
R = TypeVar("R")

_current: ContextVar[Simulation | None] = ContextVar(
    "agentgym_simulation", default=None
)

_WHO = {"judge": "a judge", "user": "a simulated user"}
_MISSING = {
    "judge": "judge(...) asks a model of yours: give --agentgym-judge URL#MODEL, and "
    "its key, if it needs one, in the environment variable AGENTGYM_JUDGE_KEY",
    "user": "SimulatedUser(...) speaks with a model of yours: give --agentgym-user "
    "URL#MODEL, or --agentgym-judge URL#MODEL for both; the key, if it needs one, in "
    "the environment variable AGENTGYM_USER_KEY or AGENTGYM_JUDGE_KEY",
}


class Simulators:
    """The models of a run that are not the agent's; one object for each process.

    Args:
        judge: Where the judge is.
        user: Where simulated users' model is; by default the judge's.
        cache: Folder of the judge's verdicts; None to keep none.
        training: Whether rewards are learned from.
    """

    def __init__(
        self,
        *,
        judge: Endpoint | None = None,
        user: Endpoint | None = None,
        cache: Path | None = None,
        training: bool = False,
    ) -> None:
        self.cache = None if cache is None else VerdictCache(cache)
        self.training = training
        places = {"judge": judge, "user": user or judge}
        self._models: dict[str, ChatModel] = {
            role: ChatModel(role, place)  # type: ignore[arg-type]
            for role, place in places.items()
            if place is not None
        }
        self._asking: dict[str, asyncio.Task[Any]] = {}

    def check(self, role: Role, scenario: str, *, declared: bool) -> None:
        """Checks that a scenario may use a judge or a simulated user in this run.

        Args:
            role: Which of the two.
            scenario: Node id, for the message; empty outside of any.
            declared: Whether the scenario says that it is judged.

        Raises:
            UsageError: There is none, its client is not installed, or its words would
                silently become rewards.
        """
        where = f"{scenario}: " if scenario else ""
        if role not in self._models:
            raise UsageError(where + _MISSING[role])
        if importlib.util.find_spec("openai") is None:
            raise UsageError(
                f"{where}{_WHO[role]} needs the OpenAI client: run "
                f"{install_command('judge')}"
            )
        if self.training and not declared:
            raise UsageError(
                f"{where}{_WHO[role]} takes part in its rewards: write "
                "@scenario(judged=True), in a class `judged = True`, to say that a "
                "training may learn from them, or leave the scenario out with -k"
            )

    def model(self, role: Role) -> ChatModel:
        """The model of this role; see `check`."""
        return self._models[role]

    async def once(self, key: str, ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Asks, or waits for the answer to the same question that is being asked.

        Args:
            key: The same for the same question.
            ask: Asks it.
        """
        task = self._asking.get(key)
        if task is None:
            task = self._asking[key] = asyncio.ensure_future(ask())
            task.add_done_callback(lambda done: self._answered(key, done))
        # An episode that is abandoned must not take the others' answer away.
        answer: T = await asyncio.shield(task)
        return answer

    def close(self) -> None:
        """Closes all connections."""
        for model in self._models.values():
            if model.is_open:
                event_loop.run(model.close())

    def _answered(self, key: str, task: asyncio.Task[Any]) -> None:
        del self._asking[key]
        if not task.cancelled():
            # Or Python complains of an error that nobody waits for any more.
            task.exception()


@dataclass(slots=True, kw_only=True)
class Simulation:
    """The judge and the simulated users of one attempt at an episode.

    Attributes:
        simulators: The run's.
        scenario: Node id.
        seed: The case's.
        declared: Whether the scenario says that it is judged.
        failure: The last one's error, also if the scenario swallowed it.
    """

    simulators: Simulators = field(default_factory=Simulators)
    scenario: str = ""
    seed: int = 0
    declared: bool = False
    failure: SimulatorError | None = None
    _done: dict[Role, dict[str, Any]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _waiting: int = 0
    _since: float = 0.0
    _waited: float = 0.0

    def activate(self) -> Activation[Simulation]:
        """Makes this the simulation of the context."""
        return Activation(_current, self)

    def model(self, role: Role) -> ChatModel:
        """The model of this role.

        Raises:
            UsageError: The run has none, or the scenario must not use it in a training.
        """
        self.simulators.check(role, self.scenario, declared=self.declared)
        return self.simulators.model(role)

    def wait(self, asking: Coroutine[Any, Any, T]) -> T:
        """What a judge or user answers, in a sync scenario."""
        with self._watch():
            return _apart(event_loop.run, asking)

    async def wait_async(self, asking: Coroutine[Any, Any, T]) -> T:
        """The same in an async scenario."""
        with self._watch():
            return await asyncio.wrap_future(_apart(event_loop.submit, asking))

    def waited(self) -> float:
        """Seconds spent waiting for judge and users so far."""
        with self._lock:
            running = time.monotonic() - self._since if self._waiting else 0.0
            return self._waited + running

    def judged(self, verdict: dict[str, Any]) -> None:
        """Notes a verdict."""
        with self._lock:
            self._of("judge")["verdicts"].append(verdict)

    def spoke(self, *, done: bool) -> None:
        """Notes that a simulated user said something."""
        with self._lock:
            user = self._of("user")
            user["messages"] += not done
            user["done"] = done

    def paid(self, role: Role, usage: Usage) -> None:
        """Notes what an answer took, whether or not it is of use.

        Args:
            role: Whose answer it is.
            usage: Its tokens.
        """
        with self._lock:
            self._pay(role, usage)

    def go_on_from(self, before: Simulation) -> None:
        """Takes over what an attempt before this one is paid for, and nothing else."""
        with before._lock:
            calls = [
                (role, usage)
                for role, work in before._done.items()
                for usage in work["calls"]
            ]
        with self._lock:
            for role, usage in calls:
                self._pay(role, usage)

    def to_json(self) -> dict[str, Any] | None:
        """What an episode keeps of it; None if neither took part."""
        with self._lock:
            if not self._done:
                return None
            copy: dict[str, Any] = {r: dict(work) for r, work in self._done.items()}
        return {**copy, "declared": self.declared}

    def _of(self, role: Role) -> dict[str, Any]:
        if role not in self._done:
            model = self.simulators.model(role).endpoint.model
            own: dict[str, Any] = {"verdicts": []}
            if role == "user":
                own = {"messages": 0, "done": False}
            self._done[role] = {"model": model, **own, "calls": [], "tokens": 0}
        return self._done[role]

    def _pay(self, role: Role, usage: Usage) -> None:
        work = self._of(role)
        work["calls"].append(list(usage))
        work["tokens"] += sum(tokens or 0 for tokens in usage)

    @contextlib.contextmanager
    def _watch(self) -> Iterator[None]:
        """Measures the time, and keeps the error."""
        with self._lock:
            if not self._waiting:
                self._since = time.monotonic()
            self._waiting += 1
        try:
            yield
        except SimulatorError as exc:
            self.failure = exc
            raise
        finally:
            with self._lock:
                self._waiting -= 1
                if not self._waiting:
                    self._waited += time.monotonic() - self._since


def current_simulation(what: str) -> Simulation:
    """The simulation of the episode that this code runs in.

    Args:
        what: What asks for it, as the user wrote it.

    Raises:
        UsageError: It is not within an episode.
    """
    simulation = _current.get()
    if simulation is None:
        raise UsageError(
            f"{what} belongs to an episode: use it in a scenario, with pytest "
            "--agentgym"
        )
    return simulation


def _apart(
    function: Callable[[Coroutine[Any, Any, T]], R], asking: Coroutine[Any, Any, T]
) -> R:
    """Without the episode's context: these calls are not the agent's."""
    return contextvars.Context().run(function, asking)
