"""OpenInference's spans, as Arize Phoenix exports them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from agentgym.traces.model_calls import StoredCall, items_of, longest
from agentgym.traces.normal_form import joined, messages_of, parsed, tools_of
from agentgym.traces.past_conversation import StoredConversation

NAME = "OpenInference spans (Phoenix)"
_COLUMN = "attributes."


def reads(value: Any) -> bool:
    """Whether it is a span, a list of them, or a table of spans."""
    if not isinstance(value, Mapping):
        return False
    spans = _listed(value)
    return bool(spans) and all(map(_is_span, spans))


def conversations(values: Iterable[Any]) -> Iterator[StoredConversation]:
    """The conversations of all spans.

    Args:
        values: As `reads` says.
    """
    spans = [span for value in values for span in _listed(value)]
    spans.sort(key=lambda span: str(span.get("start_time") or ""))
    calls = (call_of(_trace(span), _attributes(span)) for span in spans)
    yield from longest(call for call in calls if call is not None)


def call_of(trace: str, attributes: Mapping[str, Any]) -> StoredCall | None:
    """The model call of a span; None if it is of another kind.

    Args:
        trace: Id of the trace.
        attributes: Flat, nested, or something between.
    """
    found = unflattened(attributes).get("llm")
    about = found if isinstance(found, Mapping) else {}
    inputs = messages_of(about.get("input_messages"))
    outputs = messages_of(about.get("output_messages"), "assistant")
    if not inputs or not outputs:
        return None
    listed = parsed(about.get("tools"))
    listed = listed if isinstance(listed, list) else []
    schemas = [_schema(tool) for tool in listed if isinstance(tool, Mapping)]
    return StoredCall(
        trace=trace, messages=joined(inputs, outputs[:1]), tools=tools_of(schemas)
    )


def _schema(tool: Mapping[str, Any]) -> Any:
    """A tool's definition, which may be its parameters alone."""
    inner = tool.get("tool")
    about = inner if isinstance(inner, Mapping) else tool
    schema = parsed(about.get("json_schema"))
    if isinstance(schema, Mapping) and not {"name", "function"} & schema.keys():
        return {"name": about.get("name"), "parameters": schema}
    return schema or about


def unflattened(value: Any) -> Any:
    """The same with a dict, or a list, for each dot in a key.

    Args:
        value: What JSON can hold.
    """
    if isinstance(value, list):
        return [unflattened(each) for each in value]
    if not isinstance(value, Mapping):
        return value
    made: dict[str, Any] = {}
    for key, inner in value.items():
        place = made
        *path, last = str(key).split(".")
        for part in path:
            nested = place.setdefault(part, {})
            if not isinstance(nested, dict):
                nested = place[part] = {}
            place = nested
        read = unflattened(inner)
        before = place.get(last)
        if isinstance(before, dict) and isinstance(read, dict):
            before.update(read)
        else:
            place[last] = read
    return _with_lists(made)


def _with_lists(value: Any) -> Any:
    """The same with lists for dicts whose keys are 0, 1, 2, ..."""
    if isinstance(value, list):
        return [_with_lists(each) for each in value]
    if not isinstance(value, dict):
        return value
    read = {key: _with_lists(inner) for key, inner in value.items()}
    if read and all(key.isdigit() for key in read):
        return [read[key] for key in sorted(read, key=int)]
    return read


def _listed(value: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    columns = value.get("context.trace_id")
    if isinstance(columns, Mapping):
        # A table by columns, as pandas writes it unless it is told otherwise.
        return [
            {name: column.get(row) for name, column in value.items()} for row in columns
        ]
    return items_of(value, "data", "spans")


def _is_span(value: Mapping[str, Any]) -> bool:
    kind = "span_kind" in value or "parent_id" in value
    return kind and bool(_trace(value))


def _trace(span: Mapping[str, Any]) -> str:
    context = span.get("context")
    inner = context.get("trace_id") if isinstance(context, Mapping) else None
    return str(inner or span.get("context.trace_id") or "")


def _attributes(span: Mapping[str, Any]) -> dict[str, Any]:
    about = span.get("attributes")
    found = dict(about) if isinstance(about, Mapping) else {}
    for key, value in span.items():
        missing = value is None or (isinstance(value, float) and math.isnan(value))
        if key.startswith(_COLUMN) and not missing:
            found[key.removeprefix(_COLUMN)] = value
    return found
