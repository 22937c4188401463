"""Calls whose name stands between marks, before JSON: `name[ARGS]{...}`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from agentgym.policy.chat.formats.found import (
    FoundCall,
    ParsedCall,
    Schemas,
    all_or_none,
    before_mark,
)
from agentgym.policy.chat.formats.json_text import read_value


@dataclass(frozen=True, kw_only=True, slots=True)
class NamedJson:
    """Each call is a head with its name, a JSON object, and a tail.

    Attributes:
        name: See `CallFormat`.
        vllm_parser: See `CallFormat`.
        opening: What the first call begins with.
        closing: What stands behind the last one; may be empty.
        begins: What each call begins with.
        head: From there to the arguments; has a group `name`.
        tail: Behind the arguments.
    """

    name: str
    vllm_parser: str | None
    opening: str
    begins: str
    head: re.Pattern[str]
    tail: str = ""
    closing: str = ""

    @property
    def marks(self) -> tuple[str, str] | None:
        """See `CallFormat`."""
        return (self.opening, self.closing) if self.closing else None

    def find(self, text: str, tools: Schemas) -> list[FoundCall]:
        """See `CallFormat`."""
        found: list[FoundCall] = []
        first = text.find(self.opening)
        if first < 0:
            return []
        start, position = first, first
        while (at := text.find(self.begins, position)) >= 0:
            call, position = self._read(text, start, at)
            found.append(call)
            start = position
        if not found:
            return [FoundCall(start=first, end=len(text))]
        last = found[-1]
        end = text.find(self.closing, last.end) if self.closing else -1
        if end >= 0 and last.call is not None:
            found[-1] = FoundCall(
                start=last.start,
                end=end + len(self.closing),
                arguments=last.arguments,
                call=last.call,
            )
        return all_or_none(found)

    def begin(self, text: str) -> int:
        """See `CallFormat`."""
        return before_mark(text, self.opening)

    def _read(self, text: str, start: int, at: int) -> tuple[FoundCall, int]:
        """The attempt whose mark stands at a place, and where it ends."""
        head = self.head.match(text, at)
        read = head and read_value(text, head.end())
        if not head or not read or not isinstance(read[0], dict):
            return self._failed(text, start, at)
        end = read[1]
        if self.tail:
            # The mark ends the call, also within a text.
            if text.find(self.tail, head.end()) != end:
                return self._failed(text, start, at)
            end += len(self.tail)
        arguments = (head.end(), read[1])
        call = ParsedCall(name=head["name"], arguments=text[slice(*arguments)])
        return FoundCall(start=start, end=end, arguments=arguments, call=call), end

    def _failed(self, text: str, start: int, at: int) -> tuple[FoundCall, int]:
        following = text.find(self.begins, at + len(self.begins))
        end = len(text) if following < 0 else following
        return FoundCall(start=start, end=end), end
