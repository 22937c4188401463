"""What happened in an episode, in order; plain data with a JSON round trip."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any

from agentgym.recording.plain import (
    MAX_SIZE,
    Plain,
    Show,
    clean,
    printed,
    shorten,
    token_count,
)

MAX_STEPS = 5_000
"""Steps, and messages, that are kept of an episode."""

Message = dict[str, Any]
"""A chat message in OpenAI's shape."""


@dataclass(slots=True, kw_only=True, repr=False)
class ToolCall:
    """One tool call, as the model asked for it and as it was executed.

    Attributes:
        malformed: The raw argument text, when it is no JSON object.
        error: What the tool raised, as `Type: text`; of a call that never ran, what
            the agent's framework gave the model instead.
        executed: Whether a tool ran at all; a call to an unknown tool never does.
        approval: Of a call that a person was asked about: "waiting", "approved" (it
            ran), "rejected", or "answered" (by the person, in the tool's place).
        start: Seconds since the episode began; of the request, until it runs.
        duration: Seconds.
        path: Names of the nested agents that made it, from the outermost one; empty
            for the agent itself.
    """

    id: str
    name: str
    arguments: dict[str, Any]
    malformed: str | None = None
    result: Any = None
    error: str | None = None
    executed: bool = False
    approval: str | None = None
    start: float = 0.0
    duration: float = 0.0
    path: tuple[str, ...] = ()

    @property
    def withheld(self) -> bool:
        """Whether it was only asked for: a person has not let it run."""
        return self.approval is not None and not self.executed

    def __repr__(self) -> str:
        # A check that fails prints it: its values may raise, or grow without end.
        values = (f"{f.name}={printed(getattr(self, f.name))}" for f in fields(self))
        return f"ToolCall({', '.join(values)})"

    def __str__(self) -> str:
        if self.malformed is not None:
            return f"{self.name}({shorten(self.malformed, 60)} <- malformed)"
        given = ", ".join(
            f"{key}={shorten(printed(value), 60)}"
            for key, value in self.arguments.items()
        )
        state = f" <- {self.approval}" if self.withheld else ""
        return f"{self.name}({given}){state}"

    def to_json(self, plain: Plain) -> dict[str, Any]:
        """The JSON form, made by `plain`."""
        return {
            "id": plain.of(self.id),
            "name": plain.of(self.name),
            "arguments": plain.of(self.arguments),
            "malformed": self.malformed and plain.of(self.malformed),
            "result": plain.of(self.result),
            "error": self.error and plain.of(self.error),
            "executed": self.executed,
            # Nothing where no person is asked, as in most files.
            **({"approval": self.approval} if self.approval else {}),
            "start": round(self.start, 6),
            "duration": round(self.duration, 6),
            **_path(self.path),
        }


@dataclass(slots=True, kw_only=True)
class ModelCall:
    """One answer of the model.

    Attributes:
        message: The assistant message.
        error: Why there is none, as `Type: text`.
        start: Seconds since the episode began.
        duration: Seconds.
        path: Names of the nested agents that asked, as of a tool call.
        system: Digest of the system prompt; see `agentgym.recording.asked`.
        tools: Digest of the tools that the model may call.
    """

    start: float = 0.0
    duration: float = 0.0
    model: str | None = None
    message: Message = field(default_factory=dict)
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    finish_reason: str | None = None
    error: str | None = None
    path: tuple[str, ...] = ()
    system: str | None = None
    tools: str | None = None

    @property
    def usage(self) -> tuple[int | None, int | None]:
        """Prompt and completion tokens, where the server's numbers are any."""
        return token_count(self.prompt_tokens), token_count(self.completion_tokens)

    def to_json(self, plain: Plain, message: Message | None = None) -> dict[str, Any]:
        """The JSON form.

        Args:
            plain: Makes it.
            message: The JSON form of its message, if that is known already.
        """
        prompt, completion = self.usage
        data = {
            "start": round(self.start, 6),
            "duration": round(self.duration, 6),
            "model": plain.of(self.model),
            "message": plain.of(self.message) if message is None else message,
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "finish_reason": plain.of(self.finish_reason),
            "error": self.error and plain.of(self.error),
            **_path(self.path),
        }
        if self.system is not None:
            data["system"] = self.system
        if self.tools is not None:
            data["tools"] = self.tools
        return data


@dataclass(slots=True, kw_only=True)
class Step:
    """A model call and the tool calls that it asked for."""

    model: ModelCall | None = None
    tool_calls: list[ToolCall] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Interrupt:
    """Where the agent stopped to ask a person.

    Attributes:
        value: What the person is shown, as the agent's framework gives it.
        start: Seconds since the episode began.
        answer: What the person said, as a text; None as long as the agent waits.
    """

    value: Any = None
    start: float = 0.0
    answer: str | None = None

    def to_json(self, plain: Plain) -> dict[str, Any]:
        """The JSON form, made by `plain`."""
        return {
            "value": plain.of(self.value),
            "start": round(self.start, 6),
            "answer": self.answer and plain.of(self.answer),
        }


