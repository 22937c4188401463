"""Makes docs/demo.svg from what `make demo` prints: `... --color=yes | python docs/demo_svg.py`."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text


def main() -> None:
    """Draws the last part of standard input as a terminal."""
    lines = sys.stdin.read().splitlines()
    first = next(i for i, line in enumerate(lines) if "= agentgym =" in line)
    last = next(i for i, line in enumerate(lines) if "stored in" in line)
    console = Console(record=True, width=82, file=sys.stderr, force_terminal=True)
    console.print(Text("$ pytest --agentgym scenarios/customer_support", style="bold"))
    console.print(Text.from_ansi("\n".join(lines[first : last + 1])))
    svg = console.export_svg(title="pytest --agentgym")
    Path(__file__).with_name("demo.svg").write_text(svg)


if __name__ == "__main__":
    main()
