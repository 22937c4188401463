"""What a judge sees of a conversation, written so that it can be nothing but data."""

from __future__ import annotations

import json
import re
from typing import Any

from agentgym.recording.plain import clean, jsonable, printed
from agentgym.recording.trajectory import Message, ToolCall, Trajectory, turns

MAX_TURN = 8_000
"""Characters of one turn."""
MAX_TURNS = 200

# Angle brackets could end the evidence, or be a chat template's own tokens; the others
# are not seen by people: bidirectional marks, zero widths, tag characters.
_DISGUISED = re.compile(
    "[<>\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\U000e0000-\U000e0fff]"
)


def evidence_of(trajectory: Trajectory) -> str:
    """The conversation as one JSON list: who said what, and the tool calls.

    Neither ids nor times are in it: the same conversation gives the same text.
    """
    listed = [_turn(turn) for turn in turns(trajectory)]
    if len(listed) > MAX_TURNS:
        half = MAX_TURNS // 2
        listed[half:-half] = [{"left_out": f"{len(listed) - 2 * half} turns"}]
    lines = ",\n".join(json.dumps(turn, ensure_ascii=False) for turn in listed)
    return escaped(f"[\n{lines}\n]" if listed else "[]")


def escaped(document: str) -> str:
    """A JSON document with everything escaped that could be taken for its end.

    It stays the same JSON: such characters are within strings only.
    """
    return _DISGUISED.sub(_escape, document)


def quoted(text: str) -> str:
    """A text as a JSON string that contains no delimiter."""
    return escaped(json.dumps(clean(text), ensure_ascii=False))


def _escape(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be").hex()
    return "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))


def _turn(turn: Message | ToolCall) -> dict[str, Any]:
    if isinstance(turn, ToolCall):
        return _call(turn)
    who = "agent" if turn.get("role") == "assistant" else "user"
    content = turn.get("content")
    text = content if isinstance(content, str) else _json(content)
    return {who: _cut(text)}


def _call(call: ToolCall) -> dict[str, Any]:
    arguments = call.malformed if call.malformed is not None else call.arguments
    shown: dict[str, Any] = {"agent_calls": call.name, "arguments": _value(arguments)}
    if call.withheld:
        shown["person"] = call.approval
    if call.error is not None:
        shown["error"] = _cut(call.error)
    else:
        shown["result"] = _value(call.result)
    return shown


def _value(value: Any) -> Any:
    """The value as JSON has it, or, where it is long, the beginning of its text."""
    plain = jsonable(value)
    text = plain if isinstance(plain, str) else _json(plain)
    return plain if len(text) <= MAX_TURN else _cut(text)


def _json(value: Any) -> str:
    if value is None:
        return ""
    return printed(jsonable(value), lambda v: json.dumps(v, ensure_ascii=False))


def _cut(text: str) -> str:
    if len(text) > MAX_TURN:
        text = f"{text[:MAX_TURN]} [... {len(text) - MAX_TURN} characters left out]"
    return clean(text)
