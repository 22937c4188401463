"""Puts tool calls together from the parts of a stream, whatever its indexes and ids.

Servers give every call the index 0, or none at all; they repeat id and name in every
part, or make an id anew for each.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class WrittenCall:
    """A call as far as it was written.

    Attributes:
        id: The model's.
        name: The tool's.
        arguments: Their text.
    """

    id: str = ""
    name: str = ""
    arguments: str = ""

    @property
    def complete(self) -> bool:
        """Whether its arguments are a JSON value: another part begins another call."""
        return _is_json(self.arguments)


class Fragments:
    """The calls of one streamed answer.

    Attributes:
        calls: In the order in which they began.
    """

    def __init__(self) -> None:
        self.calls: list[WrittenCall] = []
        self._at: dict[Any, WrittenCall] = {}

    def add(self, index: Any, call_id: Any, name: Any, arguments: Any) -> None:
        """Takes a part.

        Args:
            index: Of the call, as the server counts.
            call_id: Its id, where the part has one.
            name: The tool's, likewise.
            arguments: The next piece of their text.
        """
        part = WrittenCall(_text(call_id), _text(name), _text(arguments))
        call = self._at.get(index)
        if call is None:
            # Some servers count parts, not calls.
            call = self.calls[-1] if self.calls else None
            if call is None or not _goes_on(call, part):
                call = self._begin(index)
        elif _begins(call, part):
            call = self._begin(index)
        self._at[index] = call
        call.id = call.id or part.id
        if not call.name:
            call.name = part.name
        elif part.name != call.name and not call.arguments:
            call.name += part.name
        call.arguments += part.arguments

    def _begin(self, index: Any) -> WrittenCall:
        call = self._at[index] = WrittenCall()
        self.calls.append(call)
        return call


def _goes_on(call: WrittenCall, part: WrittenCall) -> bool:
    """Whether a part of an index that is new belongs to the last call all the same."""
    if part.id or part.name:
        same = part.id == call.id and part.name in ("", call.name)
        return bool(part.id) and same and _is_rest(call, part)
    return not call.complete


def _begins(call: WrittenCall, part: WrittenCall) -> bool:
    """Whether a part of the call's index begins another call."""
    if not part.name or not call.name:
        return False
    if call.complete and part.arguments.lstrip().startswith("{"):
        return True
    if part.name != call.name and call.arguments:
        return True
    other_id = bool(part.id and call.id) and part.id != call.id
    return other_id and not _is_rest(call, part)


def _is_rest(call: WrittenCall, part: WrittenCall) -> bool:
    """Whether the part's text can only be the rest of the call's."""
    begun = bool(call.arguments) and not call.complete
    return begun and not part.arguments.lstrip().startswith("{")


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
