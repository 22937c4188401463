"""Reads JSON within a text, keeping where each value stands."""

from __future__ import annotations

import json
import re

from agentgym.policy.chat.formats.found import FoundCall, ParsedCall, Span

Members = dict[str, tuple[object, int, int]]
"""The values of an object by key, each with where it begins and ends."""

_DECODER = json.JSONDecoder()
_NAME = re.compile(r'"\w*name"\s*:\s*"(?:[^"\\]|\\.)+"')
_ARGUMENTS = re.compile(r'"(?:arguments|parameters)"\s*:\s*')
_SPACE = re.compile(r"[ \t\r\n]*")


def skip(text: str, position: int) -> int:
    """The first place from a position on that is no blank space of JSON.

    Args:
        text: What the JSON is part of.
        position: Where to begin.
    """
    match = _SPACE.match(text, position)
    return match.end() if match else position


def read_value(text: str, position: int) -> tuple[object, int] | None:
    """The JSON value that begins here, and where it ends; None if none does.

    Args:
        text: What the JSON is part of.
        position: Where the value begins.
    """
    try:
        value, end = _DECODER.raw_decode(text, position)
    except (ValueError, RecursionError):
        return None
    return value, end


def read_object(text: str, position: int) -> tuple[Members, int] | None:
    """The JSON object that begins here, and where it ends; None if none does.

    Args:
        text: What the JSON is part of.
        position: Where the object begins.
    """
    if not text.startswith("{", position):
        return None
    members: Members = {}
    position = skip(text, position + 1)
    if text.startswith("}", position):
        return members, position + 1
    try:
        while True:
            key, position = _DECODER.raw_decode(text, position)
            position = skip(text, position)
            if not isinstance(key, str) or not text.startswith(":", position):
                return None
            start = skip(text, position + 1)
            value, end = _DECODER.raw_decode(text, start)
            members[key] = (value, start, end)
            position = skip(text, end)
            if text.startswith("}", position):
                return members, position + 1
            if not text.startswith(",", position):
                return None
            position = skip(text, position + 1)
    except (ValueError, RecursionError):
        return None


def read_list(text: str, position: int) -> tuple[list[tuple[Members, int]], int] | None:
    """The JSON list of objects that begins here.

    Args:
        text: What the list is part of.
        position: Where it begins.

    Returns:
        Its objects, each with where it begins, and where the list ends; None if there
        is no such list.
    """
    if not text.startswith("[", position):
        return None
    items: list[tuple[Members, int]] = []
    position = skip(text, position + 1)
    if text.startswith("]", position):
        return items, position + 1
    while True:
        read = read_object(text, position)
        if read is None:
            return None
        items.append((read[0], position))
        position = skip(text, read[1])
        if text.startswith("]", position):
            return items, position + 1
        if not text.startswith(",", position):
            return None
        position = skip(text, position + 1)


def call_of(
    text: str,
    members: Members,
    span: Span,
    name_key: str,
    argument_keys: tuple[str, ...],
) -> FoundCall:
    """The call that an object's members say, or the attempt that it is.

    Args:
        text: What the object is part of.
        members: As `read_object` gives them.
        span: Where the call stands.
        name_key: The member with the tool's name.
        argument_keys: The members that may hold the arguments, the first one wins.
    """
    start, end = span
    name = members[name_key][0] if name_key in members else None
    given = next((members[key] for key in argument_keys if key in members), None)
    if not isinstance(name, str) or not name or given is None:
        arguments = attempted_arguments(text, start, end)
        return FoundCall(start=start, end=end, arguments=arguments)
    return FoundCall(
        start=start,
        end=end,
        arguments=given[1:],
        call=ParsedCall(name=name, arguments=text[given[1] : given[2]]),
    )


def attempted_arguments(text: str, start: int, end: int) -> Span | None:
    """Where the arguments of a failed attempt stand, if it names a tool before them.

    Args:
        text: What the attempt is part of.
        start: Where it begins, behind its mark.
        end: Where it ends, before its mark.
    """
    key = _ARGUMENTS.search(text, start, end)
    # A "name" inside the arguments is the tool's own parameter, not the tool.
    if key is None or _NAME.search(text, start, key.start()) is None:
        return None
    read = read_value(text[:end], key.end())
    if read is not None:
        # The arguments may be sound and only what is around them is not.
        return key.end(), read[1]
    rest = text[key.end() : end].rstrip()
    # The last brace closes the call around the arguments, when there are two.
    return key.end(), key.end() + len(rest) - 1 if rest.endswith("}}") else end
