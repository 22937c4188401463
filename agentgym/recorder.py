"""Records an episode: what adapters write into, from any thread."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from agentgym.errors import EpisodeStopped, ToolCallLimit, is_infra
from agentgym.trajectory import Message, ModelCall, Step, ToolCall, Trajectory

_current: ContextVar[Recorder | None] = ContextVar("agentgym_recorder", default=None)


def current() -> Recorder | None:
    """The recorder of the episode that this code runs in."""
    return _current.get()


class Recorder:
    """Builds the trajectory of one episode.

    Tool calls come twice, from the model's message and from the tool's execution;
    they are joined by call id, or by name where there is none.

    Args:
        max_tool_calls: The call after these raises `ToolCallLimit`.
    """

    def __init__(self, max_tool_calls: int | None = None) -> None:
        self.trajectory = Trajectory()
        self._max_tool_calls = max_tool_calls
        self._begun = time.perf_counter()
        self._lock = threading.Lock()
        self._stopped: EpisodeStopped | None = None
        self._tool_errors: set[int] = set()
        self._kept: list[BaseException] = []
        self._in_flight: dict[int, float] = {}
        self._requested = 0
        self.infra_failure: BaseException | None = None

    @contextmanager
    def activate(self) -> Iterator[Recorder]:
        """Makes this the current recorder of the context."""
        token = _current.set(self)
        try:
            yield self
        finally:
            _current.reset(token)

    def message(self, message: Message) -> None:
        """Adds a message to the conversation."""
        with self._writing():
            self.trajectory.messages.append(message)

    def model_started(self, model: str | None = None) -> ModelCall:
        """A model call begins."""
        with self._writing():
            call = ModelCall(start=self._now(), model=model)
            self.trajectory.steps.append(Step(model=call))
            self._in_flight[id(call)] = time.monotonic()
            return call

    def model_finished(
        self,
        call: ModelCall,
        *,
        message: Message,
        prompt_tokens: int | None = None,
        completion_tokens: int | None = None,
        finish_reason: str | None = None,
    ) -> None:
        """The model answered; the tool calls in the message are now requested."""
        with self._writing():
            self._in_flight.pop(id(call), None)
            self.infra_failure = None
            call.duration = self._now() - call.start
            call.message = message
            call.prompt_tokens = prompt_tokens
            call.completion_tokens = completion_tokens
            call.finish_reason = finish_reason
            self.trajectory.messages.append(message)
            step = next(s for s in self.trajectory.steps if s.model is call)
            for request in message.get("tool_calls") or ():
                step.tool_calls.append(_requested(request))
                self._count()

    def model_failed(self, call: ModelCall, exc: BaseException) -> None:
        """The model call raised."""
        with self._writing():
            self._in_flight.pop(id(call), None)
            call.duration = self._now() - call.start
            call.error = f"{type(exc).__name__}: {exc}"
            if is_infra(exc):
                self.infra_failure = exc

    def tool_started(
        self, name: str, arguments: dict[str, Any], *, call_id: str | None = None
    ) -> ToolCall:
        """A tool begins to run.

        Raises:
            ToolCallLimit: The episode has used up its tool calls.
        """
        with self._writing():
            call = self._waiting(name, call_id)
            if call is None:
                call = ToolCall(id=call_id or "", name=name, arguments=arguments)
                if not self.trajectory.steps:
                    self.trajectory.steps.append(Step())
                self.trajectory.steps[-1].tool_calls.append(call)
                call.id = call.id or f"call_{len(self.trajectory.tool_calls)}"
                self._count()
            call.executed = True
            call.start = self._now()
            return call

    def tool_finished(self, call: ToolCall, result: Any) -> None:
        """The tool returned."""
        with self._writing():
            call.duration = self._now() - call.start
            call.result = result

    def tool_failed(self, call: ToolCall, exc: BaseException) -> None:
        """The tool raised."""
        with self._writing():
            call.duration = self._now() - call.start
            call.error = f"{type(exc).__name__}: {exc}"
            self._tool_errors.add(id(exc))
            # Kept alive, so that no other exception can get the same id.
            self._kept.append(exc)

    def is_tool_error(self, exc: BaseException) -> bool:
        """Whether a tool raised this exception."""
        return id(exc) in self._tool_errors

    def model_in_flight(self) -> float | None:
        """Seconds that the oldest unanswered model call has taken; None if none."""
        started = list(self._in_flight.values())
        return time.monotonic() - min(started) if started else None

    def stop(self, reason: EpisodeStopped) -> None:
        """Freezes the trajectory: whoever writes from now on gets `reason` raised."""
        with self._lock:
            self._stopped = reason

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._lock:
            if self._stopped is not None:
                raise EpisodeStopped(str(self._stopped))
            yield

    def _now(self) -> float:
        return time.perf_counter() - self._begun

    def _count(self) -> None:
        self._requested += 1
        limit = self._max_tool_calls
        if limit is not None and self._requested > limit:
            raise ToolCallLimit(
                f"the agent made more than {limit} tool calls "
                "(--agentgym-max-tool-calls)"
            )

    def _waiting(self, name: str, call_id: str | None) -> ToolCall | None:
        """The requested call that this execution belongs to."""
        for step in reversed(self.trajectory.steps):
            for call in step.tool_calls:
                if call.executed or call.malformed is not None:
                    continue
                if call.id == call_id if call_id else call.name == name:
                    return call
        return None


def _requested(request: dict[str, Any]) -> ToolCall:
    """A tool call as the model's message asks for it."""
    function = request.get("function") or {}
    raw = function.get("arguments")
    arguments: Any = raw
    if isinstance(raw, str):
        try:
            arguments = json.loads(raw) if raw.strip() else {}
        except ValueError:
            arguments = None
    well_formed = isinstance(arguments, dict)
    return ToolCall(
        id=str(request.get("id") or ""),
        name=str(function.get("name") or ""),
        arguments=arguments if well_formed else {},
        malformed=None if well_formed else str(raw),
    )