@dataclass(slots=True, kw_only=True)
class Trajectory:
    """What happened in an episode: steps, and the conversation as messages.

    Attributes:
        interrupts: Where the agent asked a person, in order.
        history: What was said before the episode began; nothing of it is counted.
        prompts: By digest, what models were asked by; a run's folder has it apart.
    """

    steps: list[Step] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    interrupts: list[Interrupt] = field(default_factory=list)
    history: list[Message] = field(default_factory=list)
    prompts: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)
    _json: dict[str, Any] | None = field(
        default=None, init=False, repr=False, compare=False
    )

    @property
    def interrupted(self) -> bool:
        """Whether it ends with the agent waiting for a person."""
        return any(interrupt.answer is None for interrupt in self.interrupts)

    @property
    def waiting(self) -> list[ToolCall]:
        """The tool calls that wait for a person, in order."""
        return [call for call in self.tool_calls if call.approval == "waiting"]

    @property
    def model_calls(self) -> list[ModelCall]:
        """All model calls, in order."""
        return [step.model for step in self.steps if step.model is not None]

    @property
    def tool_calls(self) -> list[ToolCall]:
        """All tool calls, in order."""
        return [call for step in self.steps for call in step.tool_calls]

    @property
    def reply(self) -> str:
        """The last text of the assistant, or an empty one."""
        return reply_of(self.messages)

    @property
    def tokens(self) -> int:
        """Prompt and completion tokens of all model calls, as far as they are known."""
        return sum(
            tokens or 0
            for step in self.steps
            if step.model is not None
            for tokens in step.model.usage
        )

    @property
    def errors(self) -> list[str]:
        """What tools and model calls raised, in order."""
        errors = []
        for step in self.steps:
            if step.model is not None and step.model.error is not None:
                errors.append(step.model.error)
            errors += [call.error for call in step.tool_calls if call.error is not None]
        return errors

    def to_json(self, size: int = MAX_SIZE, show: Show = printed) -> dict[str, Any]:
        """The JSON form; what is too long or too much is cut, and says so.

        Args:
            size: Characters that are kept of the messages, and of the steps.
            show: Makes text of an object that JSON does not know; see `Plain`.
        """
        if self._json is not None:
            return self._json
        plain = Plain(size, show)
        messages = self._messages(plain)
        # The answers of the model are among the messages: one form serves both.
        known = {
            id(raw): form
            for raw, form in zip(self.messages, messages[:MAX_STEPS], strict=False)
        }
        plain = Plain(size, show)
        return {
            "steps": [
                {
                    "model": None
                    if step.model is None
                    else step.model.to_json(plain, known.get(id(step.model.message))),
                    "tool_calls": [call.to_json(plain) for call in step.tool_calls],
                }
                for step in self.steps[:MAX_STEPS]
            ],
            "messages": messages,
            **self._seldom(plain),
        }

    def _seldom(self, plain: Plain) -> dict[str, Any]:
        """What most files have none of."""
        found: dict[str, Any] = {}
        if self.interrupts:
            found["interrupts"] = [one.to_json(plain) for one in self.interrupts]
        if self.history:
            found["history"] = [plain.of(message) for message in self.history]
        return found

    def kept(self, size: int = MAX_SIZE, show: Show = printed) -> Trajectory:
        """What is stored of it: plain values, none of which runs code of its own.

        Args:
            size: As for `to_json`.
            show: As for `to_json`.
        """
        data = self.to_json(size, show)
        kept = Trajectory.from_json(data)
        kept._json, kept.prompts = data, self.prompts
        return kept

    def _messages(self, plain: Plain) -> list[Message]:
        """The first ones and, where there are too many, the last one."""
        made: list[Message] = []
        every = self.messages
        for message in every:
            if plain.used_up or len(made) == MAX_STEPS:
                break
            made.append(plain.of(message))
        lost = len(every) - len(made)
        if lost:
            made.append({"role": "system", "content": f"[... {lost} messages cut]"})
            if lost > 1:
                made[-1]["content"] = f"[... {lost - 1} messages cut]"
                made.append(Plain(MAX_SIZE // 50).of(every[-1]))
        return made

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Trajectory:
        """The trajectory that `to_json` described."""
        return cls(
            steps=[
                Step(
                    model=None
                    if step["model"] is None
                    else ModelCall(**_with_path(step["model"])),
                    tool_calls=[
                        ToolCall(**_with_path(call)) for call in step["tool_calls"]
                    ],
                )
                for step in data["steps"]
            ],
            messages=list(data["messages"]),
            interrupts=[Interrupt(**one) for one in data.get("interrupts", ())],
            history=list(data.get("history", ())),
        )


def _path(path: tuple[str, ...]) -> dict[str, list[str]]:
    """Nothing where no agents are nested, as in most files."""
    return {"path": [clean(name) for name in path]} if path else {}


def _with_path(data: dict[str, Any]) -> dict[str, Any]:
    return {**data, "path": tuple(data.get("path", ()))}


def reply_of(messages: list[Message]) -> str:
    """The last assistant text in the messages, or an empty one."""
    for message in reversed(messages):
        if message.get("role") == "assistant":
            return str(message.get("content") or "")
    return ""


def turns(trajectory: Trajectory) -> Iterator[Message | ToolCall]:
    """What user and agent said and what the agent called, in order."""
    roles = ("user", "assistant")
    # What was said before the episode explains what is said in it.
    yield from (m for m in trajectory.history if m.get("role") in roles)
    messages = [m for m in trajectory.messages if m.get("role") in roles]
    for step in trajectory.steps:
        yield from _until(messages, step)
        yield from step.tool_calls
    yield from messages


def _until(messages: list[Message], step: Step) -> Iterator[Message]:
    """Takes from `messages` what was said up to and with the step's own message."""
    while messages and messages[0]["role"] == "user":
        yield messages.pop(0)
    if messages and step.model is not None and step.model.message:
        message = messages.pop(0)
        # Most messages that call tools say nothing else.
        if message.get("content") or not step.tool_calls:
            yield message
