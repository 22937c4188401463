"""Find Hermes-style tool calls in what a model wrote.

A call is ``<tool_call>{"name": ..., "arguments": {...}}</tool_call>``. Models under
training get this wrong in every way there is, so the parser never raises: a call whose
name can be read stays a call, with the arguments exactly as the model wrote them.
"""

import json
import re
from dataclasses import dataclass

OPEN = "<tool_call>"
CLOSE = "</tool_call>"

_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\r\n]*")
_NAME = re.compile(r'"name"\s*:\s*"((?:[^"\\]|\\.)+)"')
_ARGUMENTS = re.compile(r'"(?:arguments|parameters)"\s*:\s*')


@dataclass(frozen=True, kw_only=True, slots=True)
class ParsedCall:
    """A tool call as sampled: ``arguments`` is the model's own text, JSON or not."""

    name: str
    arguments: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ParsedReply:
    """An assistant text split into what it says and what it calls."""

    content: str | None
    tool_calls: tuple[ParsedCall, ...] = ()


def parse(text: str) -> ParsedReply:
    """Split assistant text into content and tool calls; never raises."""
    if OPEN not in text:
        return ParsedReply(content=text.strip() or None)
    said: list[str] = []
    calls: list[ParsedCall] = []
    position = 0
    while (start := text.find(OPEN, position)) >= 0:
        said.append(text[position:start])
        call, position = _read_call(text, start + len(OPEN))
        if call is None:
            said.append(text[start:position])
        else:
            calls.append(call)
    said.append(text[position:])
    content = "".join(said).strip()
    return ParsedReply(content=content or None, tool_calls=tuple(calls))


def _read_call(text: str, start: int) -> tuple[ParsedCall | None, int]:
    """Read the call whose body begins at ``start``; also return where it ends."""
    well_formed = _read_object(text, _SPACE.match(text, start).end())  # type: ignore[union-attr]
    if well_formed is not None:
        members, end = well_formed
        end = _SPACE.match(text, end).end()  # type: ignore[union-attr]
        if text.startswith(CLOSE, end):
            return _from_members(members), end + len(CLOSE)
        if end == len(text) or text.startswith(OPEN, end):
            return _from_members(members), end
    return _read_malformed(text, start)


def _read_object(
    text: str, position: int
) -> tuple[dict[str, tuple[object, str]], int] | None:
    """Walk a JSON object, keeping each member's value and its raw text."""
    if not text.startswith("{", position):
        return None
    members: dict[str, tuple[object, str]] = {}
    position = _skip(text, position + 1)
    if text.startswith("}", position):
        return members, position + 1
    try:
        while True:
            key, position = _DECODER.raw_decode(text, position)
            position = _skip(text, position)
            if not isinstance(key, str) or not text.startswith(":", position):
                return None
            start = _skip(text, position + 1)
            value, end = _DECODER.raw_decode(text, start)
            members[key] = (value, text[start:end])
            position = _skip(text, end)
            if text.startswith("}", position):
                return members, position + 1
            if not text.startswith(",", position):
                return None
            position = _skip(text, position + 1)
    except (ValueError, RecursionError):
        return None


def _skip(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position


def _from_members(members: dict[str, tuple[object, str]]) -> ParsedCall | None:
    name = members.get("name", (None, ""))[0]
    if not isinstance(name, str) or not name:
        return None
    raw = (members.get("arguments") or members.get("parameters") or (None, "{}"))[1]
    return ParsedCall(name=name, arguments=raw)


def _read_malformed(text: str, start: int) -> tuple[ParsedCall | None, int]:
    """Read a call that is no JSON object: its name, and the rest as it stands."""
    close, following = text.find(CLOSE, start), text.find(OPEN, start)
    if close >= 0 and (following < 0 or close < following):
        body, end = text[start:close], close + len(CLOSE)
    elif following >= 0:
        body, end = text[start:following], following
    else:
        body, end = text[start:], len(text)
    arguments = _ARGUMENTS.search(body)
    # A "name" inside the arguments is the tool's own parameter, not the tool.
    name = _NAME.search(body, 0, arguments.start() if arguments else len(body))
    if name is None:
        return None, end
    raw = _malformed_arguments(body, arguments.end()) if arguments else ""
    return ParsedCall(name=_unescape(name.group(1)), arguments=raw), end


def _malformed_arguments(body: str, start: int) -> str:
    try:
        _, end = _DECODER.raw_decode(body, start)
    except (ValueError, RecursionError):
        rest = body[start:].strip()
        # The last brace closes the call around the arguments, when there are two.
        return rest[:-1].rstrip() if rest.endswith("}}") else rest
    # The arguments are sound and only what is around them is not.
    return body[start:end]


def _unescape(name: str) -> str:
    try:
        return str(json.loads(f'"{name}"'))
    except ValueError:
        return name
