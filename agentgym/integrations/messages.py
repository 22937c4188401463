"""Chat messages in OpenAI's shape, as the frameworks' adapters record them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from agentgym.errors import InfraError
from agentgym.recording.asked import note_asked
from agentgym.recording.blame import describe as error_line
from agentgym.recording.joining import ToolAnswer

if TYPE_CHECKING:
    from agentgym.recording.recorder import Recorder
    from agentgym.recording.trajectory import Message, ModelCall

RECORDED = "recorded_by_agentgym"
"""Attribute of a client, or of a function of one, that records what it asks."""


def assistant(
    content: str | None, calls: Iterable[tuple[str | None, str, Any]] = ()
) -> Message:
    """What the model said.

    Args:
        content: Its text.
        calls: Id, name and arguments (raw text, or an object) of its tool calls.
    """
    message: Message = {"role": "assistant", "content": content or ""}
    asked = [
        {
            "id": call_id or "",
            "type": "function",
            "function": {
                "name": name,
                "arguments": arguments
                if isinstance(arguments, str)
                else json.dumps(arguments),
            },
        }
        for call_id, name, arguments in calls
    ]
    if asked:
        message["tool_calls"] = asked
    return message


def begin(
    recorder: Recorder,
    messages: Sequence[Any],
    model: str | None = None,
    *,
    watched: bool = True,
    path: tuple[str, ...] = (),
    system: Sequence[str] = (),
    tools: Any = None,
    describe: Callable[[Any], dict[str, Any]] | None = None,
) -> ModelCall:
    """Joins the tool results at the end of a request, then starts the model call.

    Args:
        recorder: Of the episode.
        messages: The request's messages, in OpenAI's shape.
        model: The model's name.
        watched: Whether all executions of tools are seen. A call that has a result
            but never ran was then refused by the framework: an unknown tool, or
            arguments that are no JSON.
        path: Names of the nested agents that ask.
        system: Texts of the system prompt, besides those among the messages.
        tools: What the model may call, as the framework has it.
        describe: See `agentgym.recording.asked.note_asked`.
    """
    answers = []
    for message in reversed(messages):
        if field(message, "role") != "tool":
            break
        answers.append(
            ToolAnswer(
                str(field(message, "tool_call_id") or ""),
                text_of(field(message, "content")),
                refused=watched,
                name=str(field(message, "name") or ""),
            )
        )
    if answers:
        recorder.tools_answered(answers[::-1], path=path)
    call = recorder.model_started(model, heard=_heard(messages), path=path)
    texts = [*system, *_instructions(messages)]
    note_asked(recorder.trajectory, call, texts, tools, describe)
    return call


def _instructions(messages: Sequence[Any]) -> Iterator[str]:
    for message in messages:
        if field(message, "role") in ("system", "developer"):
            yield text_of(field(message, "content"))


@contextlib.contextmanager
def reading(recorder: Recorder, call: ModelCall) -> Iterator[None]:
    """Reads what a framework made of an answer; what cannot be read is no answer.

    Args:
        recorder: Of the episode.
        call: The model call, which ends within.
    """
    try:
        yield
    except (AttributeError, LookupError, TypeError, ValueError) as exc:
        fault = InfraError(f"the model's answer cannot be read: {error_line(exc)}")
        recorder.model_failed(call, fault)


def _heard(messages: Sequence[Any]) -> Iterator[str]:
    for message in messages:
        if field(message, "role") == "user":
            yield text_of(field(message, "content"))


def field(message: Any, name: str) -> Any:
    """A message's field, be it a dict or an object.

    Args:
        message: Of whichever client.
        name: Of the field; None is given where there is none.
    """
    if isinstance(message, Mapping):
        return message.get(name)
    return getattr(message, name, None)


def text_of(content: Any) -> str:
    """The text of a message's content: a text, or a list of parts."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list | tuple) else ()
    return "".join(
        part if isinstance(part, str) else str(field(part, "text") or "")
        for part in parts
    )


def of_item(item: Any) -> Iterator[Message]:
    """An input item of OpenAI's Responses API as chat messages."""
    if field(item, "type") == "function_call_output":
        output = field(item, "output")
        yield {
            "role": "tool",
            "tool_call_id": field(item, "call_id"),
            "content": output if isinstance(output, str) else text_of(output),
        }
    elif field(item, "role") in ("user", "assistant", "system", "developer"):
        yield {"role": field(item, "role"), "content": text_of(field(item, "content"))}


def as_items(messages: Iterable[Message]) -> Iterator[Message]:
    """Chat messages as input items of OpenAI's Responses API.

    Args:
        messages: As `agentgym.integrations.conversation.opening` reads them.
    """
    for message in messages:
        if message["role"] == "tool":
            yield {
                "type": "function_call_output",
                "call_id": message["tool_call_id"],
                "output": message["content"],
            }
        elif message["content"] or "tool_calls" not in message:
            yield {"role": message["role"], "content": message["content"]}
        for call in message.get("tool_calls", ()):
            item = {"type": "function_call", "call_id": call["id"]}
            yield item | call["function"]


def of_output(output: Iterable[Any]) -> Message:
    """What the Responses API answered, as a chat message."""
    text, calls = "", []
    for item in output:
        kind = field(item, "type")
        if kind == "message":
            text += "".join(
                str(field(part, "text") or field(part, "refusal") or "")
                for part in field(item, "content") or ()
            )
        elif kind == "function_call":
            calls.append(
                tuple(field(item, n) for n in ("call_id", "name", "arguments"))
            )
    return assistant(text, calls)
