"""What a change looks like: numbered lines, those that go and those that come."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import SequenceMatcher

CONTEXT = 1
"""Unchanged lines that are shown before and behind each change."""


def numbered(text: str) -> str:
    """A text with the number of each line before it."""
    lines = enumerate(text.splitlines(), 1)
    return "\n".join(f"{number} {line}".rstrip() for number, line in lines)


def diff(path: str, old: str, new: str) -> str:
    """What changes in a file, with the lines around it that are not empty.

    Lines that come and those that stay have their new number, lines that go have
    their old one.

    Args:
        path: The file's.
        old: Its text before the change.
        new: Its text after the change.
    """
    return "\n".join([path, *_lines(old.splitlines(), new.splitlines())])


def _lines(old: list[str], new: list[str]) -> Iterator[str]:
    matcher = SequenceMatcher(None, old, new, autojunk=False)
    for group in matcher.get_grouped_opcodes(CONTEXT):
        for kind, first, last, new_first, new_last in group:
            if kind == "equal":
                around = _signed(" ", new, new_first, new_last)
                yield from (line for line in around if len(line.split()) > 1)
            else:
                yield from _signed("-", old, first, last)
                yield from _signed("+", new, new_first, new_last)


def _signed(sign: str, lines: list[str], first: int, last: int) -> Iterator[str]:
    for number in range(first, last):
        yield f"{sign}{number + 1} {lines[number]}".rstrip()
