"""The command `agentgym`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import agentgym
from agentgym.errors import UsageError

EXIT_FOUND, EXIT_USAGE = 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; returns the exit code: 0, 1 if it found faults, 2 on misuse."""
    options = _parser().parse_args(arguments)
    try:
        return lint(options.paths)
    except UsageError as exc:
        print(f"agentgym: {exc}", file=sys.stderr)
        return EXIT_USAGE


def lint(paths: Sequence[Path]) -> int:
    """Prints what is wrong with the checks of scenario files."""
    from agentgym.lint import lint_file, scenario_files

    files = list(scenario_files(paths))
    found = [line for path in files for line in lint_file(path)]
    for line in found:
        print(line)
    if found:
        return EXIT_FOUND
    count = f"{len(files)} file{'s' * (len(files) != 1)}"
    print(f"{count}: no check rewards an agent for doing nothing")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="agentgym",
        description="Companion of `pytest --agentgym`.",
        epilog="Measure with: pytest --agentgym PATH",
    )
    parser.add_argument(
        "--version", action="version", version=f"agentgym {agentgym.__version__}"
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    command = commands.add_parser(
        "lint",
        help="find checks that reward an agent for doing nothing",
        description="Finds checks that reward an agent for doing nothing.",
    )
    command.add_argument(
        "paths",
        nargs="*",
        type=Path,
        default=[Path()],
        metavar="PATH",
        help="scenario files, or folders of them (default: here)",
    )
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
