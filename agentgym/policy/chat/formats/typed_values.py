"""Values that a model writes without types, typed by the tool's schema as vLLM does."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from agentgym.policy.chat.formats.found import Schemas


def arguments_json(tools: Schemas, name: str, values: Mapping[str, object]) -> str:
    """Arguments as JSON.

    Args:
        tools: The tools that the model was shown.
        name: Of the tool that is called.
        values: What the model wrote for each argument; texts are typed.
    """
    properties = tools.get(name, {}).get("properties", {})
    known = properties if isinstance(properties, Mapping) else {}
    typed = {
        key: _typed(value, set(_types(known.get(key))))
        if isinstance(value, str)
        else value
        for key, value in values.items()
    }
    return json.dumps(typed, ensure_ascii=False)


def _types(schema: Any) -> Iterator[str]:
    """The types that a schema allows; none if it names none."""
    if not isinstance(schema, Mapping):
        return
    declared = schema.get("type")
    yield from [declared] if isinstance(declared, str) else declared or ()
    for value in schema.get("enum") or ():
        yield _type_of(value)
    for key in ("anyOf", "oneOf", "allOf"):
        for choice in schema.get(key) or ():
            yield from set(_types(choice)) or {"string"}


def _type_of(value: object) -> str:
    if value is None:
        return "null"
    kinds = ((bool, "boolean"), (int, "integer"), (float, "number"), (str, "string"))
    found = next((name for kind, name in kinds if isinstance(value, kind)), None)
    return found or ("array" if isinstance(value, list) else "object")


def _typed(text: str, types: set[str]) -> object:
    """A value of the first type that it can be; text where no type is known."""
    for name, read in _READERS:
        if name in types:
            try:
                return read(text)
            except (ValueError, RecursionError, OverflowError):
                continue
    if not types or "string" in types:
        return text
    try:
        return _json(text)
    except (ValueError, RecursionError):
        return text


def _null(text: str) -> None:
    if text.lower() != "null":
        raise ValueError("not null")


def _number(text: str) -> float | int:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("JSON has no such number")
    return int(value) if value == int(value) else value


def _boolean(text: str) -> bool:
    words = {"true": True, "1": True, "false": False, "0": False}
    word = text.lower().strip()
    if word not in words:
        raise ValueError("neither true nor false")
    return words[word]


def _json(text: str) -> object:
    value = json.loads(text)
    json.dumps(value, allow_nan=False)
    return value


_READERS: tuple[tuple[str, Callable[[str], object]], ...] = (
    ("null", _null),
    ("integer", int),
    ("number", _number),
    ("boolean", _boolean),
    ("object", _json),
    ("array", _json),
)
