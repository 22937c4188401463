"""The command `view`: one page over all runs of a project."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from agentgym.errors import UsageError
from agentgym.exit_code import ExitCode

PAGE = "index.html"


def view(options: argparse.Namespace) -> int:
    """Writes the page, says where it is, and opens it where there is a screen."""
    import webbrowser

    from agentgym.commands.output_files import writing
    from agentgym.report.html.project_page import write_project
    from agentgym.runs.files.outlines import kept_runs
    from agentgym.runs.files.stored import runs_folder
    from agentgym.runs.lines import count

    folder = runs_folder()
    runs = kept_runs(folder)
    if not runs:
        raise UsageError(f"there is no run in {folder}: run pytest --agentgym first")
    page = folder.parent / PAGE
    with writing(page):
        write_project(page, runs)
    print(f"{count(len(runs), 'run')}: {page.resolve().as_uri()}")
    if not options.no_browser and _has_screen():
        # The address is printed: no matter if no browser starts.
        webbrowser.open(page.resolve().as_uri())
    return ExitCode.OK


def _has_screen() -> bool:
    """Whether a browser would have a window: else one of texts takes the terminal."""
    if sys.platform in ("darwin", "win32"):
        return True
    return any(map(os.environ.get, ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY")))


def add_view_command(commands: Any) -> None:
    """Adds the command to the command line's parser."""
    command = commands.add_parser(
        "view",
        help="open a page over all runs: reliability from run to run, learning curves",
        description="Writes .agentgym/index.html, a page over all runs of the project "
        "that needs no network, and opens it.",
    )
    command.set_defaults(command=view)
    command.add_argument(
        "--no-browser", action="store_true", help="only write it, and say where it is"
    )
