"""What a model server answered, and whether that is an answer at all.

Read from whatever a client makes of it: objects, dicts, or what it could not read. Both
kinds of answer are read whole, or part by part as a stream; nothing here raises.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from agentgym.errors import AgentError, AgentGymError, InfraError
from agentgym.integrations.answering.fragments import Fragments
from agentgym.integrations.messages import assistant, field, of_output, text_of
from agentgym.recording.client_errors import error_status
from agentgym.recording.plain import printed, shorten, token_count
from agentgym.recording.trajectory import Message


class ModelAnswer:
    """An answer of a model server, as far as it was read.

    Attributes:
        fault: Why it is none: of the server, or of the request, which is the agent's.
        odd: What a client may not be able to read, though nobody needs it.
        reason: Why the model stopped, in the words of chat completions.
        prompt_tokens: Of the request, where known.
        completion_tokens: Of the answer, where known.
        over: Whether the server said that a stream is over, by `[DONE]`; None where
            that cannot be seen.
    """

    def __init__(self) -> None:
        self.over: bool | None = None
        self.fault: AgentGymError | None = None
        self.odd: InfraError | None = None
        self.reason: str | None = None
        self.prompt_tokens: int | None = None
        self.completion_tokens: int | None = None

    @property
    def message(self) -> Message:
        """What the model said, in OpenAI's shape."""
        return assistant("")

    def whole(self, answer: Any) -> None:
        """Reads a whole answer."""
        with self._reading():
            self._whole(answer)

    def part(self, part: Any) -> None:
        """Reads a part of a stream."""
        with self._reading():
            error = field(part, "error")
            if not _is_object(part):
                self._is_none(part)
            elif error and not isinstance(error, AgentGymError):
                self._refused(error)
            else:
                self._part(part)

    def close(self) -> None:
        """The stream is at its end; one that an agent leaves early is not."""
        with self._reading():
            if self.fault is None and self.reason is None:
                self._ends()

    def is_unreadable(self, why: str) -> None:
        """The client got what it cannot read.

        Args:
            why: In words.
        """
        self.fault = self.fault or InfraError(f"the model server's answer {why}")

    def _whole(self, answer: Any) -> None:
        raise NotImplementedError

    def _part(self, part: Any) -> None:
        raise NotImplementedError

    def _ends(self) -> None:
        raise NotImplementedError

    @contextlib.contextmanager
    def _reading(self) -> Any:
        try:
            yield
        except Exception as exc:  # noqa: BLE001 - a server may send anything
            self.is_unreadable(f"cannot be read: {type(exc).__name__}: {exc}")

    def _is_none(self, answer: Any) -> None:
        shown = shorten(printed(answer), 60)
        self.is_unreadable(f"is no JSON object: {shown}")

    def _refused(self, error: Any) -> None:
        told = field(error, "message") or error
        text = shorten(told if isinstance(told, str) else printed(told), 200)
        kind = AgentError if error_status(_words(error)) == 400 else InfraError
        self.fault = self.fault or kind(f"the model server answered an error: {text}")

    def _count(self, usage: Any, prompt: str, completion: str) -> None:
        if usage is None:
            return
        counts = [field(usage, prompt), field(usage, completion)]
        if not all(type(count) is int for count in counts):
            self.odd = InfraError(
                "the model server's usage is no number of tokens: "
                f"{shorten(printed(usage), 60)}"
            )
        known = [token_count(count) for count in counts]
        self.prompt_tokens = _first(known[0], self.prompt_tokens)
        self.completion_tokens = _first(known[1], self.completion_tokens)


