"""What happened in an episode, in order; plain data with a JSON round trip."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

MAX_TEXT = 20_000
MAX_ITEMS = 1_000
MAX_DEPTH = 30

Message = dict[str, Any]
"""A chat message in OpenAI's shape."""


@dataclass(slots=True, kw_only=True)
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

    def __str__(self) -> str:
        if self.malformed is not None:
            return f"{self.name}({shorten(self.malformed, 60)} <- malformed)"
        given = ", ".join(
            f"{key}={shorten(printed(value), 60)}"
            for key, value in self.arguments.items()
        )
        state = f" <- {self.approval}" if self.withheld else ""
        return f"{self.name}({given}){state}"

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "id": clean(self.id),
            "name": clean(self.name),
            "arguments": jsonable(self.arguments),
            "malformed": self.malformed and clean(self.malformed),
            "result": jsonable(self.result),
            "error": self.error and clean(self.error),
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

    def to_json(self, message: Message | None = None) -> dict[str, Any]:
        """The JSON form.

        Args:
            message: The JSON form of its message, if that is known already.
        """
        data = {
            "start": round(self.start, 6),
            "duration": round(self.duration, 6),
            "model": self.model,
            "message": jsonable(self.message) if message is None else message,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "finish_reason": self.finish_reason,
            "error": self.error and clean(self.error),
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

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "value": jsonable(self.value),
            "start": round(self.start, 6),
            "answer": self.answer and clean(self.answer),
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
            (step.model.prompt_tokens or 0) + (step.model.completion_tokens or 0)
            for step in self.steps
            if step.model is not None
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

    def to_json(self) -> dict[str, Any]:
        """The JSON form; long texts are cut."""
        messages = [jsonable(message) for message in self.messages]
        # The answers of the model are among the messages: one form serves both.
        known = {
            id(raw): form for raw, form in zip(self.messages, messages, strict=False)
        }
        return {
            "steps": [
                {
                    "model": None
                    if step.model is None
                    else step.model.to_json(known.get(id(step.model.message))),
                    "tool_calls": [call.to_json() for call in step.tool_calls],
                }
                for step in self.steps
            ],
            "messages": messages,
            **self._seldom(),
        }

    def _seldom(self) -> dict[str, Any]:
        """What most files have none of."""
        found: dict[str, Any] = {}
        if self.interrupts:
            found["interrupts"] = [one.to_json() for one in self.interrupts]
        if self.history:
            found["history"] = [jsonable(message) for message in self.history]
        return found

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


def jsonable(value: Any, depth: int = MAX_DEPTH) -> Any:
    """The value with everything that JSON cannot hold as text, cut to a sane size.

    Args:
        value: Anything, of any size, even one that contains itself.
        depth: Levels of containers that are kept.
    """
    kind = type(value)
    if kind is str:
        return clean(value)
    if value is None or kind is bool:
        return value
    if kind is dict or kind is list or kind is tuple:
        return _container(value, depth)
    if isinstance(value, int):
        # Python refuses to print longer integers.
        return value if value.bit_length() < 10_000 else "<a huge integer>"
    if isinstance(value, float):
        # NaN and infinity are no JSON.
        return value if value - value == 0 else repr(value)
    if isinstance(value, str):
        return clean(str(value))
    if isinstance(value, Mapping | list | tuple):
        return _container(value, depth)
    if isinstance(value, bytes | bytearray):
        return clean(bytes(value[: MAX_TEXT + 1]).decode("utf-8", "replace"))
    return clean(printed(value))


def copied(value: Any, depth: int = MAX_DEPTH) -> Any:
    """The value with its plain containers copied: a tool may change them later.

    Args:
        value: Anything.
        depth: Levels of containers that are copied.
    """
    kind = type(value)
    if kind is dict and depth:
        return {key: copied(item, depth - 1) for key, item in value.items()}
    if kind is list and depth:
        return [copied(item, depth - 1) for item in value]
    return value


def token_count(value: Any) -> int | None:
    """A number of tokens as a server gave it; None if it is none."""
    if isinstance(value, str) and value.isdecimal() and len(value) < 12:
        return int(value)
    if isinstance(value, int | float) and 0 <= value < 1e12:
        return int(value)
    return None


def as_text(value: Any) -> str:
    """What a model gets of a tool's result: a text as it is, the rest as JSON."""
    if isinstance(value, str):
        return value
    return json.dumps(jsonable(value), ensure_ascii=False)


def _container(value: Any, depth: int) -> Any:
    if depth == 0:
        return clean(printed(value))
    # The exact types first: asking whether a list is a Mapping is slow.
    if type(value) is dict or not isinstance(value, list | tuple):
        # A copy at once, as the user's own thread may still change it.
        items = list(value.items())
        kept = {}
        for key, item in items if len(items) <= MAX_ITEMS else items[:MAX_ITEMS]:
            name = clean(key if type(key) is str else printed(key, str))
            # The commonest value by far, without a call.
            if type(item) is str and len(item) <= MAX_TEXT and item.isascii():
                kept[name] = item
            else:
                kept[name] = jsonable(item, depth - 1)
        if len(items) > MAX_ITEMS:
            kept["..."] = f"[{len(items) - MAX_ITEMS} items cut]"
        return kept
    listed = [jsonable(item, depth - 1) for item in value[:MAX_ITEMS]]
    if len(value) > MAX_ITEMS:
        listed.append(f"[... {len(value) - MAX_ITEMS} items cut]")
    return listed


def printed(value: Any, form: Callable[[Any], str] = repr) -> str:
    """The value's `repr` (or other form), also if that raises.

    Args:
        value: Anything of the user's.
        form: Makes it text.
    """
    try:
        return form(value)
    except Exception as exc:  # noqa: BLE001 - a user's class may raise anything
        return f"<{type(value).__name__} that cannot be shown: {type(exc).__name__}>"


def clean(text: str) -> str:
    """The text, cut to `MAX_TEXT` characters and without lone surrogates."""
    length = len(text)
    if length > MAX_TEXT:
        text = f"{text[:MAX_TEXT]} [... {length - MAX_TEXT} characters cut]"
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode()
    return text


def shorten(text: str, length: int) -> str:
    """The text on one line, with an ellipsis if it is longer than `length`.

    Args:
        text: The text; its line breaks become spaces.
        length: In characters, ellipsis included.
    """
    line = " ".join(text.split()) if "\n" in text else text
    return line if len(line) <= length else line[: length - 3] + "..."
