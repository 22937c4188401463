"""The command `runs`: lists, shows and deletes the runs of a project."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from agentgym.commands.terminal_lines import print_lines, terminal_width
from agentgym.errors import UsageError
from agentgym.exit_code import ExitCode


def list_runs(options: argparse.Namespace) -> int:
    """Prints the runs of the project, the newest last."""
    from agentgym.report.kept.run_list import list_lines, run_json
    from agentgym.runs.files.outlines import kept_runs
    from agentgym.runs.files.stored import runs_folder

    folder = runs_folder()
    runs = kept_runs(folder)
    if options.json:
        print(json.dumps(list(map(run_json, runs)), indent=2))
    elif runs:
        print_lines(list_lines(runs, terminal_width()))
    else:
        print(f"there is no run in {folder}: run pytest --agentgym first")
    return ExitCode.OK


def show_run(options: argparse.Namespace) -> int:
    """Prints a run in short, and where its page is."""
    from agentgym.report.kept.run_card import card_lines
    from agentgym.runs.files.layout import REPORT
    from agentgym.runs.files.stored import find_summary, read_summary, runs_folder

    file = find_summary(options.run, runs_folder())
    print_lines(card_lines(read_summary(file), terminal_width()))
    page = file.with_name(REPORT)
    print(f"\nfiles {file.parent}")
    if page.is_file():
        print(f"page  {page}")
    else:
        print(f"page  none: agentgym report {options.run} --html FILE writes one")
    return ExitCode.OK


def delete_runs(options: argparse.Namespace) -> int:
    """Deletes runs, after asking."""
    from agentgym.runs.files.outlines import find_kept, kept_runs
    from agentgym.runs.files.stored import runs_folder

    folder = runs_folder()
    runs = kept_runs(folder)
    # All of them are found before one is deleted.
    chosen = {(run := find_kept(id_, runs, folder)).folder: run for id_ in options.runs}
    names = ", ".join(run.id for run in chosen.values())
    if not options.yes and not _agreed(names, folder):
        print("nothing was deleted")
        return ExitCode.BELOW
    for path in chosen:
        _delete(path)
        print(f"deleted {path}")
    return ExitCode.OK


def _agreed(names: str, folder: Path) -> bool:
    if not sys.stdin.isatty():
        raise UsageError(f"deleting {names} needs --yes: nobody can be asked")
    answer = input(f"delete {names} in {folder}? [y/N] ")
    return answer.strip().lower() in ("y", "yes")


def _delete(path: Path) -> None:
    # What a link leads to is somebody else's.
    if path.is_symlink():
        path.unlink()
    else:
        shutil.rmtree(path)


def add_run_commands(commands: Any) -> None:
    """Adds the commands to the command line's parser."""
    command = commands.add_parser(
        "runs",
        help="list, show or delete the runs of a project",
        description="Lists the runs of this project, trainings included, the newest "
        "last.",
    )
    inner = command.add_subparsers(metavar="COMMAND")
    listing = inner.add_parser(
        "list", help="list them (default)", description="Lists the runs."
    )
    for each in (command, listing):
        each.set_defaults(command=list_runs)
        each.add_argument("--json", action="store_true", help="print them as JSON")
    show = inner.add_parser(
        "show",
        help="show one in short, and where its page is",
        description="Shows a run in short, and where its page is.",
    )
    show.set_defaults(command=show_run)
    show.add_argument(
        "run",
        nargs="?",
        default="latest",
        metavar="ID",
        help="its id, the beginning of one, or its folder (default: the latest)",
    )
    delete = inner.add_parser(
        "delete", help="delete some", description="Deletes runs, with all their files."
    )
    delete.set_defaults(command=delete_runs)
    delete.add_argument(
        "runs",
        nargs="+",
        metavar="ID",
        help="an id, the beginning of one, or 'latest'",
    )
    delete.add_argument("--yes", action="store_true", help="do not ask")
