"""What an agent is to a scenario."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

from agentgym.errors import AgentError, UsageError
from agentgym.integrations.conversation.answers import APPROVE, HumanAnswer
from agentgym.integrations.conversation.opening import Opening, opening
from agentgym.integrations.conversation.speakers import begin
from agentgym.integrations.redirecting import guarded
from agentgym.recording import event_loop
from agentgym.recording.agent_run import AgentRun
from agentgym.recording.recorder import Recorder, current
from agentgym.recording.trajectory import Message, Trajectory, reply_of
from agentgym.scenarios.run import Run

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from agentgym.endpoint import PolicyEndpoint
    from agentgym.integrations.conversation.speakers import Turns

_NOTHING = object()


@runtime_checkable
class Agent(Protocol):
    """What a scenario's `agent` can do; a later message continues the conversation."""

    def run(self, message: str | Sequence[str] | Sequence[Message]) -> Any:
        """Runs the agent on a message, on several ones in turn, or on a history.

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

    def take(self, message: str | None, recorder: Recorder) -> Any:
        """Plays one turn and returns the framework's own result.

        Args:
            message: What the user says; None to go on from the history's end.
            recorder: Of the episode; what the agent does is written into it.
        """

    async def take_async(self, message: str | None, recorder: Recorder) -> Any:
        """The same without blocking the event loop.

        Args:
            message: What the user says; None to go on from the history's end.
            recorder: Of the episode; what the agent does is written into it.
        """

    def remember(self, history: Sequence[Message]) -> None:
        """Lets the conversation go on from what was said before.

        Args:
            history: In OpenAI's shape, as `conversation.opening.opening` checks it.

        Raises:
            UsageError: The framework takes none.
        """

    def redirect(self, policy: PolicyEndpoint) -> None:
        """Lets the agent ask this policy from now on, in its own runs only.

        Raises:
            UsageError: The model of this agent cannot be redirected.
        """


class WaitingDriver(Driver, Protocol):
    """A driver whose framework can stop to ask a person.

    Attributes:
        pending: What waits, as the framework has it; None if nothing does.
    """

    pending: Any

    def resume(self, answer: HumanAnswer, recorder: Recorder) -> Any:
        """Goes on from where the agent stopped; returns the framework's own result.

        Args:
            answer: The person's.
            recorder: Of the episode.
        """

    async def resume_async(self, answer: HumanAnswer, recorder: Recorder) -> Any:
        """The same without blocking the event loop.

        Args:
            answer: The person's.
            recorder: Of the episode.
        """


class AsyncDriver:
    """The sync half of a driver whose framework is async only."""

    async def take_async(self, message: str | None, recorder: Recorder) -> Any:
        """Plays one turn.

        Args:
            message: What the user says; None to go on from the history's end.
            recorder: Of the episode; what the agent does is written into it.
        """
        raise NotImplementedError

    def take(self, message: str | None, recorder: Recorder) -> Any:
        """Plays one turn on the process's event loop for agents.

        Args:
            message: What the user says; None to go on from the history's end.
            recorder: Of the episode; what the agent does is written into it.
        """
        return event_loop.run(self.take_async(message, recorder))


class AsyncWaitingDriver(AsyncDriver):
    """The same of a framework that can stop to ask a person."""

    pending: Any = None

    async def resume_async(self, answer: HumanAnswer, recorder: Recorder) -> Any:
        """Goes on from where the agent stopped.

        Args:
            answer: The person's.
            recorder: Of the episode.
        """
        raise NotImplementedError

    def resume(self, answer: HumanAnswer, recorder: Recorder) -> Any:
        """Goes on, on the process's event loop for agents.

        Args:
            answer: The person's.
            recorder: Of the episode.
        """
        return event_loop.run(self.resume_async(answer, recorder))


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
        self._begun = False
        self._policy: PolicyEndpoint | None = None

    def run(
        self,
        message: str | Sequence[str] | Sequence[Message] | None = None,
        *,
        resume: Any = _NOTHING,
    ) -> Any:
        """Runs the agent on a message, on several ones in turn, or on a history.

        Args:
            message: The user's message, or messages; or a conversation so far as a
                list of OpenAI's messages, which ends with the user's or a tool's.
            resume: In place of a message, a person's answer to what the agent waits
                for, in the form of the agent's framework.

        Returns:
            A `Run`; within an event loop (an async scenario) an awaitable `Run`.

        Raises:
            UsageError: No message, a history that no model could be sent, or the agent
                was seen to be used wrongly.
            AgentError: It waits for a person, or, with `resume`, it does not.
        """
        if resume is not _NOTHING:
            if message is not None:
                raise UsageError("agent.run(): give a message or resume=, not both")
            return self._resume(HumanAnswer("value", value=resume))
        begin = opening(message)
        if begin.history and self._begun:
            raise UsageError(
                "agent.run(): the conversation has begun: a history can be given to "
                "the first agent.run() of an episode only"
            )
        self._refuse_if_waiting("agent.run()")
        if event_loop.is_running():
            return _promised("agent.run()", self._run_async(begin))
        with self._record(begin.history) as record:
            for text in begin.messages:
                record.value = self._driver.take(text, record.recorder)
                if self._pending is not None:
                    break
        return record.run()

    def approve(self) -> Any:
        """Lets an agent go on that waits for a person: all that it asks may run.

        Returns:
            A `Run` of what waited and of what follows; within an event loop (an async
            scenario) an awaitable `Run`.

        Raises:
            AgentError: It waits for nobody.
        """
        return self._resume(APPROVE)

    def reject(self, reason: str = "") -> Any:
        """Lets an agent go on that waits for a person: nothing that it asks may run.

        Args:
            reason: What the model is told, where the framework has a place for it.

        Returns:
            A `Run`, as of `approve`.

        Raises:
            AgentError: It waits for nobody.
        """
        return self._resume(HumanAnswer("reject", reason))

    def chat(self, opening: str | None = None, *, user: Any) -> Any:
        """Lets a user talk with the agent until the user has nothing more to say.

        Args:
            opening: The user's first message; by default the user thinks of it.
            user: An `agentgym.SimulatedUser`, or a function of the agent's latest
                reply (at first None) that gives the next message, or None to end.

        Returns:
            A `Run` of the whole conversation; within an event loop (an async
            scenario) an awaitable `Run`. It ends early if the agent waits for a person.

        Raises:
            UsageError: The user is none, or says nothing at all.
            SimulatorError: The user's model gave no answer, or the function raised.
        """
        turns = begin(user, opening)
        self._refuse_if_waiting("agent.chat()")
        if event_loop.is_running():
            return _promised("agent.chat()", self._chat_async(turns))
        with self._record() as record:
            message = turns.next(None)
            while message is not None:
                record.value = self._driver.take(message, record.recorder)
                if self._pending is not None:
                    break
                message = turns.next(record.reply)
        return record.run()

    def redirect(self, policy: PolicyEndpoint) -> None:
        """Lets the agent ask this policy from now on; see `agentgym.redirect`."""
        self._driver.redirect(policy)
        self._policy = policy

    async def _run_async(self, begin: Opening) -> Run:
        with self._record(begin.history) as record:
            for text in begin.messages:
                record.value = await self._driver.take_async(text, record.recorder)
                if self._pending is not None:
                    break
        return record.run()

    async def _chat_async(self, turns: Turns) -> Run:
        with self._record() as record:
            message = await turns.next_async(None)
            while message is not None:
                record.value = await self._driver.take_async(message, record.recorder)
                if self._pending is not None:
                    break
                message = await turns.next_async(record.reply)
        return record.run()

    def _resume(self, answer: HumanAnswer) -> Any:
        if self._pending is None:
            raise AgentError(f"{answer.method}: the agent waits for nobody")
        if event_loop.is_running():
            return _promised(answer.method, self._resume_async(answer))
        driver = cast("WaitingDriver", self._driver)
        with self._record(resumes=True) as record:
            record.recorder.resumed(str(answer))
            record.value = driver.resume(answer, record.recorder)
        return record.run()

    async def _resume_async(self, answer: HumanAnswer) -> Run:
        driver = cast("WaitingDriver", self._driver)
        with self._record(resumes=True) as record:
            record.recorder.resumed(str(answer))
            record.value = await driver.resume_async(answer, record.recorder)
        return record.run()

    @property
    def _pending(self) -> Any:
        """What waits for a person; most frameworks have nothing of the kind."""
        return getattr(self._driver, "pending", None)

    def _refuse_if_waiting(self, method: str) -> None:
        if self._pending is not None:
            raise AgentError(
                f"{method}: the agent waits for a person: go on with agent.approve(), "
                "agent.reject(reason) or agent.run(resume=...)"
            )

    def _record(
        self, history: Sequence[Message] = (), *, resumes: bool = False
    ) -> _RunRecord:
        record = _RunRecord(self.framework, self._policy, resumes=resumes)
        if history:
            self._driver.remember(history)
            record.recorder.remember(history)
        self._begun = True
        return record

    def __repr__(self) -> str:
        return f"<agent: {self.recognised}>"


def _promised(method: str, run: Coroutine[Any, Any, Run]) -> Coroutine[Any, Any, Run]:
    """What an async scenario awaits; outside of an episode nobody looks after it."""
    recorder = current()
    if recorder is not None:
        recorder.promised.append((method, run))
    return run


class _RunRecord:
    """Marks where in the episode's trajectory a run begins.

    Args:
        framework: Whose agent it is; None of a callable.
        policy: What the agent was redirected to, if it was.
        resumes: Whether it begins with the calls that wait for a person.
    """

    def __init__(
        self,
        framework: str | None,
        policy: PolicyEndpoint | None,
        *,
        resumes: bool = False,
    ) -> None:
        self.value: Any = None
        self._own = ExitStack()
        recorder = current()
        self._outside = recorder is None
        self.recorder = recorder or Recorder()
        self._run = AgentRun(self.recorder, framework)
        self._policy = policy
        self._resumes = resumes
        self._step = self._message = self._interrupt = 0
        self._begun = self._duration = 0.0

    def __enter__(self) -> _RunRecord:
        if self._outside:
            # Of an episode, as in a user's own shell.
            self._own.enter_context(self.recorder.activate())
        self._own.enter_context(self._run.activate())
        self._own.enter_context(guarded(self._policy, self.recorder))
        trajectory = self.recorder.trajectory
        self._step, self._message = len(trajectory.steps), len(trajectory.messages)
        self._interrupt = len(trajectory.interrupts)
        if self._resumes:
            self._step = _first_waiting(trajectory)
        self._begun = time.perf_counter()
        return self

    def __exit__(self, _: object, exc: BaseException | None, __: object) -> None:
        if exc is not None:
            self.recorder.origins.agent_raised(exc)
        self._duration = time.perf_counter() - self._begun
        self._own.close()
        misuse = self.recorder.misuse
        if misuse is not None and isinstance(exc, Exception) and exc is not misuse:
            # The agent's framework made another exception of it.
            raise misuse from exc

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
            first_interrupt=self._interrupt,
            value=self.value,
            duration=self._duration,
        )


def _first_waiting(trajectory: Trajectory) -> int:
    """The step with the first call that waits: what runs of it now is of this run."""
    for place, step in enumerate(trajectory.steps):
        if any(call.approval == "waiting" for call in step.tool_calls):
            return place
    return len(trajectory.steps)
