"""Conversations as OpenAI's API has them: logged requests, fine-tuning files, lists."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from agentgym.traces.normal_form import joined, messages_of, tools_of
from agentgym.traces.past_conversation import Message, StoredConversation

NAME = "OpenAI messages"


def reads(value: Any) -> bool:
    """Whether a line is a conversation.

    Args:
        value: A list of messages; or an object with `messages`, and perhaps `tools`,
            `id` and the answer: `response` or `choices`; or one with such a `request`.
    """
    return _messages(value) is not None


def conversations(values: Iterable[Any]) -> Iterator[StoredConversation]:
    """The conversations of all lines.

    Args:
        values: As `reads` says.
    """
    for value in values:
        messages = _messages(value) or ()
        about = value if isinstance(value, Mapping) else {}
        request = about.get("request")
        asked = request if isinstance(request, Mapping) else about
        answer = _answer(about)
        said = joined(messages_of(messages), messages_of(answer, "assistant"))
        yield StoredConversation(
            id=_id(about, said), messages=said, tools=tools_of(asked.get("tools"))
        )


def is_message(value: Any) -> bool:
    """Whether it is a message in OpenAI's form."""
    return isinstance(value, Mapping) and isinstance(value.get("role"), str)


def _messages(value: Any) -> list[Message] | None:
    if isinstance(value, Mapping):
        request = value.get("request")
        if isinstance(request, Mapping):
            return _messages({"messages": request.get("messages")})
        value = value.get("messages")
    if isinstance(value, list) and value and all(map(is_message, value)):
        return value
    return None


def _answer(about: Mapping[str, Any]) -> Message | None:
    for found in (about.get("response"), about):
        if isinstance(found, Mapping):
            body = found.get("body")
            found = body if isinstance(body, Mapping) else found
            choices = found.get("choices")
            if isinstance(choices, list) and choices:
                message = choices[0].get("message")
                return dict(message) if is_message(message) else None
            if is_message(found):
                return dict(found)
    return None


def _id(about: Mapping[str, Any], said: list[Message]) -> str:
    for key in ("id", "conversation_id", "trace_id", "custom_id", "request_id"):
        if isinstance(about.get(key), str | int):
            return str(about[key])
    text = json.dumps(said, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
