"""Pieces of Markdown, in which texts of agents and tools may hold anything."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from agentgym.runs.lines import distinct, harmless, left, numbered, plain, right

WIDTH = 160
NAME_WIDTH = 100
"""Characters of a scenario's name."""


def table_head(titles: Sequence[str]) -> Iterator[str]:
    """The first two lines of a table whose first column is text."""
    yield row(titles)
    yield row(["---", *("---:" for _ in titles[1:])])


def row(cells: Sequence[str]) -> str:
    """A line of a table."""
    return f"| {' | '.join(cells)} |"


def code(text: str, *, in_table: bool = False) -> str:
    """A short text as it is.

    Args:
        text: Of whatever origin; a long one is cut.
        in_table: Whether it is within a cell, where bars are escaped.
    """
    line = right(plain(text), WIDTH)
    if in_table:
        line = line.replace("|", "\\|")
    fence = _fence(line, 1)
    space = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{space}{line}{space}{fence}"


def codes(names: Iterable[str], *, in_table: bool = False) -> list[str]:
    """Names of scenarios, shortened so that no two that differ look alike.

    Args:
        names: Node ids, or names within a file.
        in_table: As `code` takes it.
    """
    short = _short(list(names), NAME_WIDTH)
    return [code(name, in_table=in_table) for name in short]


def _short(names: Sequence[str], length: int) -> list[str]:
    """Folders go first, then parameters; file and function as far as there is room."""
    parameters: dict[str, dict[str, str]] = {}
    for name in names:
        function = name.find("[", name.find("::") + 1)
        function = len(name) if function < 0 else function
        parameters.setdefault(name[:function], {})[name] = name[function:]
    short: dict[str, str] = {}
    for function_name, of in parameters.items():
        longest = max(map(len, of.values()))
        if len(function_name) + longest <= length:
            short |= {name: name for name in of}
            continue
        head = left(function_name, length - min(longest, length // 3))
        cut = distinct(list(of.values()), length - len(head))
        short |= {name: head + tail for name, tail in zip(of, cut, strict=True)}
    return numbered(short, names, length)


def block(lines: Iterable[str], indent: str = "") -> Iterator[str]:
    """Lines as they are.

    Args:
        lines: Of whatever origin; long ones are cut.
        indent: What each line begins with, within a list.
    """
    found = [_printable(line) for line in lines]
    fence = _fence("\n".join(found), 3)
    yield f"{indent}{fence}text"
    yield from (f"{indent}{line}" for line in found)
    yield f"{indent}{fence}"


def _fence(text: str, least: int) -> str:
    """Backticks that nothing in the text can end."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    return "`" * max(least, longest + 1)


def _printable(line: str) -> str:
    text = harmless(line.expandtabs())
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 1]}…"
