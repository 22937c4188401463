"""Messages and tools as many libraries store them, in OpenAI's form.

Read are OpenAI's own messages; the parts of OpenTelemetry's GenAI conventions;
LangChain's messages, serialized or flat; content blocks of Anthropic and Bedrock;
OpenInference's nested messages.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agentgym.traces.past_conversation import Message

_ROLES = {"human": "user", "ai": "assistant", "model": "assistant", "function": "tool"}
_KNOWN = ("system", "developer", "user", "assistant", "tool")
_CALLS = ("tool_call", "tool_use", "tool-call")
_RESULTS = ("tool_call_response", "tool_result", "tool-result")
_TEXTS = ("text", "input_text", "output_text")


def parsed(value: Any) -> Any:
    """What a text of JSON holds, and anything else as it is."""
    for _ in range(2):
        if not (isinstance(value, str) and value.lstrip()[:1] in ("[", "{", '"')):
            break
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            break
    return value


def messages_of(value: Any, role: str = "user") -> list[Message]:
    """The messages that a value holds, in OpenAI's form.

    Args:
        value: A message, a list of them, a list in a list, or a text.
        role: Of a text, and of a message that does not say it.
    """
    value = parsed(value)
    if isinstance(value, str):
        return [{"role": role, "content": value}] if value else []
    if isinstance(value, Mapping):
        return list(_message(value, role))
    found: list[Message] = []
    for each in value if isinstance(value, list) else ():
        found += messages_of(each, role)
    return found


def joined(*parts: Sequence[Message]) -> list[Message]:
    """Messages in their order, each call with an id, which its result has, too.

    Args:
        *parts: Of the conversation.
    """
    waiting: list[str] = []
    said: list[Message] = []
    for message in (message for part in parts for message in part):
        made = dict(message)
        if made.get("tool_calls"):
            calls = [dict(call) for call in made["tool_calls"]]
            for call in calls:
                call["id"] = call.get("id") or f"call_{len(said)}_{len(waiting)}"
                waiting.append(call["id"])
            made["tool_calls"] = calls
        if made["role"] == "tool":
            # Some stores lose the ids: results come in the order of their calls.
            known = made.get("tool_call_id") or (waiting[0] if waiting else "")
            made["tool_call_id"] = known
            if known in waiting:
                waiting.remove(known)
        said.append(made)
    return said


def tools_of(value: Any) -> list[dict[str, Any]]:
    """Schemas of tools, in OpenAI's form.

    Args:
        value: A list of them, or a text of that; what is none is left out.
    """
    value = parsed(value)
    if isinstance(value, Mapping):
        value = list(value.values())
    found = map(_tool, value if isinstance(value, list) else ())
    return [tool for tool in found if tool is not None]


def _tool(value: Any) -> dict[str, Any] | None:
    value = parsed(value)
    if not isinstance(value, Mapping):
        return None
    function = value.get("function", value)
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        return None
    names = (
        "parameters",
        "input_schema",
        "parameters_json_schema",
        "inputSchema",
    )
    schema: Any = next((parsed(function[n]) for n in names if n in function), {})
    if isinstance(schema, Mapping) and isinstance(schema.get("json"), Mapping):
        schema = schema["json"]
    return {
        "type": "function",
        "function": {
            "name": function["name"],
            "description": str(function.get("description") or ""),
            "parameters": schema if isinstance(schema, Mapping) else {},
        },
    }


def _message(value: Mapping[str, Any], role: str) -> Iterator[Message]:
    inner = value.get("message")
    if isinstance(inner, Mapping | str) and "role" not in value:
        # A choice, or a message of OpenInference.
        yield from messages_of(inner, role)
        return
    kwargs = value.get("kwargs") or value.get("data")
    if isinstance(kwargs, Mapping) and ("lc" in value or "type" in value):
        named = value["id"][-1] if isinstance(value.get("id"), list) else ""
        kind = value.get("type") if value.get("type") != "constructor" else ""
        said = kwargs.get("type") or kind or named.partition("Message")[0]
        yield from _message({"role": said, **kwargs}, role)
        return
    said = str(value.get("role") or value.get("type") or role).lower()
    said = said.removesuffix("messagechunk").removesuffix("message")
    said = _ROLES.get(said, said)
    if said not in _KNOWN:
        said = role
    blocks = _blocks(value)
    calls = _calls(value, blocks)
    text = "".join(_text(block) for block in blocks)
    results = [block for block in blocks if _kind(block) in _RESULTS]
    for block in results:
        yield {"role": "tool", "content": _result(block), "tool_call_id": _id(block)}
    if said == "tool" and not results:
        known = str(value.get("tool_call_id") or value.get("id") or "")
        yield {"role": "tool", "content": text or _shown(value), "tool_call_id": known}
    elif text or calls or not results:
        made: Message = {"role": said, "content": text or None}
        if calls:
            made["tool_calls"] = calls
        if text or calls:
            yield made


def _blocks(value: Mapping[str, Any]) -> list[Any]:
    content = value.get("parts", value.get("contents", value.get("content")))
    content = parsed(content) if isinstance(content, str) else content
    if isinstance(content, list) and all(isinstance(b, Mapping) for b in content):
        inner = (block.get("message_content", block) for block in content)
        return [_bedrock(block) for block in inner]
    plain = value.get("content")
    return [{"type": "text", "text": plain}] if isinstance(plain, str) else []


def _bedrock(block: Mapping[str, Any]) -> Mapping[str, Any]:
    """A block of Bedrock's, which has its kind as a key, like all others."""
    for key, kind in (("toolUse", "tool_use"), ("toolResult", "tool_result")):
        inner = block.get(key)
        if isinstance(inner, Mapping):
            return {"type": kind, "id": inner.get("toolUseId"), **inner}
    return block if "type" in block else {"type": "text", **block}


