"""Two texts beside each other in a terminal."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Iterator, Sequence

from agentgym.playing.episode import Episode
from agentgym.report.transcript import transcript
from agentgym.runs.lines import Line, wrapped

LEAST_COLUMN = 34
"""Characters of a column; narrower ones are shown one below the other."""

_GAP = 3


def episodes_beside(
    before: Episode | None, after: Episode | None, width: int, indent: str = "  "
) -> Iterator[Line]:
    """What happened in two episodes, with the checks that failed.

    Args:
        before: The earlier one; None if its file is gone.
        after: The later one.
        width: Characters that a line may have.
        indent: What each line begins with.
    """
    room = (width - len(indent) - _GAP) // 2
    beside = room >= LEAST_COLUMN
    size = room if beside else width - len(indent)
    sides = [
        [Line(f"{name}: {_outcome(episode)}"), *_conversation(episode, size)]
        for name, episode in (("before", before), ("after", after))
    ]
    if beside:
        yield from _columns(sides[0], sides[1], room, indent)
        return
    for head, *lines in sides:
        yield Line(indent + head.text, {"bold": True})
        yield from (Line(indent + line.text) for line in lines)


def _outcome(episode: Episode | None) -> str:
    return "not known" if episode is None else episode.outcome.value


def _conversation(episode: Episode | None, width: int) -> Iterator[Line]:
    if episode is None:
        yield Line("(its episodes.jsonl is gone)")
        return
    yield from transcript(episode, width, "")
    for check in episode.checks:
        if check["status"] in ("failed", "errored"):
            text = f"assert {check['text']}"
            yield from wrapped(text, width, "fails   ", hanging=" " * 8, most=3)


def _columns(
    first: Sequence[Line], second: Sequence[Line], room: int, indent: str
) -> Iterator[Line]:
    """Marks as `diff --side-by-side` does: | differs, < and > are on one side only."""
    pairs = itertools.zip_longest(first, second)
    for number, (one, other) in enumerate(pairs):
        texts = [_fit(line.text, room) if line else "" for line in (one, other)]
        mark = " "
        if number and one != other:
            mark = "<" if other is None else ">" if one is None else "|"
        gap = " " * (room - cells(texts[0]))
        text = f"{indent}{texts[0]}{gap} {mark} {texts[1]}".rstrip()
        yield Line(text, {} if number else {"bold": True})


def _fit(text: str, room: int) -> str:
    while cells(text) > room:
        text = f"{text[:-2]}…"
    return text


def cells(text: str) -> int:
    """How many columns of a terminal a text takes: wide characters take two."""
    if text.isascii():
        return len(text)
    return sum(
        0
        if unicodedata.combining(c)
        else 2
        if unicodedata.east_asian_width(c) in "WF"
        else 1
        for c in text
    )
