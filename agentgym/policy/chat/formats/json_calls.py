"""Calls that are JSON objects with a name and arguments, one by one or in a list."""

from __future__ import annotations

from dataclasses import dataclass

from agentgym.policy.chat.formats.found import (
    FoundCall,
    Schemas,
    all_or_none,
    before_mark,
)
from agentgym.policy.chat.formats.json_text import (
    attempted_arguments,
    call_of,
    read_list,
    read_object,
    skip,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class MarkedObjects:
    """Each call is an object between marks: `<tool_call>{...}</tool_call>`.

    As in vLLM, the last one may lack its closing mark, and where one call cannot be
    read, the whole reply is text.

    Attributes:
        name: See `CallFormat`.
        vllm_parser: See `CallFormat`.
        marks: Around each call.
    """

    name: str
    vllm_parser: str | None
    marks: tuple[str, str]

    def find(self, text: str, tools: Schemas) -> list[FoundCall]:
        """See `CallFormat`."""
        opening = self.marks[0]
        found: list[FoundCall] = []
        position = 0
        while (start := text.find(opening, position)) >= 0:
            found.append(self._read(text, start))
            position = found[-1].end
        return all_or_none(found)

    def begin(self, text: str) -> int:
        """See `CallFormat`."""
        return before_mark(text, self.marks[0])

    def _read(self, text: str, start: int) -> FoundCall:
        """The attempt whose opening mark stands at a place."""
        opening, closing = self.marks
        body = start + len(opening)
        close = text.find(closing, body)
        stop = len(text) if close < 0 else close
        end = stop if close < 0 else close + len(closing)
        read = read_object(text, skip(text, body))
        if read is not None and skip(text, read[1]) == stop:
            return call_of(text, read[0], (start, end), "name", ("arguments",))
        following = text.find(opening, body)
        if 0 <= following < stop:
            stop = end = following
        arguments = attempted_arguments(text, body, stop)
        return FoundCall(start=start, end=end, arguments=arguments)


@dataclass(frozen=True, kw_only=True, slots=True)
class MarkedLists:
    """All calls are in one list behind a mark: `[TOOL_CALLS][{...}, {...}]`.

    Attributes:
        name: See `CallFormat`.
        vllm_parser: See `CallFormat`.
        opening: The mark; may be empty, then the list is the whole reply.
        closing: Behind the list; may be empty.
        name_key: The member with the tool's name.
        argument_keys: The members that may hold the arguments.
        required: Members that each call has to have besides.
        flat: Whether the first closing bracket ends the list, wherever it stands: this
            is how vLLM reads it.
    """

    name: str
    vllm_parser: str | None
    opening: str
    closing: str = ""
    name_key: str = "name"
    argument_keys: tuple[str, ...] = ("arguments",)
    required: tuple[str, ...] = ()
    flat: bool = False

    @property
    def marks(self) -> tuple[str, str] | None:
        """See `CallFormat`."""
        return (self.opening, self.closing) if self.opening and self.closing else None

    def find(self, text: str, tools: Schemas) -> list[FoundCall]:
        """See `CallFormat`."""
        start = text.find(self.opening) if self.opening else skip(text, 0)
        if start < 0 or not text.startswith(self.opening or "[", start):
            return []
        body = start + len(self.opening)
        if self.opening and self.opening in text[body:]:
            return [FoundCall(start=start, end=len(text))]
        read = read_list(text, skip(text, body))
        if read is not None and self.flat and "]" in text[body : read[1] - 1]:
            read = None
        end = None if read is None else self._end(text, read[1])
        if read is None or end is None:
            return [FoundCall(start=start, end=len(text))]
        items = read[0]
        if not all(key in item for key in self.required for item, _ in items):
            return [FoundCall(start=start, end=end)]
        ends = [at for _, at in items[1:]] + [end]
        begins = [start, *ends[:-1]]
        return all_or_none(
            [
                call_of(text, item, span, self.name_key, self.argument_keys)
                for (item, _), span in zip(
                    items, zip(begins, ends, strict=True), strict=True
                )
            ]
            or [FoundCall(start=start, end=end)]
        )

    def begin(self, text: str) -> int:
        """See `CallFormat`."""
        if self.opening:
            return before_mark(text, self.opening)
        at = skip(text, 0)
        return 0 if at == len(text) or text.startswith("[", at) else len(text)

    def _end(self, text: str, position: int) -> int | None:
        """Where the calls end whose list ends here; None if they do not."""
        behind = skip(text, position)
        # The mark ends the list, also within a text.
        if self.closing and text.find(self.closing) == behind:
            return behind + len(self.closing)
        if self.closing or not self.opening:
            # What follows a bare list makes it text.
            return position if behind == len(text) and not self.closing else None
        return position


@dataclass(frozen=True, kw_only=True, slots=True)
class BareObjects:
    """Objects without marks, as Llama 3 does: `{"name": ..., "parameters": ...}`.

    As in vLLM, every brace begins a call: where one does not, the reply is text.

    Attributes:
        name: See `CallFormat`.
        vllm_parser: See `CallFormat`.
        prefix: A mark that may stand before them.
    """

    name: str
    vllm_parser: str | None
    prefix: str
    marks: None = None

    def find(self, text: str, tools: Schemas) -> list[FoundCall]:
        """See `CallFormat`."""
        found: list[FoundCall] = []
        end = -1
        while (brace := text.find("{", max(end, 0))) >= 0:
            read = read_object(text, brace)
            # vLLM does not see an object right behind another one.
            if read is None or brace == end:
                return [FoundCall(start=self._start(text, 0), end=len(text))]
            between = text[max(end, 0) : brace]
            begun = brace - len(between)
            if between.strip("; \n"):
                begun = self._start(text, max(end, 0), brace)
            keys = ("arguments", "parameters")
            found.append(call_of(text, read[0], (begun, read[1]), "name", keys))
            end = read[1]
        return all_or_none(found)

    def begin(self, text: str) -> int:
        """See `CallFormat`."""
        brace = text.find("{")
        marked = before_mark(text, self.prefix)
        return marked if brace < 0 else min(brace, marked)

    def _start(self, text: str, behind: int, brace: int | None = None) -> int:
        mark = text.find(self.prefix, behind, brace)
        if mark >= 0:
            return mark
        return text.find("{", behind) if brace is None else brace
