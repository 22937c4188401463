"""Calls as Gemma writes them: `call:look_up{id:<escape>A1<escape>,count:2}`."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from agentgym.policy.chat.formats.found import (
    FoundCall,
    ParsedCall,
    Schemas,
    all_or_none,
    before_mark,
)
from agentgym.policy.chat.formats.typed_values import arguments_json

_HEAD = re.compile(r"call:(?P<name>[\w.\-]+)\{")
_KEY = re.compile(r"(?P<key>[^:{}\[\],<]+):")
_PLAIN = re.compile(r"[^,{}\[\]<]+")
_DEPTH = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class GemmaCalls:
    """Marks around each call, and a quote of its own around texts.

    Attributes:
        name: See `CallFormat`.
        vllm_parser: See `CallFormat`.
        marks: Around each call.
        quote: At both ends of a text.
    """

    name: str
    vllm_parser: str | None
    marks: tuple[str, str]
    quote: str

    def find(self, text: str, tools: Schemas) -> list[FoundCall]:
        """See `CallFormat`."""
        opening, closing = self.marks
        found: list[FoundCall] = []
        position = 0
        while (start := text.find(opening, position)) >= 0:
            call = self._read(text, start, tools)
            if call is None:
                close = text.find(closing, start)
                end = len(text) if close < 0 else close + len(closing)
                call = FoundCall(start=start, end=end)
            found.append(call)
            position = call.end
        return all_or_none(found)

    def begin(self, text: str) -> int:
        """See `CallFormat`."""
        return before_mark(text, self.marks[0])

    def _read(self, text: str, start: int, tools: Schemas) -> FoundCall | None:
        opening, closing = self.marks
        head = _HEAD.match(text, start + len(opening))
        if head is None:
            return None
        try:
            values, end = self._members(text, head.end(), 0)
        except ValueError:
            return None
        # A mark ends the call, also within a text.
        if text.find(closing, head.end()) != end:
            return None
        arguments = arguments_json(tools, head["name"], values)
        return FoundCall(
            start=start,
            end=end + len(closing),
            arguments=(head.end(), end - 1),
            call=ParsedCall(name=head["name"], arguments=arguments),
        )

    def _members(
        self, text: str, position: int, depth: int
    ) -> tuple[dict[str, object], int]:
        """The members of an object behind its brace, and where it ends.

        Raises:
            ValueError: They cannot be read.
        """
        values: dict[str, object] = {}
        if text.startswith("}", position):
            return values, position + 1
        while True:
            if text.startswith(self.quote, position):
                key, position = self._quoted(text, position)
                if not text.startswith(":", position):
                    raise ValueError("a key without a value")
                position += 1
            else:
                match = _KEY.match(text, position)
                if match is None:
                    raise ValueError("no key")
                key, position = match["key"].strip(), match.end()
            values[key], position = self._value(text, position, depth + 1)
            if text.startswith("}", position):
                return values, position + 1
            position = _behind_comma(text, position)

    def _value(self, text: str, position: int, depth: int) -> tuple[object, int]:
        if depth > _DEPTH:
            raise ValueError("nested too deeply")
        if text.startswith(self.quote, position):
            return self._quoted(text, position)
        if text.startswith("{", position):
            return self._members(text, position + 1, depth)
        if text.startswith("[", position):
            return self._items(text, position + 1, depth)
        plain = _PLAIN.match(text, position)
        if plain is None:
            raise ValueError("no value")
        if depth == 1:
            # What it is, the tool's schema says.
            return plain[0], plain.end()
        return json.loads(plain[0]), plain.end()

    def _items(self, text: str, position: int, depth: int) -> tuple[list[object], int]:
        values: list[object] = []
        if text.startswith("]", position):
            return values, position + 1
        while True:
            value, position = self._value(text, position, depth + 1)
            values.append(value)
            if text.startswith("]", position):
                return values, position + 1
            position = _behind_comma(text, position)

    def _quoted(self, text: str, position: int) -> tuple[str, int]:
        begin = position + len(self.quote)
        end = text.find(self.quote, begin)
        if end < 0:
            raise ValueError("a text without an end")
        return text[begin:end], end + len(self.quote)


def _behind_comma(text: str, position: int) -> int:
    if not text.startswith(",", position):
        raise ValueError("no comma")
    return position + 1
