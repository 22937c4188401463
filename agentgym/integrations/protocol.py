"""What an agent is to a scenario."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from agentgym.errors import UsageError
from agentgym.integrations.conversation import begin
from agentgym.recording import event_loop
from agentgym.recording.agent_run import AgentRun
from agentgym.recording.recorder import Recorder, current
from agentgym.recording.trajectory import printed, reply_of, shorten
from agentgym.scenarios.run import Run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agentgym.endpoint import PolicyEndpoint
    from agentgym.integrations.conversation import Turns


@runtime_checkable
class Agent(Protocol):
    """What a scenario's `agent` can do; a later message continues the conversation."""

    def run(self, message: str | Sequence[str]) -> Any:
        """Runs the agent on a message, or on several ones in turn.

        Returns:
            A `Run`; of an async agent, an awaitable `Run`.
        """

    def chat(self, opening: str | None = None, *, user: Any) -> Any:
        """Lets a simulated user, or a function, talk with the agent.

        Args:
            opening: The user's first message; by default the user thinks of it.
            user: An `agentgym.SimulatedUser`, or a function of the agent's latest reply
                that gives the next message.

        Returns:
            A `Run` of the whole conversation, as `run` does.
        """


class Driver(Protocol):
    """One framework's way to take a user's message and record what follows."""

    def take(self, message: str, recorder: Recorder) -> Any:
        """Plays one turn and returns the framework's own result.

        Args:
            message: What the user says.
            recorder: Of the episode; what the agent does is written into it.
        """

    async def take_async(self, message: str, recorder: Recorder) -> Any:
        """The same without blocking the event loop.

        Args:
            message: What the user says.
            recorder: Of the episode; what the agent does is written into it.
        """

    def redirect(self, policy: PolicyEndpoint) -> None:
        """Lets the agent ask this policy from now on, in its own runs only.

        Raises:
            UsageError: The model of this agent cannot be redirected.
        """


class AsyncDriver:
    """The sync half of a driver whose framework is async only."""

    async def take_async(self, message: str, recorder: Recorder) -> Any:
        """Plays one turn.

        Args:
            message: What the user says.
            recorder: Of the episode; what the agent does is written into it.
        """
        raise NotImplementedError

    def take(self, message: str, recorder: Recorder) -> Any:
        """Plays one turn on the process's event loop for agents.

        Args:
            message: What the user says.
            recorder: Of the episode; what the agent does is written into it.
        """
        return event_loop.run(self.take_async(message, recorder))


class WrappedAgent:
    """An agent of any framework behind `run(message)`.

    Attributes:
        wrapped: The user's own object.
        recognised: What it was recognised as.
        framework: Whose agent it is; None of a callable.
    """

    def __init__(
        self,
        wrapped: Any,
        driver: Driver,
        recognised: str,
        framework: str | None = None,
    ) -> None:
        self.wrapped = wrapped
        self.recognised = recognised
        self.framework = framework
        self._driver = driver

    def run(self, message: str | Sequence[str]) -> Any:
        """Runs the agent on a message, or on several ones in turn.

        Args:
            message: The user's message, or messages.

        Returns:
            A `Run`; within an event loop (an async scenario) an awaitable `Run`.

        Raises:
            UsageError: No message, or the agent was seen to be used wrongly.
        """
        messages = _messages(message)
        if event_loop.is_running():
            return self._run_async(messages)
        with _RunRecord(self.framework) as record:
            for text in messages:
                record.value = self._driver.take(text, record.recorder)
        return record.run()

    def chat(self, opening: str | None = None, *, user: Any) -> Any:
        """Lets a user talk with the agent until the user has nothing more to say.

        Args:
            opening: The user's first message; by default the user thinks of it.
            user: An `agentgym.SimulatedUser`, or a function of the agent's latest
                reply (at first None) that gives the next message, or None to end.

        Returns:
            A `Run` of the whole conversation; within an event loop (an async
            scenario) an awaitable `Run`.

        Raises:
            UsageError: The user is none, or says nothing at all.
            SimulatorError: The user's model gave no answer, or the function raised.
        """
        turns = begin(user, opening)
        if event_loop.is_running():
            return self._chat_async(turns)
        with _RunRecord(self.framework) as record:
            message = turns.next(None)
            while message is not None:
                record.value = self._driver.take(message, record.recorder)
                message = turns.next(record.reply)
        return record.run()

    def redirect(self, policy: PolicyEndpoint) -> None:
        """Lets the agent ask this policy from now on; see `agentgym.redirect`."""
        self._driver.redirect(policy)

    async def _run_async(self, messages: list[str]) -> Run:
        with _RunRecord(self.framework) as record:
            for text in messages:
                record.value = await self._driver.take_async(text, record.recorder)
        return record.run()

    async def _chat_async(self, turns: Turns) -> Run:
        with _RunRecord(self.framework) as record:
            message = await turns.next_async(None)
            while message is not None:
                record.value = await self._driver.take_async(message, record.recorder)
                message = await turns.next_async(record.reply)
        return record.run()

    def __repr__(self) -> str:
        return f"<agent: {self.recognised}>"


class _RunRecord:
    """Marks where in the episode's trajectory a run begins."""

    def __init__(self, framework: str | None) -> None:
        self.value: Any = None
        self._own = ExitStack()
        recorder = current()
        self._outside = recorder is None
        self.recorder = recorder or Recorder()
        self._run = AgentRun(self.recorder, framework)
        self._step = self._message = 0
        self._begun = self._duration = 0.0

    def __enter__(self) -> _RunRecord:
        if self._outside:
            # Of an episode, as in a user's own shell.
            self._own.enter_context(self.recorder.activate())
        self._own.enter_context(self._run.activate())
        trajectory = self.recorder.trajectory
        self._step, self._message = len(trajectory.steps), len(trajectory.messages)
        self._begun = time.perf_counter()
        return self

    def __exit__(self, _: object, exc: BaseException | None, __: object) -> None:
        if exc is not None:
            self.recorder.origins.agent_raised(exc)
        self._duration = time.perf_counter() - self._begun
        self._own.close()

    @property
    def reply(self) -> str:
        """The agent's latest text since, or an empty one."""
        return reply_of(self.recorder.trajectory.messages[self._message :])

    def run(self) -> Run:
        """What happened since.

        Raises:
            ToolCallLimit: The agent's framework swallowed it.
            UsageError: The same.
        """
        if self.recorder.misuse is not None:
            raise self.recorder.misuse
        if self.recorder.limit_exceeded is not None:
            raise self.recorder.limit_exceeded
        return Run(
            self.recorder.trajectory,
            first_step=self._step,
            first_message=self._message,
            value=self.value,
            duration=self._duration,
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
