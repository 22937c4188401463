"""The command `reproduce`: plays a run again, and says whether it comes to the same."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentgym.commands.terminal_lines import print_lines, terminal_width
from agentgym.errors import UsageError
from agentgym.exit_code import ExitCode

if TYPE_CHECKING:
    from agentgym.cluster.pytest_process import Ended
    from agentgym.runs.again.original import OriginalRun

_ENDED_EARLY = (ExitCode.INTERRUPTED, ExitCode.INTERNAL, ExitCode.USAGE)


def reproduce(options: argparse.Namespace) -> int:
    """Plays a run again, and says what differs."""
    from agentgym.runs.again.findings import limits, result, same
    from agentgym.runs.again.original import original_run
    from agentgym.runs.again.reproduction import compare_again
    from agentgym.runs.files.held_folder import HeldFolder
    from agentgym.runs.files.stored import runs_folder

    original = original_run(options.run, runs_folder())
    with HeldFolder() as scratch:
        arguments = list(original.arguments(scratch))
        command = shlex.join(["pytest", "--agentgym", *arguments])
        _say([f"plays {original.name} again: {command}"])
        _say(f"not as it was: {change}" for change in _changes(original))
        _say(limits(original))
        ended = _play(original, arguments, scratch)
    ended.raise_signal()
    folder = _whole(ended)
    if folder is None:
        print("nothing is compared: the second run did not come to its end")
        return ended.code if ended.code > 0 else ExitCode.CANNOT_JUDGE
    found = compare_again(original.folder, folder, whole=original.whole)
    print()
    _say(result(found, original))
    _say([f"the second run is in {folder}"])
    if not found.compared:
        return ExitCode.CANNOT_JUDGE
    return ExitCode.OK if same(found, original) else ExitCode.BELOW


def _say(lines: Iterable[str]) -> None:
    from agentgym.runs.lines import wrapped

    width = terminal_width()
    for line in lines:
        print_lines(wrapped(line, width))


def _changes(original: OriginalRun) -> Iterator[str]:
    """What is not as it was."""
    from agentgym.policy.trained.sampling_choice import sampled_by
    from agentgym.runs.again.changes import changes
    from agentgym.runs.summary import versions

    was, policy = original.origin["sampled"], original.summary["policy"]
    sampled = None
    if was is not None and policy is not None:
        try:
            sampled = sampled_by(policy, was["engine"], root=original.root)
        except (UsageError, OSError) as error:
            yield str(error)
    yield from changes(
        original.origin,
        original.summary["versions"],
        root=original.root,
        installed=versions(),
        sampled=sampled,
    )


def _play(original: OriginalRun, arguments: list[str], scratch: Path) -> Ended:
    from agentgym.cluster.pytest_process import run_pytest

    return run_pytest(
        arguments,
        folder=scratch,
        root=original.root / original.origin["folder"],
        environment={"PYTEST_ADDOPTS": original.addopts},
        own_session=True,
    )


def _whole(ended: Ended) -> Path | None:
    """The folder of a run that came to its end."""
    summary = ended.summary
    early = summary.get("interrupted") or summary.get("stopped")
    if early or ended.code in _ENDED_EARLY or summary.get("folder") is None:
        return None
    return Path(summary["folder"])


def add_reproduce_command(commands: Any) -> None:
    """Adds the command to the command line's parser."""
    command = commands.add_parser(
        "reproduce",
        help="play a run again, and say whether it comes to the same",
        description="Plays a run again with its own command and seed, and compares the "
        "two: what is installed and what has changed, then cases, replies, tool calls "
        "and outcomes of each episode, and the adapter after each update of a "
        "training. Exits with 1 if something differs.",
    )
    command.set_defaults(command=reproduce)
    command.add_argument(
        "run",
        nargs="?",
        default="latest",
        metavar="RUN",
        help="a run's id, the beginning of one, or its folder (default: the latest)",
    )
