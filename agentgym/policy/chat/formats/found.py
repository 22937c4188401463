"""What a reader finds in the text of a reply."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

Schemas = Mapping[str, Mapping[str, Any]]
"""The JSON schema of each tool's parameters, by the tool's name."""
Span = tuple[int, int]
"""From which character up to which one, itself not included."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ParsedCall:
    """A tool call as sampled.

    Attributes:
        name: Of the tool.
        arguments: JSON. Where the model writes JSON itself, its own text; where it
            writes something else, the JSON of the same values.
    """

    name: str
    arguments: str


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundCall:
    """A call, or a failed attempt at one, and where in the text it stands.

    Attributes:
        start: Where its opening mark begins.
        end: Behind its closing mark, or where it ends without one.
        arguments: Where its arguments stand, or those of a failed attempt, if it has
            any.
        call: What is called; None if the attempt failed, so that it is text.
    """

    start: int
    end: int
    arguments: Span | None = None
    call: ParsedCall | None = None


class CallFormat(Protocol):
    """Finds the calls of one family. Reading never raises, whatever the text."""

    @property
    def name(self) -> str:
        """What the format is called here, and in the table of families."""

    @property
    def vllm_parser(self) -> str | None:
        """The `--tool-call-parser` of vLLM that takes the same for calls."""

    @property
    def marks(self) -> tuple[str, str] | None:
        """What stands around calls, and nowhere else; None if nothing does."""

    def find(self, text: str, tools: Schemas) -> list[FoundCall]:
        """Every call and every attempt, in order, none within another.

        Args:
            text: What the model wrote, with special tokens, without its thoughts.
            tools: The tools that it was shown; formats without types need them.
        """

    def begin(self, text: str) -> int:
        """From where on the text of an unfinished reply may become a call.

        Returns:
            The number of characters that are text whatever comes next.
        """


def all_or_none(found: Sequence[FoundCall]) -> list[FoundCall]:
    """Where one attempt failed, all did: the reply is text as a whole."""
    if all(attempt.call is not None for attempt in found):
        return list(found)
    return [replace(attempt, call=None) for attempt in found]


def before_mark(text: str, mark: str) -> int:
    """Characters that stand before a mark, or before what may become one.

    Args:
        text: Of an unfinished reply.
        mark: What a call begins with.
    """
    at = text.find(mark)
    if at >= 0:
        return at
    for size in range(min(len(mark) - 1, len(text)), 0, -1):
        if text.endswith(mark[:size]):
            return len(text) - size
    return len(text)
