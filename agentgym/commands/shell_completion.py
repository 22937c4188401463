"""Completes the command line in a shell; see docs/reference/options.md for how."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from agentgym.errors import UsageError


def complete(parser: argparse.ArgumentParser) -> None:
    """Writes what may come next, as the shell's environment asks, and ends the process.

    Args:
        parser: Of the whole command line.
    """
    import argcomplete

    for command, action in _actions(parser):
        names = _NAMES.get((command, action.dest))
        if names is not None:
            # Where argcomplete looks for it.
            vars(action)["completer"] = _completer(names)
    argcomplete.autocomplete(parser)


def _actions(
    parser: argparse.ArgumentParser, command: str = ""
) -> Iterator[tuple[str, argparse.Action]]:
    """The arguments of all commands, each with the command's first word."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, inner in action.choices.items():
                yield from _actions(inner, command or word)
        else:
            yield command, action


def _completer(names: Callable[[], Iterable[str]]) -> Callable[..., list[str]]:
    def found(prefix: str, **_: object) -> list[str]:
        # A message in the middle of a line that is typed helps nobody.
        with suppress(UsageError, OSError):
            return [name for name in names() if name.startswith(prefix)]
        return []

    return found


def _runs() -> Iterator[str]:
    from agentgym.runs.files.stored import LATEST, runs_folder

    yield LATEST
    folder = runs_folder()
    if folder.is_dir():
        yield from (path.name for path in folder.iterdir() if path.is_dir())


def _agents() -> Iterable[str]:
    from agentgym.policy.trained.agent_folder import saved_agents

    return saved_agents()


def _packs() -> Iterable[str]:
    from agentgym.scenarios.packs import ScenarioRegistry

    return ScenarioRegistry().names


def _hosts() -> Iterator[str]:
    """What ssh's own settings name, patterns aside."""
    text = Path("~/.ssh/config").expanduser().read_text(encoding="utf-8")
    for line in text.splitlines():
        word, *names = line.split() or [""]
        if word.lower() == "host":
            yield from (name for name in names if not set(name) & set("*?!"))


def _clouds() -> Iterable[str]:
    return ("kubernetes", "lambda", "local", "runpod", "vast", "aws", "gcp", "azure")


_NAMES: dict[tuple[str, str], Callable[[], Iterable[str]]] = {
    ("runs", "run"): _runs,
    ("runs", "runs"): _runs,
    ("report", "run"): _runs,
    ("report", "baseline"): _runs,
    ("reproduce", "run"): _runs,
    ("compare", "before"): _runs,
    ("compare", "after"): _runs,
    ("agents", "name"): _agents,
    ("merge", "agent"): _agents,
    ("serve", "policy"): _agents,
    ("train", "policy"): _agents,
    ("scenarios", "name"): _packs,
    ("train", "scenarios"): _packs,
    ("launch", "scenarios"): _packs,
    ("launch", "ssh"): _hosts,
    ("launch", "cloud"): _clouds,
}
"""What an argument of a command names."""
