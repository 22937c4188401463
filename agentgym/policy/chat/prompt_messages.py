"""OpenAI's messages and tools, checked and in the one form that templates expect."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

Message = dict[str, Any]

_ROLES = ("system", "developer", "user", "assistant", "tool", "function")


class PromptError(ValueError):
    """The request cannot become a prompt; the text is one clear sentence."""


def forced_names(
    tools: Sequence[Mapping[str, Any]] | None,
    choice: str | Mapping[str, Any] | None,
) -> tuple[str, ...]:
    """The tools of which one has to be called; none if the model is free.

    Args:
        tools: OpenAI's descriptions of the tools.
        choice: OpenAI's `tool_choice`.

    Raises:
        PromptError: A tool has no name, or the choice is none.
    """
    names = tuple(_tool_name(i, tool) for i, tool in enumerate(tools or ()))
    if choice is None or choice in ("auto", "none"):
        return ()
    if choice == "required":
        if not names:
            raise PromptError('tool_choice is "required", but the request has no tools')
        return names
    if isinstance(choice, Mapping):
        function = choice.get("function")
        wanted = function.get("name") if isinstance(function, Mapping) else None
        if wanted in names:
            return (str(wanted),)
        known = ", ".join(names) or "none"
        raise PromptError(
            f"tool_choice names the tool {wanted!r}, which is not among the tools of "
            f"the request ({known})"
        )
    raise PromptError(
        f"tool_choice {choice!r} is unknown: use none, auto, required or a function"
    )


def _tool_name(index: int, tool: Mapping[str, Any]) -> str:
    function = tool.get("function")
    name = function.get("name") if isinstance(function, Mapping) else None
    if not isinstance(name, str) or not name:
        raise PromptError(f"tools[{index}] has no function name")
    return name


def normal_message(index: int, message: Mapping[str, Any]) -> Message:
    """A message as templates expect it: text content, arguments as objects.

    Args:
        index: Its place in the request, for error messages.
        message: As OpenAI's clients send it.

    Raises:
        PromptError: It makes no sense.
    """
    role = message.get("role")
    if role not in _ROLES:
        raise PromptError(
            f"messages[{index}] has the unknown role {role!r}: "
            "use system, user, assistant or tool"
        )
    normal: Message = {
        "role": {"developer": "system", "function": "tool"}.get(role, role),
        "content": _text(index, message.get("content")),
    }
    for key in ("name", "tool_call_id"):
        if message.get(key) is not None:
            normal[key] = message[key]
    if role == "assistant" and message.get("tool_calls"):
        normal["tool_calls"] = [
            _normal_call(index, call) for call in message["tool_calls"]
        ]
    return normal


def _text(index: int, content: Any) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    parts = []
    for part in content if isinstance(content, list) else [content]:
        if not isinstance(part, Mapping) or not isinstance(part.get("text"), str):
            raise PromptError(
                f"messages[{index}] has content that is not text: "
                "this model reads text only"
            )
        parts.append(part["text"])
    return "".join(parts)


_MALFORMED = "INVALID_JSON"
"""Where Pydantic AI puts arguments that are no JSON, to send them back as JSON."""


def _normal_call(index: int, call: Any) -> dict[str, Any]:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise PromptError(f"messages[{index}] has a tool call without a function name")
    arguments = function.get("arguments", "{}")
    if isinstance(arguments, str):
        try:
            parsed = json.loads(arguments)
        except ValueError:
            parsed = None
        if isinstance(parsed, dict) and parsed.keys() == {_MALFORMED}:
            arguments = str(parsed[_MALFORMED])
        else:
            arguments = parsed if isinstance(parsed, dict) else arguments
    return {
        "id": call.get("id"),
        "type": "function",
        "function": {"name": function["name"], "arguments": arguments},
    }


def digests(
    messages: list[Message], tools: Sequence[Mapping[str, Any]] | None, salt: str
) -> list[bytes]:
    """A digest of the conversation up to and with each message.

    Args:
        messages: As `normal_message` gives them.
        tools: OpenAI's descriptions of the tools that the model is shown.
        salt: Conversations with another one have other digests.
    """
    digest = hashlib.blake2b(
        json.dumps([salt, tools], sort_keys=True).encode(), digest_size=16
    ).digest()
    made = []
    for message in messages:
        digest = extend(digest, message)
        made.append(digest)
    return made


def extend(digest: bytes, message: Message) -> bytes:
    """The digest of a conversation with one more message.

    Args:
        digest: Of the conversation before.
        message: As `normal_message` gives it.
    """
    known = message
    if message["role"] == "assistant":
        # Clients strip text, or drop it beside tool calls, and add names; the calls'
        # ids and arguments tell such replies apart.
        calls = message.get("tool_calls", [])
        known = {
            "role": "assistant",
            "content": "" if calls else message["content"].strip(),
            "tool_calls": calls,
        }
    text = json.dumps(known, sort_keys=True)
    data = digest + text.encode(errors="surrogatepass")
    return hashlib.blake2b(data, digest_size=16).digest()