def _kind(block: Mapping[str, Any]) -> str:
    return str(block.get("type"))


def _text(block: Mapping[str, Any]) -> str:
    if _kind(block) not in _TEXTS:
        return ""
    text = block.get("text", block.get("content"))
    return text if isinstance(text, str) else ""


def _id(block: Mapping[str, Any]) -> str:
    keys = ("id", "tool_use_id", "toolCallId", "tool_call_id", "call_id")
    found = next((block[key] for key in keys if block.get(key)), "")
    if isinstance(found, list):
        calls = [each for each in found if str(each).startswith("call_")]
        found = (calls or found or [""])[-1]
    return str(found).strip()


def _result(block: Mapping[str, Any]) -> str:
    for key in ("response", "result", "output", "content"):
        if block.get(key) is not None:
            return _shown(block[key])
    return ""


def _shown(value: Any) -> str:
    """A tool's result as the text that its model got."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(isinstance(b, Mapping) for b in value):
        texts = [block.get("text", block.get("content")) for block in value]
        if all(isinstance(text, str) for text in texts):
            return "".join(map(str, texts))
    if isinstance(value, Mapping) and "role" in value:
        return _shown(value.get("content") or "")
    return json.dumps(value, ensure_ascii=False)


def _calls(value: Mapping[str, Any], blocks: Sequence[Any]) -> list[dict[str, Any]]:
    extra = value.get("additional_kwargs")
    extra = extra.get("tool_calls") if isinstance(extra, Mapping) else None
    listed = parsed(value.get("tool_calls") or value.get("toolCalls")) or extra
    if not listed:
        listed = [block for block in blocks if _kind(block) in _CALLS]
    calls = (_call(each) for each in listed if isinstance(each, Mapping))
    return [call for call in calls if call is not None]


def _call(value: Mapping[str, Any]) -> dict[str, Any] | None:
    inner = value.get("tool_call")
    value = inner if isinstance(inner, Mapping) else value
    function = value.get("function", value)
    if not isinstance(function, Mapping):
        return None
    name = function.get("name") or function.get("toolName")
    if not isinstance(name, str):
        return None
    keys = ("arguments", "args", "input")
    arguments: Any = next((function[key] for key in keys if key in function), {})
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments, ensure_ascii=False)
    called = {"name": name, "arguments": arguments or "{}"}
    return {"id": _id(value), "type": "function", "function": called}
