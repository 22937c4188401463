"""The command `scenarios`: lists, shows and copies the packs that are installed."""

from __future__ import annotations

import argparse
import shutil
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentgym.errors import UsageError
from agentgym.exit_code import ExitCode

if TYPE_CHECKING:
    from agentgym.scenarios.packs import ScenarioPack

MOST_WIDTH = 100


def list_packs(options: argparse.Namespace) -> int:
    """Prints the packs that are installed."""
    from agentgym.scenarios.packs import ScenarioRegistry

    registry = ScenarioRegistry()
    print(f"{'name':24} {'scenarios':>9} {'tools':>5}  embedded policy passes")
    for name in registry.names:
        try:
            pack = registry.get(name)
            count = len(pack.scenarios)
        except UsageError as error:
            print(f"agentgym: {error}", file=sys.stderr)
            continue
        tools = len(pack.tools) or "-"
        print(f"{name:24} {count:>9} {tools:>5}  {_passes(pack)}")
        for text in filter(None, (pack.title, pack.cases and f"cases {pack.cases}")):
            print(textwrap.fill(text, _width(), **_indent(4)))
    print("\nMeasure one with: pytest --agentgym --agentgym-scenario NAME")
    return ExitCode.OK


def show_pack(options: argparse.Namespace) -> int:
    """Prints what a pack holds, and what to do with it."""
    from agentgym.scenarios.packs import ScenarioRegistry

    pack = ScenarioRegistry().get(options.name)
    name = pack.name
    print("\n".join(_about(pack)))
    print(
        f"\nmeasure it: pytest --agentgym --agentgym-scenario {name}"
        f"\ntrain on it: agentgym train {name}"
        f"\nedit it, or put your agent there: agentgym scenarios copy {name}"
    )
    return ExitCode.OK


def copy_pack(options: argparse.Namespace) -> int:
    """Copies a pack into the project."""
    from agentgym.scenarios.packs import ScenarioRegistry

    pack = ScenarioRegistry().get(options.name)
    target: Path = options.to or Path("scenarios", pack.name)
    pack.copy(target)
    print(f"copied into {target}: measure it with pytest --agentgym {target}")
    return ExitCode.OK


def _about(pack: ScenarioPack) -> Iterator[str]:
    scenarios = pack.scenarios
    yield f"{pack.name}, of {pack.source}, in {pack.folder}"
    if pack.title:
        yield pack.title
    if pack.cases:
        yield f"cases: {pack.cases}"
    if pack.tools:
        tools = ", ".join(pack.tools)
        yield textwrap.fill(f"tools: {tools}", _width(), subsequent_indent="    ")
    yield f"embedded policy: passes {_passes(pack)}"
    yield f"{len(scenarios)} scenarios:"
    yield from (f"    {name}" for name in scenarios)


def _passes(pack: ScenarioPack) -> str:
    if pack.embedded is None:
        return "unknown"
    return f"{100 * pack.embedded:.1f} % of held-out episodes"


def _width() -> int:
    return min(shutil.get_terminal_size().columns, MOST_WIDTH)


def _indent(blanks: int) -> dict[str, Any]:
    return {"initial_indent": " " * blanks, "subsequent_indent": " " * blanks}


def add_pack_commands(commands: Any) -> None:
    """Adds the commands to the command line's parser."""
    command = commands.add_parser(
        "scenarios",
        help="list, show or copy the scenario packs that are installed",
        description="Lists the scenario packs that are installed.",
    )
    command.set_defaults(command=list_packs)
    inner = command.add_subparsers(metavar="COMMAND")
    inner.add_parser(
        "list", help="list them (default)", description="Lists the packs."
    ).set_defaults(command=list_packs)
    show = inner.add_parser(
        "show",
        help="show one: its tools, its scenarios, and what to do with it",
        description="Shows a pack: its tools, its scenarios, and what to do with it.",
    )
    show.set_defaults(command=show_pack)
    copy = inner.add_parser(
        "copy",
        help="copy one into the project, to edit it or to put your agent there",
        description="Copies a pack into the project.",
    )
    copy.set_defaults(command=copy_pack)
    for each in (show, copy):
        each.add_argument("name", metavar="NAME", help="the pack's name")
    copy.add_argument(
        "--to",
        type=Path,
        metavar="FOLDER",
        help="the new folder (default: scenarios/NAME)",
    )
