"""Tools that answer as they did in a conversation that happened."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agentgym.errors import UsageError

_TYPES: dict[Any, type] = {
    "string": str,
    "integer": int,
    "number": float,
    "boolean": bool,
    "array": list,
    "object": dict,
}


def recorded_tools(case: Mapping[str, Any]) -> list[Callable[..., Any]]:
    """Functions that answer as the tools of an imported case did.

    A call with other arguments than any that happened raises `LookupError`, which the
    agent is told of as of any other error of a tool; a call that happened several times
    has its results in their order, and the last one from then on.

    Args:
        case: A row that `agentgym import` wrote: `case.value`.

    Returns:
        One for each of its `tools`, with its name, description and arguments.

    Raises:
        UsageError: It is no such row.
    """
    if not isinstance(case, Mapping) or not {"tools", "calls"} <= case.keys():
        raise UsageError(
            "recorded_tools(): give the case.value of a case that agentgym import wrote"
        )
    # Also what was called before the turn that is had again.
    happened = [*_earlier(case.get("messages") or ()), *case["calls"]]
    return [_tool(each["function"], happened) for each in case["tools"]]


def _earlier(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    results = {
        message["tool_call_id"]: message.get("content")
        for message in messages
        if message.get("role") == "tool"
    }
    return [
        {
            "name": call["function"]["name"],
            "arguments": json.loads(call["function"]["arguments"] or "{}"),
            "result": results.get(call["id"]),
        }
        for message in messages
        for call in message.get("tool_calls") or ()
    ]


def _tool(
    schema: Mapping[str, Any], happened: Sequence[Mapping[str, Any]]
) -> Callable[..., Any]:
    name = schema["name"]
    known = [call for call in happened if call["name"] == name]
    left = list(known)

    def answer(**given: Any) -> Any:
        # Frameworks give None where the model left an argument out.
        arguments = {key: value for key, value in given.items() if value is not None}
        same = [call for call in left if call["arguments"] == arguments]
        same = same or [call for call in known if call["arguments"] == arguments][-1:]
        if not same:
            tried = "; ".join(_shown(call["arguments"]) for call in known) or "nothing"
            raise LookupError(
                f"{name}({_shown(arguments)}) was not called when this happened; "
                f"recorded is {tried}"
            )
        if same[0] in left:
            left.remove(same[0])
        return same[0]["result"]

    answer.__name__ = answer.__qualname__ = name
    answer.__doc__ = schema.get("description") or name
    answer.__signature__ = _signature(schema.get("parameters") or {})  # type: ignore[attr-defined]
    answer.__annotations__ = {
        parameter.name: parameter.annotation
        for parameter in inspect.signature(answer).parameters.values()
    }
    return answer


def _signature(parameters: Mapping[str, Any]) -> inspect.Signature:
    required = set(parameters.get("required") or ())
    made = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if name in required else None,
            annotation=_annotation(about),
        )
        for name, about in (parameters.get("properties") or {}).items()
        if name.isidentifier()
    ]
    return inspect.Signature(made)


def _annotation(about: Any) -> Any:
    kind = about.get("type") if isinstance(about, Mapping) else None
    return _TYPES.get(kind, Any) if isinstance(kind, str) else Any


def _shown(arguments: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value!r}" for key, value in arguments.items())
