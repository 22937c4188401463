"""Runs of LangSmith, as its client, its command line and its API export them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from agentgym.traces.model_calls import StoredCall, items_of, longest
from agentgym.traces.normal_form import joined, messages_of, parsed, tools_of
from agentgym.traces.past_conversation import Message, StoredConversation

NAME = "LangSmith runs"
_MODELS = ("llm", "chat_model")


def reads(value: Any) -> bool:
    """Whether it is a run, or a list of them."""
    if not isinstance(value, Mapping):
        return False
    runs = items_of(value, "runs", "items")
    return bool(runs) and all("run_type" in run for run in runs)


def conversations(values: Iterable[Any]) -> Iterator[StoredConversation]:
    """The conversations of all runs.

    Args:
        values: As `reads` says.
    """
    runs = [
        run
        for value in values
        for each in items_of(value, "runs", "items")
        for run in _all(each)
    ]
    runs.sort(key=lambda run: str(run.get("dotted_order") or run.get("start_time")))
    calls = (_call(run) for run in runs if run.get("run_type") in _MODELS)
    yield from longest(call for call in calls if call is not None)


def _all(run: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield run
    for child in run.get("child_runs") or ():
        if isinstance(child, Mapping):
            yield from _all(child)


def _call(run: Mapping[str, Any]) -> StoredCall | None:
    inputs, outputs = _dict(run.get("inputs")), _dict(run.get("outputs"))
    said = messages_of(inputs.get("messages", inputs.get("input")))
    system = messages_of(inputs.get("instructions"), "system")
    answer = _answer(outputs)
    if not said or not answer:
        return None
    params = _dict(_dict(run.get("extra")).get("invocation_params"))
    listed = (params.get("tools"), inputs.get("tools"), inputs.get("functions"))
    tools = next((found for each in listed if (found := tools_of(each))), [])
    trace = str(run.get("trace_id") or run.get("id") or run.get("run_id"))
    return StoredCall(trace=trace, messages=joined(system, said, answer), tools=tools)


def _answer(outputs: Mapping[str, Any]) -> list[Message]:
    generations = outputs.get("generations")
    while isinstance(generations, list) and generations:
        generations = generations[0]
    if isinstance(generations, Mapping):
        return messages_of(
            generations.get("message") or generations.get("text"), "assistant"
        )
    choices = outputs.get("choices")
    if isinstance(choices, list) and choices:
        return messages_of(choices[0], "assistant")
    for key in ("message", "messages", "output"):
        if outputs.get(key):
            return messages_of(outputs[key], "assistant")
    return messages_of(outputs, "assistant") if "role" in outputs else []


def _dict(value: Any) -> Mapping[str, Any]:
    value = parsed(value)
    return value if isinstance(value, Mapping) else {}
