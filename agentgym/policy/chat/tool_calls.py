"""Finds Hermes-style tool calls in what a model wrote.

A call is `<tool_call>{"name": ..., "arguments": {...}}</tool_call>`. Models under
training get this wrong in every way there is, so the parser never raises: a call whose
name can be read stays a call, with the arguments exactly as the model wrote them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

OPEN = "<tool_call>"
CLOSE = "</tool_call>"

_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\r\n]*")
_NAME = re.compile(r'"name"\s*:\s*"((?:[^"\\]|\\.)+)"')
_ARGUMENTS = re.compile(r'"(?:arguments|parameters)"\s*:\s*')

_Members = dict[str, tuple[object, int, int]]


@dataclass(frozen=True, kw_only=True, slots=True)
class ParsedCall:
    """A tool call as sampled: `arguments` is the model's own text, JSON or not."""

    name: str
    arguments: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ParsedReply:
    """An assistant text split into what it says and what it calls."""

    content: str | None
    tool_calls: tuple[ParsedCall, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundCall:
    """A call, or a failed attempt at one, and where in the text it stands.

    Attributes:
        start: Where its opening marker begins.
        end: Behind its closing marker, or where it ends without one.
        arguments: From where to where its arguments stand, if it has any. Ones that
            never close go up to the call's end, blank space included.
        call: What is called; None if no name can be read.
    """

    start: int
    end: int
    arguments: tuple[int, int] | None
    call: ParsedCall | None


def parse(text: str) -> ParsedReply:
    """Splits assistant text into content and tool calls; never raises."""
    said: list[str] = []
    calls: list[ParsedCall] = []
    position = 0
    for found in find_calls(text):
        if found.call is not None:
            said.append(text[position : found.start])
            calls.append(found.call)
            position = found.end
    said.append(text[position:])
    content = "".join(said).strip()
    return ParsedReply(content=content or None, tool_calls=tuple(calls))


def find_calls(text: str) -> Iterator[FoundCall]:
    """Every place where a call is opened, in order, none within another; never raises.

    Yields:
        The calls that `parse` returns, and the ones whose name cannot be read, which
        to `parse` are content.
    """
    position = 0
    while (start := text.find(OPEN, position)) >= 0:
        found = _read_call(text, start)
        yield found
        position = found.end


def _read_call(text: str, opening: int) -> FoundCall:
    """Reads the call whose opening marker is at `opening`."""
    start = opening + len(OPEN)
    well_formed = _read_object(text, _skip(text, start))
    if well_formed is not None:
        members, end = well_formed
        end = _skip(text, end)
        if text.startswith(CLOSE, end):
            return _from_members(text, members, opening, end + len(CLOSE))
        if end == len(text) or text.startswith(OPEN, end):
            return _from_members(text, members, opening, end)
    return _read_malformed(text, opening, start)


def _read_object(text: str, position: int) -> tuple[_Members, int] | None:
    """Walks through a JSON object, keeping each member's value and where it stands."""
    if not text.startswith("{", position):
        return None
    members: _Members = {}
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
            members[key] = (value, start, end)
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


def _from_members(text: str, members: _Members, start: int, end: int) -> FoundCall:
    name = members["name"][0] if "name" in members else None
    if not isinstance(name, str) or not name:
        return FoundCall(start=start, end=end, arguments=None, call=None)
    given = members.get("arguments") or members.get("parameters")
    arguments = given[1:] if given else None
    raw = text[slice(*arguments)] if arguments else "{}"
    call = ParsedCall(name=name, arguments=raw)
    return FoundCall(start=start, end=end, arguments=arguments, call=call)


def _read_malformed(text: str, opening: int, start: int) -> FoundCall:
    """Reads a call that is no JSON object: its name, and the rest as it stands."""
    close, following = text.find(CLOSE, start), text.find(OPEN, start)
    if close >= 0 and (following < 0 or close < following):
        body, end = text[start:close], close + len(CLOSE)
    elif following >= 0:
        body, end = text[start:following], following
    else:
        body, end = text[start:], len(text)
    key = _ARGUMENTS.search(body)
    # A "name" inside the arguments is the tool's own parameter, not the tool.
    name = _NAME.search(body, 0, key.start() if key else len(body))
    if name is None:
        return FoundCall(start=opening, end=end, arguments=None, call=None)
    raw, arguments = "", None
    if key:
        stop = _malformed_arguments_end(body, key.end())
        raw = body[key.end() : stop].strip()
        arguments = (start + key.end(), start + stop)
    call = ParsedCall(name=_unescape(name.group(1)), arguments=raw)
    return FoundCall(start=opening, end=end, arguments=arguments, call=call)


def _malformed_arguments_end(body: str, start: int) -> int:
    try:
        # The arguments may be sound and only what is around them is not.
        return _DECODER.raw_decode(body, start)[1]
    except (ValueError, RecursionError):
        # The last brace closes the call around the arguments, when there are two.
        rest = body[start:].rstrip()
        return start + len(rest) - 1 if rest.endswith("}}") else len(body)


def _unescape(name: str) -> str:
    try:
        return str(json.loads(f'"{name}"'))
    except ValueError:
        return name
