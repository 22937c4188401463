"""Observations of Langfuse, as its pages and its API export them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from agentgym.traces.model_calls import StoredCall, items_of, longest
from agentgym.traces.normal_form import joined, messages_of, parsed, tools_of
from agentgym.traces.past_conversation import Message, StoredConversation

NAME = "Langfuse observations"
_TYPES = frozenset(
    [
        "AGENT",
        "CHAIN",
        "EMBEDDING",
        "EVALUATOR",
        "EVENT",
        "GENERATION",
        "GUARDRAIL",
        "RETRIEVER",
        "SPAN",
        "TOOL",
    ]
)


def reads(value: Any) -> bool:
    """Whether it is an observation, a list of them, or a trace with them."""
    if not isinstance(value, Mapping):
        return False
    observations = items_of(value, "observations", "data")
    return bool(observations) and all(map(_is_observation, observations))


def conversations(values: Iterable[Any]) -> Iterator[StoredConversation]:
    """The conversations of all observations.

    Args:
        values: As `reads` says.
    """
    found = [
        each for value in values for each in items_of(value, "observations", "data")
    ]
    found.sort(key=lambda each: str(each.get("startTime") or each.get("start_time")))
    calls = (_call(each) for each in found if each.get("type") == "GENERATION")
    yield from longest(call for call in calls if call is not None)


def _is_observation(value: Mapping[str, Any]) -> bool:
    return value.get("type") in _TYPES and ("traceId" in value or "trace_id" in value)


def _call(observation: Mapping[str, Any]) -> StoredCall | None:
    given, output = parsed(observation.get("input")), parsed(observation.get("output"))
    about = given if isinstance(given, Mapping) else {}
    listed = about.get("messages", given)
    listed = listed if isinstance(listed, list) else [listed]
    # LangChain's handler stores the tools among the messages.
    stored = [each for each in listed if _is_tool(each)]
    said = messages_of([each for each in listed if each not in stored])
    answer = _answer(output)
    if not said or not answer:
        return None
    places = (
        about.get("tools"),
        about.get("functions"),
        observation.get("tool_definitions"),
        [each["content"] for each in stored],
    )
    tools = next((found for each in places if (found := tools_of(each))), [])
    trace = str(observation.get("traceId") or observation.get("trace_id"))
    return StoredCall(trace=trace, messages=joined(said, answer), tools=tools)


def _is_tool(message: Any) -> bool:
    content = message.get("content") if isinstance(message, Mapping) else None
    return isinstance(content, Mapping) and isinstance(content.get("function"), Mapping)


def _answer(output: Any) -> list[Message]:
    if isinstance(output, Mapping) and "completion" in output:
        output = output["completion"]
    if isinstance(output, Mapping) and isinstance(output.get("choices"), list):
        output = output["choices"]
    # Several are choices, of which the first was taken.
    return messages_of(output, "assistant")[:1]
