"""Chat messages in the shape of OpenTelemetry's GenAI conventions.

Source: the JSON schemas of `gen_ai.input.messages` and `gen_ai.output.messages` in
https://github.com/open-telemetry/semantic-conventions-genai.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from agentgym.recording.trajectory import Message, ModelCall, Step, Trajectory

_SYSTEM = ("system", "developer")
_FINISHED = {"tool_calls": "tool_call", "function_call": "tool_call"}


def instructions(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """The parts of the system's messages."""
    return [
        part
        for message in messages
        if message.get("role") in _SYSTEM
        for part in _parts(message)
    ]


def inputs(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """What a model was sent, the system's messages left out."""
    return [
        {"role": str(message.get("role")), "parts": list(_parts(message))}
        for message in messages
        if message.get("role") not in _SYSTEM
    ]


def output(message: Message, finish_reason: str | None = None) -> list[dict[str, Any]]:
    """What a model answered.

    Args:
        message: In the form of OpenAI's chat completions.
        finish_reason: Why it ended there; by default what the message itself shows.
    """
    finish = finish_reason or ("tool_calls" if message.get("tool_calls") else "stop")
    return [
        {
            "role": "assistant",
            "parts": list(_parts(message)),
            "finish_reason": _FINISHED.get(finish, finish),
        }
    ]


def heard(trajectory: Trajectory) -> dict[int, list[Message]]:
    """What each model call was sent, by `id` of the call.

    Only of the agent's own: what a nested agent hears is among nobody's messages.
    """
    messages = trajectory.messages
    places = _places(trajectory)
    foreign = {
        place for call, place in places if call.path and place is not None
    } | _answers_to([step for step in trajectory.steps if _nested(step)], messages)
    return {
        id(call): trajectory.history
        + [m for i, m in enumerate(messages[:place]) if i not in foreign]
        for call, place in places
        if not call.path and place is not None
    }


def _places(trajectory: Trajectory) -> list[tuple[ModelCall, int | None]]:
    """Where among the messages each model call's answer is; a failed one has none."""
    taken: set[int] = set()
    found: list[tuple[ModelCall, int | None]] = []
    for call in trajectory.model_calls:
        place = None
        if call.error is None and call.message:
            place = next(
                (
                    i
                    for i, message in enumerate(trajectory.messages)
                    if i not in taken and message == call.message
                ),
                None,
            )
            if place is not None:
                taken.add(place)
        elif not call.path:
            # Its request came after everything that is there when it fails.
            place = max(taken, default=-1) + 1 + _answered(trajectory, taken)
        found.append((call, place))
    return found


def _answered(trajectory: Trajectory, taken: set[int]) -> int:
    """How many messages follow the last answer before the next one."""
    rest = trajectory.messages[max(taken, default=-1) + 1 :]
    return next(
        (i for i, m in enumerate(rest) if m.get("role") == "assistant"), len(rest)
    )


def _nested(step: Step) -> bool:
    return step.model is not None and bool(step.model.path)


def _answers_to(steps: Sequence[Step], messages: Sequence[Message]) -> set[int]:
    asked = {call.id for step in steps for call in step.tool_calls}
    return {
        i
        for i, message in enumerate(messages)
        if message.get("role") == "tool" and message.get("tool_call_id") in asked
    }


def _parts(message: Message) -> Iterator[dict[str, Any]]:
    content = message.get("content")
    if message.get("role") == "tool":
        part = {"type": "tool_call_response", "response": content}
        yield {**part, "id": message.get("tool_call_id")}
        return
    if isinstance(content, str):
        if content:
            yield {"type": "text", "content": content}
    else:
        yield from map(_part, content or ())
    for call in message.get("tool_calls") or ():
        function = call.get("function") or {}
        yield {
            "type": "tool_call",
            "id": call.get("id"),
            "name": function.get("name"),
            "arguments": _arguments(function.get("arguments")),
        }


def _part(part: Any) -> dict[str, Any]:
    """A part of a message in OpenAI's shape; kinds that we do not know stay."""
    if not isinstance(part, dict):
        return {"type": "text", "content": str(part)}
    if part.get("type") in ("text", "input_text", "output_text"):
        return {"type": "text", "content": part.get("text")}
    if part.get("type") == "image_url":
        image = part.get("image_url")
        url = image.get("url") if isinstance(image, dict) else image
        return {"type": "uri", "modality": "image", "uri": url}
    return {"type": "unknown", **part}


def _arguments(raw: Any) -> Any:
    try:
        return json.loads(raw) if isinstance(raw, str) else raw
    except (ValueError, RecursionError):
        return raw
