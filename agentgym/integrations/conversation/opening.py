"""A conversation that was had before: a list of messages in OpenAI's shape.

It is checked here, before any framework sees it, because each of them says something
else, or nothing, of a list that no model could have been sent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agentgym.errors import UsageError
from agentgym.integrations.messages import field, text_of
from agentgym.recording.plain import printed, shorten
from agentgym.recording.trajectory import Message

_ROLES = ("system", "developer", "user", "assistant", "tool")


@dataclass(frozen=True, slots=True)
class Opening:
    """How a run begins.

    Attributes:
        history: What was said before.
        messages: What the user says now, in turn; None stands for going on from the
            history's tool results.
    """

    history: tuple[Message, ...]
    messages: tuple[str | None, ...]


def opening(given: Any) -> Opening:
    """Reads what `agent.run` got.

    Args:
        given: A text, a list of texts, or a list of messages.

    Raises:
        UsageError: It is none of these, or a conversation that no model could have.
    """
    listed = [given] if isinstance(given, str) else given
    if isinstance(listed, list | tuple) and listed:
        if all(isinstance(text, str) for text in listed):
            return Opening((), tuple(listed))
        if any(isinstance(message, Mapping) for message in listed):
            return _conversation(listed)
    raise UsageError(
        f"agent.run({shorten(printed(given), 60)}): give a message, a list of messages "
        "that are sent in turn, or a list of OpenAI's messages such as "
        '{"role": "user", "content": "..."}'
    )


def _conversation(listed: Sequence[Any]) -> Opening:
    messages: list[Message] = []
    open_calls: dict[str, int] = {}
    for number, message in enumerate(listed):
        where = f"agent.run(): message {number} of the history"
        read = _message(message, where)
        if read["role"] == "tool":
            if open_calls.pop(read["tool_call_id"], None) is None:
                raise UsageError(
                    f"{where} answers the call {read['tool_call_id']!r}, which no "
                    "assistant's message before it asks for, or which has its answer"
                )
        elif open_calls:
            raise UsageError(f"{where}: {_unanswered(open_calls)} before it")
        for call in read.get("tool_calls", ()):
            if call["id"] in open_calls:
                raise UsageError(f"{where} has two calls with the id {call['id']!r}")
            open_calls[call["id"]] = number
        messages.append(read)
    last = messages[-1]
    if open_calls:
        raise UsageError(
            f"agent.run(): {_unanswered(open_calls)} in the history: add it, or end "
            "the history before the call"
        )
    if last["role"] == "user":
        return Opening(tuple(messages[:-1]), (last["content"],))
    if last["role"] == "tool":
        return Opening(tuple(messages), (None,))
    raise UsageError(
        f"agent.run(): the history ends with the {last['role']}'s message: end it with "
        "the user's, or with the answer of a tool, to which the agent is to reply"
    )


def _unanswered(open_calls: Mapping[str, int]) -> str:
    call_id, number = next(iter(open_calls.items()))
    return f"the call {call_id!r} of message {number} has no tool's answer"


def _message(message: Any, where: str) -> Message:
    """The message with what the frameworks' adapters read of it, and no more."""
    if not isinstance(message, Mapping):
        raise UsageError(
            f"{where} is {shorten(printed(message), 60)}: give a dict with role and "
            "content, as all others are"
        )
    role = message.get("role")
    if role not in _ROLES:
        raise UsageError(
            f"{where} has the role {shorten(printed(role), 40)}: give one of "
            f"{', '.join(_ROLES)}"
        )
    calls = _calls(message, where) if role == "assistant" else []
    read: Message = {"role": role, "content": _content(message, where, bool(calls))}
    if calls:
        read["tool_calls"] = calls
    if role == "tool":
        call_id = message.get("tool_call_id")
        if not isinstance(call_id, str) or not call_id:
            raise UsageError(f"{where} is a tool's and has no tool_call_id")
        read["tool_call_id"] = call_id
    return read


def _content(message: Mapping[str, Any], where: str, calls: bool) -> str:
    content = message.get("content")
    if content is None and calls:
        return ""
    parts = content if isinstance(content, list | tuple) else ()
    texts = ("text", "input_text", "output_text")
    if isinstance(content, str) or (
        parts and all(isinstance(p, Mapping) and p.get("type") in texts for p in parts)
    ):
        return text_of(content)
    raise UsageError(
        f"{where} has the content {shorten(printed(content), 60)}: give a text, or a "
        "list of text parts"
    )


def _calls(message: Mapping[str, Any], where: str) -> list[dict[str, Any]]:
    calls = message.get("tool_calls") or []
    if not isinstance(calls, list | tuple):
        raise UsageError(f"{where}: tool_calls is no list")
    read = []
    for call in calls:
        function = call.get("function") if isinstance(call, Mapping) else None
        name = function.get("name") if isinstance(function, Mapping) else None
        call_id = call.get("id") if isinstance(call, Mapping) else None
        if not isinstance(name, str) or not isinstance(call_id, str) or not call_id:
            raise UsageError(
                f"{where} has the tool call {shorten(printed(call), 60)}: give "
                '{"id": ..., "type": "function", "function": {"name": ..., '
                '"arguments": "JSON"}}'
            )
        arguments = _arguments(field(function, "arguments"), where, name)
        function = {"name": name, "arguments": arguments}
        read.append({"id": call_id, "type": "function", "function": function})
    return read


def _arguments(given: Any, where: str, name: str) -> str:
    try:
        read = json.loads(given or "{}") if isinstance(given, str | None) else given
    except ValueError:
        read = None
    if not isinstance(read, dict):
        raise UsageError(
            f"{where} calls {name} with the arguments {shorten(printed(given), 60)}: "
            "give a JSON object, as a text"
        )
    return json.dumps(read)


def names_of(history: Sequence[Message]) -> dict[str, str]:
    """The tool of each call in the history, by the call's id.

    Args:
        history: As `opening` reads it.
    """
    return {
        call["id"]: call["function"]["name"]
        for message in history
        for call in message.get("tool_calls", ())
    }
