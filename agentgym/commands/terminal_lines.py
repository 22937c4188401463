"""Prints a report's lines, coloured where that is wanted."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentgym.runs.lines import Line

MOST_WIDTH = 160

_CODES = {"bold": "1", "red": "31", "green": "32", "yellow": "33"}


def terminal_width() -> int:
    """Characters that a line may have."""
    return min(shutil.get_terminal_size().columns, MOST_WIDTH)


def print_lines(lines: Iterable[Line]) -> None:
    """Prints them, with an empty line before a heading."""
    from agentgym.runs.lines import Heading

    coloured = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    for line in lines:
        text = line.text
        if isinstance(line, Heading):
            print()
            codes = ["1"]
        else:
            codes = [_CODES[name] for name, on in line.markup.items() if on]
        if coloured and codes and text:
            text = f"\033[{';'.join(codes)}m{text}\033[0m"
        print(text)
