"""OpenTelemetry's GenAI spans, as OTLP JSON has them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from agentgym.traces import openinference
from agentgym.traces.model_calls import StoredCall, longest
from agentgym.traces.normal_form import joined, messages_of, parsed, tools_of
from agentgym.traces.past_conversation import Message, StoredConversation

NAME = "OpenTelemetry GenAI spans (OTLP JSON)"
_EVENT = re.compile(r"gen_ai\.(system|user|assistant|tool)\.message|gen_ai\.choice")
_DETAILS = "gen_ai.client.inference.operation.details"


def reads(value: Any) -> bool:
    """Whether a document, or a line, has spans in OTLP's form."""
    if not isinstance(value, Mapping):
        return False
    if "resourceSpans" in value or "resource_spans" in value:
        return True
    spans = value.get("data")
    return isinstance(spans, list) and bool(spans) and all(map(_is_span, spans))


def conversations(values: Iterable[Any]) -> Iterator[StoredConversation]:
    """The conversations of all spans.

    Args:
        values: As `reads` says.
    """
    spans = [span for value in values for span in _spans(value)]
    # Files are in no order.
    spans.sort(key=lambda span: int(_key(span, "startTimeUnixNano") or 0))
    yield from longest(call for span in spans if (call := _call(span)) is not None)


def _is_span(value: Any) -> bool:
    return isinstance(value, Mapping) and isinstance(value.get("attributes"), list)


def _spans(value: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from (span for span in value.get("data") or () if _is_span(span))
    for resource in _key(value, "resourceSpans") or ():
        for scope in _key(resource, "scopeSpans") or ():
            yield from scope.get("spans") or ()


def _call(span: Mapping[str, Any]) -> StoredCall | None:
    trace = str(_key(span, "traceId") or "")
    about = attributes(span.get("attributes"))
    known = openinference.call_of(trace, about)
    if known is not None:
        return known
    inputs = messages_of(about.get("gen_ai.input.messages"))
    outputs = messages_of(about.get("gen_ai.output.messages"), "assistant")
    system = messages_of(
        {"role": "system", "parts": parsed(about.get("gen_ai.system_instructions"))}
    )
    events = [
        (str(event.get("name")), attributes(event.get("attributes")))
        for event in span.get("events") or ()
    ]
    for name, said in events:
        if name == _DETAILS:
            inputs += messages_of(said.get("gen_ai.input.messages"))
            outputs += messages_of(said.get("gen_ai.output.messages"), "assistant")
        elif _EVENT.fullmatch(name) and about.get(_OPERATION) != "execute_tool":
            (outputs if name == "gen_ai.choice" else inputs).extend(_said(name, said))
    if not inputs and not outputs:
        inputs, outputs = _numbered(about, "prompt"), _numbered(about, "completion")
    if not inputs or not outputs:
        return None
    # Several answers are choices, of which the first was taken.
    answer = outputs[:1] if outputs[0]["role"] == "assistant" else outputs
    tools = tools_of(about.get("gen_ai.tool.definitions"))
    return StoredCall(trace=trace, messages=joined(system, inputs, answer), tools=tools)


_OPERATION = "gen_ai.operation.name"


def _said(name: str, about: Mapping[str, Any]) -> list[Message]:
    """The message of an event, as the conventions had it before they had parts."""
    role = name.split(".")[1]
    role = "assistant" if role == "choice" else role
    body = parsed(about.get("gen_ai.event.content", about.get("message")))
    if not isinstance(body, Mapping | list):
        body = {"content": body, **about} if isinstance(body, str) else dict(about)
    if isinstance(body, list):
        body = {"content": body}
    inner = body.get("message")
    body = inner if isinstance(inner, Mapping) else body
    return messages_of({"role": role, **body}, role)


def _numbered(about: Mapping[str, Any], kind: str) -> list[Message]:
    """Messages whose fields are attributes: `gen_ai.prompt.0.content`."""
    nested = openinference.unflattened(
        {key: value for key, value in about.items() if key.startswith("gen_ai.")}
    )
    found = nested.get("gen_ai")
    listed = found.get(kind) if isinstance(found, Mapping) else None
    role = "assistant" if kind == "completion" else "user"
    return messages_of(listed, role) if isinstance(listed, list) else []


def attributes(listed: Any) -> dict[str, Any]:
    """A list of OTLP's attributes as a dict."""
    pairs = listed if isinstance(listed, list) else ()
    return {
        str(pair.get("key")): _value(pair.get("value"))
        for pair in pairs
        if isinstance(pair, Mapping)
    }


def _value(value: Any) -> Any:
    if not isinstance(value, Mapping) or not value:
        return None
    kind, held = next(iter(value.items()))
    kind = kind.replace("_v", "V")
    if kind == "arrayValue":
        return [_value(each) for each in (held or {}).get("values") or ()]
    if kind == "kvlistValue":
        return attributes((held or {}).get("values"))
    if kind == "intValue":
        return int(held)
    return held


def _key(value: Mapping[str, Any], name: str) -> Any:
    """What stands under a name, or under the same in snake case."""
    snake = re.sub(r"([A-Z])", r"_\1", name).lower()
    return value.get(name, value.get(snake))
