"""Calls whose every argument has tags of its own, as Qwen3-Coder and GLM write them."""

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
from agentgym.policy.chat.formats.typed_values import arguments_json

_BLANK = re.compile(r"\s*")


@dataclass(frozen=True, kw_only=True, slots=True)
class TaggedArguments:
    """`<tool_call><function=f><parameter=k>v</parameter></function></tool_call>`.

    Attributes:
        name: See `CallFormat`.
        vllm_parser: See `CallFormat`.
        marks: Around one or more calls.
        head: Begins a call; has a group `name`.
        item: An argument; has the groups `key` and `value`, and perhaps `json`, which
            matches where the model itself says that the value is no text.
        tail: Ends a call; may be empty.
        trimmed: Whether a line break at each end of a value belongs to the tags.
        single: Whether marks stand around each call.
        known_only: Whether a call of a tool that the model was not shown is text.
        stray: What makes text of a reply where it stands outside the marks.
    """

    name: str
    vllm_parser: str | None
    marks: tuple[str, str]
    head: re.Pattern[str]
    item: re.Pattern[str]
    tail: str = ""
    trimmed: bool = True
    single: bool = False
    known_only: bool = False
    stray: str | None = None

    def find(self, text: str, tools: Schemas) -> list[FoundCall]:
        """See `CallFormat`."""
        opening, closing = self.marks
        found: list[FoundCall] = []
        position = 0
        while (start := text.find(opening, position)) >= 0:
            close = text.find(closing, start)
            following = text.find(opening, start + len(opening))
            ends = [at for at in (close, following) if at >= 0]
            stop = min(ends, default=len(text))
            position = stop + len(closing) if stop == close else stop
            calls = self._read(text, (start, position), stop, tools)
            closed = stop == close
            found += (
                calls if closed and calls else [FoundCall(start=start, end=position)]
            )
        return all_or_none(self._with_strays(text, found))

    def begin(self, text: str) -> int:
        """See `CallFormat`."""
        return before_mark(text, self.marks[0])

    def _with_strays(self, text: str, found: list[FoundCall]) -> list[FoundCall]:
        """The attempts, and one that has lost its mark."""
        position = 0
        for call in [*found, FoundCall(start=len(text), end=len(text))]:
            at = text.find(self.stray, position, call.start) if self.stray else -1
            if at >= 0:
                stray = FoundCall(start=at, end=call.start)
                return sorted([*found, stray], key=lambda found: found.start)
            position = call.end
        return found

    def _read(
        self, text: str, block: tuple[int, int], stop: int, tools: Schemas
    ) -> list[FoundCall]:
        """The calls of a block; none if one of them cannot be read."""
        found: list[FoundCall] = []
        begun, position = block[0], block[0] + len(self.marks[0])
        while (position := self._blank(text, position)) < stop:
            head = self.head.match(text, position, stop)
            if head is None or (found and self.single):
                return []
            call, position = self._call(text, head, begun, stop, tools)
            if call is None:
                return []
            found.append(call)
            begun = position
        if found:
            last = found[-1]
            found[-1] = FoundCall(
                start=last.start,
                end=block[1],
                arguments=last.arguments,
                call=last.call,
            )
        return found

    def _call(
        self, text: str, head: re.Match[str], begun: int, stop: int, tools: Schemas
    ) -> tuple[FoundCall | None, int]:
        values: dict[str, object] = {}
        first = behind = head.end()
        position = self._blank(text, behind)
        while (item := self.item.match(text, position, stop)) is not None:
            first = position if not values else first
            key = item["key"].strip()
            values[key] = self._value(item)
            behind = item.end()
            position = self._blank(text, behind)
        if not text.startswith(self.tail, position):
            return None, position
        end = position + len(self.tail)
        name = head["name"].strip()
        if not name or (self.known_only and tools and name not in tools):
            return None, end
        arguments = arguments_json(tools, name, values)
        call = FoundCall(
            start=begun,
            end=end,
            arguments=(first, behind) if values else None,
            call=ParsedCall(name=name, arguments=arguments),
        )
        return call, end

    def _value(self, item: re.Match[str]) -> object:
        if item.groupdict().get("json"):
            read = read_value(item["value"], 0)
            return item["value"] if read is None else read[0]
        value = item["value"]
        return value.removeprefix("\n").removesuffix("\n") if self.trimmed else value

    def _blank(self, text: str, position: int) -> int:
        match = _BLANK.match(text, position)
        return match.end() if match else position
