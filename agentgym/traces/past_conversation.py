"""A conversation that happened, whichever tool has stored it, and the case it makes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Message = dict[str, Any]
_FROM_SYSTEM = ("system", "developer")


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredConversation:
    """One conversation.

    Attributes:
        id: Of the trace; the same in each export of it.
        messages: In OpenAI's form, the answer that it ends with included.
        tools: Schemas of the tools that the model knew, in OpenAI's form.
    """

    id: str
    messages: Sequence[Message]
    tools: Sequence[Mapping[str, Any]] = ()


class NoCase(Exception):
    """A conversation makes no case; the text says why."""


def case_of(conversation: StoredConversation) -> dict[str, Any]:
    """The case that a conversation makes: its last turn is to be had again.

    Args:
        conversation: What happened.

    Returns:
        A row of a `dataset`: `messages`, what `agent.run` takes; `calls`, what was
        called then, with `result`; `reply`, what was said then; `system`, what the
        model was told; `tools`, their schemas.

    Raises:
        NoCase: There is no user's message, or nothing follows it.
    """
    said = list(conversation.messages)
    last = next(
        (i for i in range(len(said) - 1, -1, -1) if said[i].get("role") == "user"), None
    )
    if last is None:
        raise NoCase("no user's message")
    rest = said[last + 1 :]
    if not rest:
        raise NoCase("nothing after the user's last message")
    replies = [text_of(m.get("content")) for m in rest if m.get("role") == "assistant"]
    system = (m for m in said if m.get("role") in _FROM_SYSTEM)
    calls = list(_calls(rest))
    row: dict[str, Any] = {
        "id": conversation.id,
        "messages": list(_history(said[: last + 1])),
        "calls": calls,
        "reply": next((text for text in reversed(replies) if text), ""),
        "system": "\n".join(text_of(m.get("content")) for m in system),
        "tools": list(conversation.tools) or _guessed(list(_calls(said))),
    }
    return row


def text_of(content: Any) -> str:
    """The text of a message's content; what is no text is left out."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else ()
    texts = (part.get("text") for part in parts if isinstance(part, Mapping))
    return "".join(text for text in texts if isinstance(text, str))


def arguments_of(arguments: Any) -> dict[str, Any]:
    """A call's arguments, which some store as a text; none if they are no object."""
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except ValueError:
            return {}
    return dict(arguments) if isinstance(arguments, Mapping) else {}


def _history(messages: Sequence[Message]) -> Iterator[Message]:
    """What was said before, as `agent.run` takes it: no call without its answer.

    The agent that is measured has its own system prompt.
    """
    answered = {m.get("tool_call_id") for m in messages if m.get("role") == "tool"}
    asked: set[Any] = set()
    for message in messages:
        role, text = message.get("role"), text_of(message.get("content"))
        if role == "user" and text:
            yield {"role": "user", "content": text}
        elif role == "assistant":
            calls = [
                call
                for call in message.get("tool_calls") or ()
                if call.get("id") in answered and call.get("id") not in asked
            ]
            asked |= {call["id"] for call in calls}
            if calls:
                yield {"role": role, "content": text or None, "tool_calls": calls}
            elif text:
                yield {"role": role, "content": text}
        elif role == "tool" and message.get("tool_call_id") in asked:
            answer = {"role": role, "tool_call_id": message["tool_call_id"]}
            yield {**answer, "content": text}


def _calls(messages: Sequence[Message]) -> Iterator[dict[str, Any]]:
    """The calls of a turn, with what each got back, if that is known."""
    results = {
        message.get("tool_call_id"): text_of(message.get("content"))
        for message in messages
        if message.get("role") == "tool"
    }
    for message in messages:
        for call in message.get("tool_calls") or ():
            function = call.get("function") or {}
            yield {
                "name": function.get("name"),
                "arguments": arguments_of(function.get("arguments")),
                "result": results.get(call.get("id")),
            }


def _guessed(calls: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Schemas of tools that nobody has stored: what was called, with what."""
    known: dict[str, dict[str, str]] = {}
    for call in calls:
        arguments = known.setdefault(str(call["name"]), {})
        arguments |= {key: _type(value) for key, value in call["arguments"].items()}
    return [
        {
            "type": "function",
            "function": {
                "name": name,
                "description": "",
                "parameters": {
                    "type": "object",
                    "properties": {key: {"type": of} for key, of in arguments.items()},
                },
            },
        }
        for name, arguments in known.items()
    ]


def _type(value: Any) -> str:
    names = {bool: "boolean", int: "integer", float: "number", str: "string"}
    found = names.get(type(value))
    return found or ("array" if isinstance(value, list) else "object")
