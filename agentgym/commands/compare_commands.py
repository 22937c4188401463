"""The commands about runs that are over: `compare`, `history` and `schema`."""

from __future__ import annotations

import argparse
import json
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentgym.commands.output_files import add_file_option, writing
from agentgym.commands.terminal_lines import print_lines, terminal_width
from agentgym.errors import UsageError
from agentgym.exit_code import ExitCode

if TYPE_CHECKING:
    from agentgym.runs.side import Side


def compare(options: argparse.Namespace) -> int:
    """Prints what changed from one run to another."""
    from agentgym.report.comparison_markdown import comparison_markdown
    from agentgym.report.comparison_terminal import comparison_lines, drop_verdict
    from agentgym.runs.comparison import compare
    from agentgym.runs.files.store import write_json
    from agentgym.runs.gate import exit_code_of_drop

    comparison = compare(*_chosen(options.before, options.after), options.max_drop)
    if not comparison.scenarios:
        raise UsageError(comparison.notes[-1])
    width = terminal_width()
    print_lines(comparison_lines(comparison, width, options.show))
    if comparison.allowed is not None:
        print_lines(drop_verdict(comparison.allowed, width))
    if options.markdown is not None:
        with writing(options.markdown):
            text = comparison_markdown(comparison)
            options.markdown.write_text(text, encoding="utf-8")
    if options.json is not None:
        with writing(options.json):
            write_json(options.json, comparison.to_json())
    return exit_code_of_drop(comparison.allowed, certified=False)


def _chosen(first: str | None, second: str | None) -> tuple[Side, Side]:
    """The two runs; by default the latest and the one before it."""
    from agentgym.runs.files.stored import LATEST, runs_folder
    from agentgym.runs.side import open_side

    folder = runs_folder()
    after = open_side(second or LATEST, folder)
    if first is None:
        return _earlier(after, folder), after
    before = open_side(first, folder)
    if before.name == after.name and before.file == after.file:
        raise UsageError(
            f"{first} is the latest run itself: name a run to compare it with"
            if second is None
            else f"{first} and {second} are the same run"
        )
    return before, after


def _earlier(after: Side, folder: Path) -> Side:
    """The latest run before this one that has a scenario in common with it."""
    from agentgym.runs.files.stored import finished_runs
    from agentgym.runs.side import read_side

    others = [run for run in finished_runs(folder) if run.name != after.name]
    unread: list[str] = []
    for run in others:
        try:
            side = read_side(run)
        except UsageError as exc:
            unread.append(f"left out: {exc}")
            continue
        if side.scenarios & after.scenarios:
            side.notes += unread
            return side
    raise UsageError(
        f"{after.name} is the only run of these scenarios in {folder}: there is "
        f"nothing to compare it with{''.join(f'; {note}' for note in unread)}"
    )


def history(options: argparse.Namespace) -> int:
    """Prints the runs of a project."""
    from agentgym.report.history import history_lines, read_history
    from agentgym.runs.files.stored import runs_folder

    found = read_history(options.runs or runs_folder(), options.scenario)
    if options.json:
        print(json.dumps([entry.to_json() for entry in found.entries], indent=2))
        return ExitCode.OK
    width = terminal_width()
    print_lines(history_lines(found, width))
    return ExitCode.OK


def schema(options: argparse.Namespace) -> int:
    """Prints the JSON Schema of `summary.json`."""
    file = resources.files("agentgym.report") / "summary.schema.json"
    print(file.read_text(encoding="utf-8"), end="")
    return ExitCode.OK


def add_compare_commands(commands: Any) -> None:
    """Adds the commands to the command line's parser."""
    _add_compare(commands)
    _add_history(commands)
    command = commands.add_parser(
        "schema",
        help="print the JSON Schema of summary.json",
        description="Prints the JSON Schema of a run's summary.json.",
    )
    command.set_defaults(command=schema)


def _add_compare(commands: Any) -> None:
    command = commands.add_parser(
        "compare",
        help="say what changed from one run to another",
        description="Compares two runs, in pairs where they played the same cases: "
        "the run, each scenario, each tool, and the cases that newly fail or pass.",
    )
    command.set_defaults(command=compare)
    run = "a run's id, folder, summary.json or episodes.jsonl"
    command.add_argument(
        "before",
        nargs="?",
        metavar="A",
        help=f"the earlier run: {run}; ID@before is what a training began with "
        "(default: the run before B that has its scenarios)",
    )
    command.add_argument(
        "after", nargs="?", metavar="B", help="the later run (default: the latest)"
    )
    command.add_argument(
        "--max-drop",
        type=_share,
        metavar="SHARE",
        help="exit code 1 if reliability dropped by more, such as 0.02, in the run or "
        "a scenario, at 95 %% confidence",
    )
    command.add_argument(
        "--show",
        type=_number,
        default=2,
        metavar="N",
        help="newly failing and newly fixed cases to show side by side (default: 2)",
    )
    add_file_option(command, "markdown", "write it there, too")
    add_file_option(command, "json", "write it there, too")


def _add_history(commands: Any) -> None:
    command = commands.add_parser(
        "history",
        help="list the runs of a project, and how reliable they were",
        description="Lists the runs of a project, trainings included, the newest last.",
    )
    command.set_defaults(command=history)
    command.add_argument(
        "runs",
        nargs="?",
        type=Path,
        metavar="FOLDER",
        help="the folder of runs (default: .agentgym/runs)",
    )
    command.add_argument(
        "--scenario",
        metavar="NAME",
        help="only scenarios with this in their names",
    )
    command.add_argument("--json", action="store_true", help="print it as JSON")


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text}: give a number from 0 to 1")
    return value


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text}: give a whole number of at least 0")
    return int(text)
