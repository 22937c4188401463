"""Records an episode: what adapters write into, from any thread."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from agentgym.endpoint import without_secrets
from agentgym.errors import EpisodeStopped, InfraError, ToolCallLimit, UsageError
from agentgym.recording import approvals
from agentgym.recording.activation import Activation
from agentgym.recording.answer_watch import AnswerWatch
from agentgym.recording.blame import fails_asking
from agentgym.recording.error_origins import ErrorOrigins
from agentgym.recording.joining import ToolAnswer, pair_answers, requested, waiting_call
from agentgym.recording.plain import as_text, copied, printed, token_count
from agentgym.recording.shared_state import SharedStateCheck
from agentgym.recording.trajectory import Message, ModelCall, Step, ToolCall, Trajectory
from agentgym.recording.waiting import Waiting, waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Sequence

STOP_SECONDS = 1.0
"""How long `stop` waits for a call that is just being recorded."""

_current: ContextVar[Recorder | None] = ContextVar("agentgym_recorder", default=None)


def current() -> Recorder | None:
    """The recorder of the episode that this code runs in."""
    return _current.get()


class Recorder:
    """Builds the trajectory of one episode.

    A tool call comes from up to three sides: the model's message asks for it, the tool
    runs, and the model's next request has the answer. They are joined by call id, and
    by name, arguments and order where that does not tell.

    Args:
        max_tool_calls: The call after these raises `ToolCallLimit`; an agent that
            swallows it is ended by its next model or tool call, with `EpisodeStopped`.

    Attributes:
        origins: Where the exceptions of the episode arose.
        begun: When it was made, by `time.perf_counter`; its times count from then.
        infra_failure: The last model call's failure, if infrastructure is to blame.
        limit_exceeded: Set once the agent made too many tool calls, also if its
            framework swallowed the exception.
        misuse: Set once the agent was seen to be used wrongly, likewise.
        shared_state: Looks for what it has of other episodes.
        promised: Runs of the agent that begin once they are awaited, and what made
            each, as "agent.run()".
        noticed: Called when a model has answered, and when a tool begins.
    """

    def __init__(
        self, max_tool_calls: int | None = None, *, state_check: bool = True
    ) -> None:
        self.trajectory = Trajectory()
        self.infra_failure: BaseException | None = None
        self.limit_exceeded: ToolCallLimit | None = None
        self.misuse: UsageError | None = None
        self._max_tool_calls = max_tool_calls
        self.begun = time.perf_counter()
        self._lock = threading.Lock()
        self._stopped: BaseException | None = None
        self.origins = ErrorOrigins()
        self._watch = AnswerWatch()
        self._models: dict[int, Step] = {}
        self._refused: set[int] = set()
        self._answers: dict[int, Message | None] = {}
        self._running: defaultdict[str, int] = defaultdict(int)
        self._claimed: defaultdict[str, int] = defaultdict(int)
        self._requested = 0
        self._turn_begins = False
        self.shared_state = SharedStateCheck(state_check)
        self.promised: list[tuple[str, Coroutine[Any, Any, Any]]] = []
        self.noticed: Callable[[], None] = _unnoticed

    def activate(self) -> Activation[Recorder]:
        """Makes this the current recorder of the context."""
        return Activation(_current, self)

    def message(self, message: Message) -> None:
        """Adds a message to the conversation."""
        with self._lock:
            self._refuse_if_stopped()
            self.trajectory.messages.append(message)
            if message.get("role") == "user":
                self._turn_begins = True
                self.shared_state.said(message.get("content"))

    def reply(self, text: str) -> None:
        """Adds the agent's reply, unless it is the last message already."""
        with self._lock:
            self._refuse_if_stopped()
            messages = self.trajectory.messages
            last = messages[-1] if messages else {}
            if last.get("role") != "assistant" or (last.get("content") or "") != text:
                messages.append({"role": "assistant", "content": text})

    def model_started(
        self,
        model: str | None = None,
        *,
        heard: Iterable[str] = (),
        heard_ids: Sequence[tuple[str | None, str]] = (),
        path: tuple[str, ...] = (),
    ) -> ModelCall:
        """A model call begins.

        Args:
            model: Its name.
            heard: The user's messages in the request; read in the first one only.
            heard_ids: Id and text of each of them, where a framework gives ids that
                no other message has.
            path: Names of the nested agents that ask, from the outermost one.

        Raises:
            UsageError: A message is another episode's: the agent keeps its state.
        """
        with self._lock:
            self._refuse_if_stopped()
            self._refuse_over_limit()
            self._refuse_foreign(heard, heard_ids)
            call = ModelCall(start=self._now(), model=model, path=path)
            step = Step(model=call)
            self.trajectory.steps.append(step)
            self._models[id(call)] = step
            self._turn_begins = False
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
        """The model answered; the tool calls in the message are now requested.

        Args:
            call: What `model_started` gave.
            message: The assistant's message, in OpenAI's shape.
            prompt_tokens: Of the request, where known.
            completion_tokens: Of the answer, where known.
            finish_reason: Why the model stopped, in OpenAI's words, where known.

        Raises:
            ToolCallLimit: It asks for more calls than the episode has left.
        """
        with self._lock:
            self._refuse_if_stopped()
            step = self._models.pop(id(call))
            fault = self._watch.ends_well(
                alone=not self._models,
                says=bool(message.get("content") or message.get("tool_calls")),
            )
            if fault is not None:
                self._fail(call, _error_text(fault), fault)
                return
            self.infra_failure = None
            now = self._now()
            call.duration = now - call.start
            call.message = message
            call.prompt_tokens = token_count(prompt_tokens)
            call.completion_tokens = token_count(completion_tokens)
            call.finish_reason = finish_reason
            self.trajectory.messages.append(message)
            for request in message.get("tool_calls") or ():
                asked = requested(request)
                asked.start = now
                asked.path = call.path
                step.tool_calls.append(asked)
                self._answers[id(asked)] = None
                self._requested += 1
            self._refuse_over_limit()
        self.noticed()

    def model_failed(
        self, call: ModelCall, exc: BaseException, *, read: bool = False
    ) -> None:
        """The model call raised.

        Args:
            call: What `model_started` gave.
            exc: What it raised; an infrastructure's failure ends the episode even if
                the agent swallows it, unless a later call is answered.
            read: Whether it is known that it was not raised by reading the answer.
        """
        text = _error_text(exc)
        with self._lock:
            self._refuse_if_stopped()
            self._models.pop(id(call), None)
            self.origins.model_raised(exc)
            fault, elsewhere = self._watch.ends_badly(alone=not self._models)
            if fault is None and fails_asking(exc, unread=not (read or elsewhere)):
                fault = exc
            self._fail(call, text, fault)

    def _fail(self, call: ModelCall, text: str, fault: BaseException | None) -> None:
        call.duration = self._now() - call.start
        call.error = text
        self.infra_failure = fault
        if fault is not None:
            self._refused.add(id(call))

    @property
    def refused_calls(self) -> int:
        """Model calls that the infrastructure failed, whatever came after them."""
        return len(self._refused)

    def client_asks(self) -> None:
        """A client of a model asks, whoever by it."""
        with self._lock:
            self._watch.asks()

    def answer_arrived(
        self, fault: BaseException | None, odd: InfraError | None = None
    ) -> None:
        """A client of a model was answered, whoever asked by it.

        Args:
            fault: Why the answer is none, if it is none.
            odd: What of it a framework may not be able to read.
        """
        with self._lock:
            if self._models:
                self._watch.arrives(fault, odd, alone=len(self._models) == 1)
            elif not any(self._running.values()):
                # A plain function asked; what a tool asks is its own affair.
                self.infra_failure = fault

    def tool_started(
        self,
        name: str,
        arguments: dict[str, Any],
        *,
        call_id: str | None = None,
        path: tuple[str, ...] = (),
    ) -> ToolCall:
        """A tool begins to run.

        Args:
            name: The tool's.
            arguments: What it is called with.
            call_id: The model's; without one the name has to be the same.
            path: Names of the nested agents that call it, from the outermost one.

        Raises:
            ToolCallLimit: The episode has used up its tool calls.
        """
        with self._lock:
            call = self._start(name, arguments, call_id, path)
            call.path = call.path or path
        self.noticed()
        return call

    def function_started(self, name: str, arguments: dict[str, Any]) -> ToolCall | None:
        """A function that is a tool begins to run.

        Args:
            name: The tool's.
            arguments: What it is called with.

        Returns:
            None if an adapter reported this very call already: `agentgym.tool` on a
            tool of a framework that reports its calls.
        """
        with self._lock:
            if self._claimed[name] < self._running[name]:
                self._claimed[name] += 1
                return None
            call = self._start(name, arguments, None)
            self._claimed[name] += 1
        self.noticed()
        return call

    def tool_finished(
        self, call: ToolCall, result: Any, *, error: str | None = None
    ) -> None:
        """The tool returned.

        Args:
            call: What `tool_started` gave.
            result: What the agent got.
            error: Set if the agent's framework made this result from an exception.
        """
        # A value's own code may make the text: nobody else shall have to wait for it.
        text = as_text(result) if id(call) in self._answers else None
        with self._lock:
            self._refuse_if_stopped()
            self._end(call)
            call.result = copied(result)
            call.error = error
            if text is not None:
                self._answer(call, text)

    def tool_failed(self, call: ToolCall, exc: BaseException) -> None:
        """The tool raised.

        Args:
            call: What `tool_started` gave.
            exc: What it raised; remembered as no fault of the infrastructure.
        """
        text = _error_text(exc)
        with self._lock:
            self._refuse_if_stopped()
            self._end(call)
            call.error = text
            self.origins.tool_raised(exc)
            if id(call) in self._answers:
                self._answer(call, text)

    def tool_answered(
        self, call_id: str, content: str, *, refused: bool = False
    ) -> None:
        """The model gets the answer to one call.

        Args:
            call_id: As of a `ToolAnswer`.
            content: As of a `ToolAnswer`.
            refused: As of a `ToolAnswer`.
        """
        self.tools_answered([ToolAnswer(call_id, content, refused)])

    def tools_answered(
        self, answers: Sequence[ToolAnswer], *, path: tuple[str, ...] = ()
    ) -> None:
        """The model gets the answers to its calls, as seen in its next request.

        Args:
            answers: All of the request that are new, in its order.
            path: Names of the nested agents that ask.
        """
        with self._lock:
            self._refuse_if_stopped()
            steps = self.trajectory.steps[::-1]
            # Parallel agents may use the same ids.
            steps.sort(key=lambda step: step.model is None or step.model.path != path)
            for step, call, answer in pair_answers(steps, answers, self._answers):
                self._take(step, call, answer)

    def _take(self, step: Step, call: ToolCall, answer: ToolAnswer) -> None:
        if call.withheld:
            approvals.replaced(call, answer.content, refused=answer.refused)
        elif not call.executed and call.error is None and call.result is None:
            if answer.refused:
                call.error = answer.content
            else:
                # Nobody saw when it ran: the time is shared among the step's calls.
                elapsed = self._now() - call.start
                call.duration = elapsed / len(step.tool_calls)
                call.executed = True
                call.result = answer.content
        self._answer(call, answer.content)

    def tool_interrupted(self, call: ToolCall) -> None:
        """The tool stopped to ask a person: it has not run, and begins anew later.

        Args:
            call: What `tool_started` gave.
        """
        with self._lock:
            self._refuse_if_stopped()
            self._end(call)
            approvals.withdraw(call)

    def interrupted(self, value: Any) -> None:
        """The agent waits for a person, with all calls that it asked for and not made.

        Args:
            value: What the person is shown.
        """
        with self._lock:
            self._refuse_if_stopped()
            open_ = {key for key, answer in self._answers.items() if answer is None}
            approvals.interrupt(self.trajectory, copied(value), self._now(), open_)

    def resumed(self, answer: str) -> None:
        """A person answered what the agent waits for.

        Args:
            answer: In words.
        """
        with self._lock:
            self._refuse_if_stopped()
            approvals.resume(self.trajectory, answer)

    def remember(self, history: Iterable[Message]) -> None:
        """What was said before the episode: shown, but nothing that the agent did now.

        Args:
            history: In OpenAI's shape.
        """
        with self._lock:
            self._refuse_if_stopped()
            for message in history:
                self.trajectory.history.append(message)
                if message.get("role") == "user":
                    self.shared_state.said(message.get("content"))

    def tool_runs(self) -> bool:
        """Whether a tool runs at this moment."""
        return any(self._running.values())

    def is_tool_error(self, exc: BaseException) -> bool:
        """Whether a tool raised this exception."""
        return self.origins.is_tools(exc)

    @property
    def asking(self) -> list[ModelCall]:
        """The model calls that have no answer yet."""
        return [step.model for step in list(self._models.values()) if step.model]

    def model_in_flight(self) -> float | None:
        """Seconds that the oldest unanswered model call has taken; None if none."""
        begun = [call.start for call in self.asking]
        return self._now() - min(begun) if begun else None

    def waiting(self, since: float) -> Waiting:
        """What the agent waited for its model.

        Args:
            since: From when on, by `time.perf_counter`.
        """
        return waiting(
            self.trajectory.model_calls,
            running=set(self._models),
            refused=set(self._refused),
            since=since - self.begun,
            now=self._now(),
        )

    def stop(self, reason: BaseException) -> None:
        """Freezes the trajectory: whoever writes from now on gets `EpisodeStopped`."""
        # Whoever holds the lock may be stuck in a value's own code.
        locked = self._lock.acquire(timeout=STOP_SECONDS)
        self._stopped = reason
        if locked:
            self._lock.release()

    @property
    def stopped(self) -> bool:
        """Whether the episode was ended from outside."""
        return self._stopped is not None

    def refuse(self, misuse: UsageError | None) -> None:
        """Raises the mistake, if there is one; it counts also if the agent swallows it.

        Args:
            misuse: How the agent is used wrongly.
        """
        if misuse is not None:
            self.misuse = self.misuse or misuse
            raise misuse

    def _refuse_if_stopped(self) -> None:
        if self._stopped is not None:
            raise EpisodeStopped(str(self._stopped)) from self._stopped

    def _refuse_foreign(
        self, heard: Iterable[str], ids: Sequence[tuple[str | None, str]]
    ) -> None:
        """Checks a request for messages of other episodes."""
        self.refuse(self.shared_state.foreign_id(ids))
        if not self._models and not any(step.model for step in self.trajectory.steps):
            self.refuse(self.shared_state.foreign(heard))

    def _refuse_over_limit(self) -> None:
        limit = self._max_tool_calls
        if limit is not None and self._requested > limit:
            if self.limit_exceeded is not None:
                # The agent swallowed it, and would go on for as long as it may.
                raise EpisodeStopped(str(self.limit_exceeded)) from self.limit_exceeded
            self.limit_exceeded = ToolCallLimit(
                f"the agent made more than {limit} tool calls "
                "(--agentgym-max-tool-calls)"
            )
            raise self.limit_exceeded

    def _now(self) -> float:
        return time.perf_counter() - self.begun

    def _start(
        self,
        name: str,
        arguments: dict[str, Any],
        call_id: str | None,
        path: tuple[str, ...] = (),
    ) -> ToolCall:
        self._refuse_if_stopped()
        self._refuse_over_limit()
        steps = self.trajectory.steps
        call = waiting_call(steps, name, arguments, call_id, path)
        if call is None:
            call = ToolCall(id=call_id or "", name=name, arguments=copied(arguments))
            if self._turn_begins or not self.trajectory.steps:
                self.trajectory.steps.append(Step())
                self._turn_begins = False
            self.trajectory.steps[-1].tool_calls.append(call)
            self._requested += 1
            call.id = call.id or f"call_{self._requested}"
            self._refuse_over_limit()
        elif call.malformed is not None:
            # The framework repaired what the model wrote; it stays malformed.
            call.arguments = copied(arguments)
        if call.approval is not None:
            approvals.runs(call, copied(arguments))
        call.executed = True
        call.start = self._now()
        self._running[call.name] += 1
        return call

    def _end(self, call: ToolCall) -> None:
        call.duration = self._now() - call.start
        self._running[call.name] -= 1
        if self._claimed[call.name]:
            self._claimed[call.name] -= 1

    def _answer(self, call: ToolCall, content: str) -> None:
        answer = self._answers.get(id(call))
        if answer is not None:
            answer["content"] = content
            return
        answer = {"role": "tool", "tool_call_id": call.id, "content": content}
        self._answers[id(call)] = answer
        self.trajectory.messages.append(answer)


def _unnoticed() -> None:
    """Nobody follows the episode."""


def _error_text(exc: BaseException) -> str:
    return f"{type(exc).__name__}: {without_secrets(printed(exc, str))}"
