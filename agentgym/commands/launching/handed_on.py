"""What `agentgym launch` hands on: the words behind `--`, as they hold there."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from agentgym.errors import UsageError

if TYPE_CHECKING:
    from agentgym.remote.project_files import ProjectFiles

COMMAND = "launch"
_HANDS_ON = (COMMAND, "cluster")
_PACK = "--agentgym-scenario="


def parted(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """What a command reads itself, and what it hands on: the words behind `--`.

    Args:
        arguments: Of `agentgym`; those of other commands are all its own.
    """
    given = list(arguments)
    if not set(given[:1]).intersection(_HANDS_ON) or "--" not in given:
        return given, []
    at = given.index("--")
    return given[:at], given[at + 1 :]


def python_arguments(
    scenarios: Sequence[str],
    options: Sequence[str],
    *,
    train: argparse.ArgumentParser,
    root: Path,
    here: Path,
) -> tuple[str, ...]:
    """The arguments of the Python there: `agentgym train`, or pytest.

    Args:
        scenarios: As the user wrote them.
        options: What stood behind `--`: options of `agentgym train`, or of pytest.
        train: The parser of `agentgym train`.
        root: The project's folder.
        here: The current folder.

    Raises:
        UsageError: There are no such scenarios in the project.
    """
    words = list(_from_root(options, root, here))
    found = [scenario_there(text, root, here) for text in scenarios]
    # It would end the process for an option that lacks its value, as it should.
    unknown = train.parse_known_args([*scenarios, *words])[1]
    if unknown:
        return ("-m", "pytest", "--agentgym", "--train", *found, *words)
    names = [text.removeprefix(_PACK) for text in found]
    return ("-m", "agentgym.commands.main", "train", *names, *words)


def scenario_there(text: str, root: Path, here: Path) -> str:
    """A node id that holds there, or the option that names an installed pack.

    Args:
        text: As the user wrote it.
        root: The project's folder.
        here: The current folder.

    Raises:
        UsageError: There is no such scenario in the project.
    """
    from agentgym.training.trainer import Trainer

    (node,) = Trainer(text, root=here).scenarios
    if node.startswith(_PACK):
        return node
    file, colons, inner = node.partition("::")
    if not Path(file).is_relative_to(root):
        raise UsageError(
            f"the scenarios {text} are in {file}, which is not in the project {root}: "
            "only that is sent; give its folder with --project"
        )
    # Without a dot it would be looked for in `scenarios` first.
    return f"{os.path.join('.', os.path.relpath(file, here))}{colons}{inner}"


def _from_root(options: Iterable[str], root: Path, here: Path) -> Iterator[str]:
    """The same words; absolute paths into the project lead there by relative ones."""
    for word in options:
        name, equals, value = _value(word)
        if os.path.isabs(value) and Path(value).is_relative_to(root):
            value = os.path.relpath(value, here)
        yield f"{name}{equals}{value}"


def _value(word: str) -> tuple[str, str, str]:
    if word.startswith("-") and "=" in word:
        return word.partition("=")
    return "", "", word


def named_files(options: Iterable[str], files: ProjectFiles, here: Path) -> list[Path]:
    """What the words name and git ignores: a model's folder, a file of settings.

    Args:
        options: What stood behind `--`.
        files: What is sent in any case.
        here: The current folder.
    """
    sent = {Path(name) for name in files.names}
    sent |= {folder for name in list(sent) for folder in name.parents}
    found = []
    for word in options:
        path = Path(os.path.abspath(here / _value(word)[2]))
        if (
            _value(word)[2]
            and path.is_relative_to(files.root)
            and path.relative_to(files.root) not in sent
            and os.path.exists(path)
        ):
            found.append(path)
    return found


def named_agent(options: Sequence[str], root: Path) -> list[Path]:
    """The folders of the trained agent that a training goes on from, if it names one.

    They are the agent's, and that of its base model.

    Args:
        options: What stood behind `--`.
        root: The project's folder.
    """
    from agentgym.policy.trained.agent_folder import find_agent, is_agent
    from agentgym.policy.trained.card import read_card

    names = ("--policy", "--agentgym-policy")
    for at, word in enumerate(options):
        name, equals, value = _value(word)
        if not equals and word in names:
            name, value = word, (*options, "")[at + 1]
        if name in names and value and is_agent(value, root):
            folder = Path(os.path.abspath(find_agent(value, root)))
            base = Path(read_card(folder)["base"]["spec"])
            return [
                each
                for each in (folder, base)
                if each.is_relative_to(root) and each.exists()
            ]
    return []
