"""What an agent is to a scenario, and how any agent becomes one."""

from __future__ import annotations

import inspect
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from agentgym.errors import UsageError
from agentgym.recorder import Recorder, current
from agentgym.run import Run
from agentgym.trajectory import printed, shorten

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence


@runtime_checkable
class Agent(Protocol):
    """What a scenario's `agent` can do; a later message continues the conversation."""

    def run(self, message: str | Sequence[str]) -> Any:
        """Runs the agent on a message, or on several ones in turn.

        Returns:
            A `Run`; of an async agent, an awaitable `Run`.
        """


class Driver(Protocol):
    """One framework's way to take a user's message and record what follows."""

    asynchronous: bool

    def take(self, message: str, recorder: Recorder) -> Any:
        """Plays one turn and returns the framework's own result."""

    async def take_async(self, message: str, recorder: Recorder) -> Any:
        """The same without blocking the event loop."""


class WrappedAgent:
    """An agent of any framework behind `run(message)`.

    Attributes:
        wrapped: The user's own object.
        recognised: What it was recognised as.
    """

    def __init__(self, wrapped: Any, driver: Driver, recognised: str) -> None:
        self.wrapped = wrapped
        self.recognised = recognised
        self._driver = driver

    def run(self, message: str | Sequence[str]) -> Any:
        """Runs the agent on a message, or on several ones in turn.

        Args:
            message: The user's message, or messages.

        Returns:
            A `Run`; within an event loop (an async scenario) an awaitable `Run`.

        Raises:
            UsageError: An async agent in a scenario that is not async, or no message.
        """
        messages = _messages(message)
        if _in_event_loop():
            return self._run_async(messages)
        if self._driver.asynchronous:
            raise UsageError(
                f"the agent ({self.recognised}) is async: write the scenario as "
                "`async def` and `await agent.run(...)`"
            )
        with _RunRecord() as record:
            for text in messages:
                record.value = self._driver.take(text, record.recorder)
        return record.run()

    @property
    def is_async(self) -> bool:
        """Whether only async scenarios can run it."""
        return self._driver.asynchronous

    async def _run_async(self, messages: list[str]) -> Run:
        with _RunRecord() as record:
            for text in messages:
                record.value = await self._driver.take_async(text, record.recorder)
        return record.run()

    def __repr__(self) -> str:
        return f"<agent: {self.recognised}>"


class _RunRecord:
    """Marks where in the episode's trajectory a run begins."""

    def __init__(self) -> None:
        self.value: Any = None
        self._own = ExitStack()

    def __enter__(self) -> _RunRecord:
        recorder = current()
        if recorder is None:
            # Outside of an episode, as in a user's own shell.
            recorder = self._own.enter_context(Recorder().activate())
        self.recorder = recorder
        trajectory = self.recorder.trajectory
        self._step, self._message = len(trajectory.steps), len(trajectory.messages)
        self._begun = time.perf_counter()
        return self

    def __exit__(self, *exc: object) -> None:
        self._duration = time.perf_counter() - self._begun
        self._own.close()

    def run(self) -> Run:
        """What happened since.

        Raises:
            ToolCallLimit: The agent's framework swallowed it.
        """
        if self.recorder.limit_exceeded is not None:
            raise self.recorder.limit_exceeded
        return Run(
            self.recorder.trajectory,
            first_step=self._step,
            first_message=self._message,
            value=self.value,
            duration=self._duration,
        )


class FunctionDriver:
    """Any callable `message -> reply`, sync or async."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self.asynchronous = any(
            inspect.iscoroutinefunction(f)
            for f in (function, getattr(type(function), "__call__", None))  # noqa: B004
        )

    def take(self, message: str, recorder: Recorder) -> Any:
        """Calls the function; it runs its own tools."""
        recorder.message({"role": "user", "content": message})
        value = self._function(message)
        if inspect.isawaitable(value):
            _close(value)
            raise UsageError(
                "the agent returned an awaitable: write the scenario as `async def` "
                "and `await agent.run(...)`"
            )
        return _reply(value, recorder)

    async def take_async(self, message: str, recorder: Recorder) -> Any:
        """Awaits the function; a sync one runs in a thread."""
        import asyncio

        recorder.message({"role": "user", "content": message})
        if self.asynchronous:
            value = await self._function(message)
        else:
            value = await asyncio.to_thread(self._function, message)
            if inspect.isawaitable(value):
                value = await value
        return _reply(value, recorder)


def wrap(agent: Any) -> WrappedAgent:
    """Makes an agent of any known kind one that a scenario can run.

    Args:
        agent: A LangChain or LangGraph runnable, an object with `run(message)`, or
            any callable `message -> reply`, sync or async.

    Raises:
        UsageError: It is none of these.
    """
    if isinstance(agent, WrappedAgent):
        return agent
    if _is_langchain(agent):
        from agentgym.integrations.langchain import LangChainDriver

        return WrappedAgent(agent, LangChainDriver(agent), "a LangChain runnable")
    if not inspect.isclass(agent):
        run = getattr(agent, "run", None)
        if callable(run):
            kind = f"{type(agent).__name__}.run(message)"
            return WrappedAgent(agent, FunctionDriver(run), kind)
        if callable(agent):
            name = getattr(agent, "__name__", type(agent).__name__)
            return WrappedAgent(agent, FunctionDriver(agent), f"the function {name}")
    if inspect.isclass(agent):
        found = f"the class {agent.__name__}"
    else:
        found = f"{type(agent).__name__}: {shorten(printed(agent), 80)}"
    raise UsageError(
        f"the `agent` fixture returned {found}; return a LangChain agent, an object "
        "with run(message), or a callable message -> reply"
    )


def _messages(message: Any) -> list[str]:
    messages = [message] if isinstance(message, str) else message
    if (
        not isinstance(messages, list | tuple)
        or not messages
        or not all(isinstance(text, str) for text in messages)
    ):
        raise UsageError(
            f"agent.run({shorten(printed(message), 60)}): give a message, or a list of "
            "messages that are sent in turn"
        )
    return list(messages)


def _is_langchain(agent: Any) -> bool:
    return any(
        cls.__name__ == "Runnable" and cls.__module__.startswith("langchain_core.")
        for cls in type(agent).__mro__
    )


def _in_event_loop() -> bool:
    import sys

    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return False
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _reply(value: Any, recorder: Recorder) -> Any:
    """Records a function's reply, unless model calls told it already."""
    recorder.reply("" if value is None else printed(value, str))
    return value


def _close(awaitable: Awaitable[Any]) -> None:
    close = getattr(awaitable, "close", None)
    if close is not None:
        close()