class ChatAnswer(ModelAnswer):
    """An answer of `/chat/completions`."""

    def __init__(self) -> None:
        super().__init__()
        self._text: list[str] = []
        self._calls = Fragments()

    @property
    def message(self) -> Message:
        """What the model said, in OpenAI's shape."""
        calls = [(c.id, c.name, c.arguments) for c in self._calls.calls]
        return assistant("".join(self._text), calls)

    def _whole(self, answer: Any) -> None:
        choices = field(answer, "choices")
        if not _is_object(answer):
            self._is_none(answer)
        elif not choices and field(answer, "error"):
            self._refused(field(answer, "error"))
        elif not isinstance(choices, list) or not choices:
            self.is_unreadable(f"has no choices: {shorten(printed(choices), 40)}")
        else:
            self._choice(choices[0], "message")
            self._count(field(answer, "usage"), "prompt_tokens", "completion_tokens")

    def _part(self, part: Any) -> None:
        usage, choices = field(part, "usage"), field(part, "choices")
        self._count(usage, "prompt_tokens", "completion_tokens")
        if isinstance(choices, list):
            for choice in choices:
                if field(choice, "index") in (0, None):
                    self._choice(choice, "delta")
                    return
        elif usage is None and self.reason is None:
            self.is_unreadable("has a part without choices")

    def _choice(self, choice: Any, where: str) -> None:
        said, reason = field(choice, where), field(choice, "finish_reason")
        if field(choice, "error") or reason == "error":
            self._refused(field(choice, "error") or "the model's provider failed")
        elif not _is_object(said):
            if self.reason is None:
                self.is_unreadable(f"has a choice without a {where}")
        else:
            text = text_of(field(said, "content")) or field(said, "refusal")
            self._text.append(text if isinstance(text, str) else "")
            calls = field(said, "tool_calls")
            for order, call in enumerate(calls if isinstance(calls, list) else ()):
                function = field(call, "function")
                if function is not None:
                    self._calls.add(
                        field(call, "index") if where == "delta" else order,
                        field(call, "id"),
                        field(function, "name"),
                        field(function, "arguments"),
                    )
            self.reason = reason if isinstance(reason, str) else self.reason

    def _ends(self) -> None:
        calls = self._calls.calls
        if not calls and not any(self._text):
            self.is_unreadable("ended before it said anything")
        elif any(call.arguments and not call.complete for call in calls):
            self.is_unreadable("broke off within a tool call")
        elif self.over is False:
            # Some servers never say why their model stopped, but that they are done.
            self.is_unreadable("broke off before its end")


class ResponsesAnswer(ModelAnswer):
    """An answer of `/responses`."""

    def __init__(self) -> None:
        super().__init__()
        self._output: list[Any] = []

    @property
    def message(self) -> Message:
        """What the model said, in OpenAI's shape."""
        return of_output(self._output)

    def _whole(self, answer: Any) -> None:
        output, status = field(answer, "output"), field(answer, "status")
        error = field(answer, "error")
        if not _is_object(answer):
            self._is_none(answer)
        elif error or status == "failed":
            self._refused(error or "the response failed")
        elif not isinstance(output, list) or not all(map(_is_object, output)):
            self.is_unreadable(f"has no output: {shorten(printed(output), 40)}")
        elif not output and status in ("completed", None):
            self.is_unreadable("has an empty output")
        else:
            self._output = output
            self._count(field(answer, "usage"), "input_tokens", "output_tokens")
            ended = "tool_calls" if "tool_calls" in self.message else "stop"
            self.reason = "length" if status == "incomplete" else ended

    def _part(self, part: Any) -> None:
        kind = field(part, "type")
        if kind == "error":
            self._refused(part)
        elif kind in (
            "response.completed",
            "response.incomplete",
            "response.failed",
        ):
            self._whole(field(part, "response"))
        elif kind == "response.output_item.done" and _is_object(field(part, "item")):
            self._output.append(field(part, "item"))

    def _ends(self) -> None:
        if not self._output:
            self.is_unreadable("ended before it said anything")


def _is_object(value: Any) -> bool:
    """Whether it is a JSON object, or what a client made of one."""
    plain = (str, bytes, int, float, list, tuple, type(None))
    return isinstance(value, Mapping) or not isinstance(value, plain)


def _words(error: Any) -> Any:
    """What an error says of itself, be it a dict or a client's object."""
    if isinstance(error, str):
        return error
    return {name: field(error, name) for name in ("status", "code", "type")}


def _first(*values: int | None) -> int | None:
    return next((value for value in values if value is not None), None)
