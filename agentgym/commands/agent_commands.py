"""The command `agents`: lists, shows and deletes trained agents."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from agentgym.errors import UsageError
from agentgym.exit_code import ExitCode


def list_agents(options: argparse.Namespace) -> int:
    """Prints the trained agents of the project."""
    from agentgym.policy.trained.agent_folder import AGENTS, saved_agents
    from agentgym.policy.trained.card import read_card

    found = saved_agents()
    if not found:
        print(
            f"no trained agent is saved in {AGENTS}, here or in a folder above: train "
            "one with pytest --agentgym --train"
        )
        return ExitCode.OK
    width = max(len("agent"), *map(len, found))
    print(f"{'agent':{width}}  {'before':>7}  {'after':>7}  {'saved':16}  base model")
    for name, folder in found.items():
        try:
            about = read_card(folder)
        except UsageError as error:
            print(f"agentgym: {error}", file=sys.stderr)
            continue
        shares = "  ".join(f"{_share(about.get(key)):>7}" for key in _MEASURED)
        saved = str(about.get("created") or "-")[:16].replace("T", " ")
        print(f"{name:{width}}  {shares}  {saved:16}  {about['base']['spec']}")
    return ExitCode.OK


def show_agent(options: argparse.Namespace) -> int:
    """Prints an agent's card."""
    from agentgym.policy.trained.agent_folder import find_agent
    from agentgym.policy.trained.card import card_text, read_card

    folder = find_agent(options.name)
    about = read_card(folder)
    print(card_text(f"{about['name']}_v{about['version']}", about))
    print(f"{'folder':<12}{folder}")
    return ExitCode.OK


def delete_agent(options: argparse.Namespace) -> int:
    """Deletes one version of an agent."""
    from agentgym.policy.trained.agent_folder import (
        delete_version,
        find_agent,
        saved_agents,
    )

    folder = find_agent(options.name)
    names = {place: name for name, place in saved_agents().items()}
    if names.get(folder) != options.name:
        known = ", ".join(names.values())
        raise UsageError(
            f"{options.name}: give the version, too, and not a path; there is {known}"
        )
    if not options.yes:
        if not sys.stdin.isatty():
            raise UsageError(
                f"deleting {options.name} needs --yes: nobody can be asked"
            )
        answer = input(f"delete {folder}? [y/N] ")
        if answer.strip().lower() not in ("y", "yes"):
            print("nothing was deleted")
            return ExitCode.BELOW
    delete_version(folder)
    print(f"deleted {folder}")
    return ExitCode.OK


_MEASURED = ("before", "after")


def _share(share: dict[str, float] | None) -> str:
    return f"{100 * share['value']:.1f} %" if share else "-"


def add_agent_commands(commands: Any) -> None:
    """Adds the commands to the command line's parser."""
    command = commands.add_parser(
        "agents",
        help="list, show or delete the trained agents of a project",
        description="Lists the trained agents of this project.",
    )
    command.set_defaults(command=list_agents)
    inner = command.add_subparsers(metavar="COMMAND")
    listing = inner.add_parser(
        "list", help="list them (default)", description="Lists the agents."
    )
    listing.set_defaults(command=list_agents)
    show = inner.add_parser(
        "show",
        help="show what one was trained on, and how reliable it was",
        description="Shows what an agent was trained on, and how reliable it was.",
    )
    show.set_defaults(command=show_agent)
    show.add_argument("name", metavar="NAME", help="its name or folder")
    delete = inner.add_parser(
        "delete",
        help="delete one version",
        description="Deletes one version of an agent.",
    )
    delete.set_defaults(command=delete_agent)
    delete.add_argument(
        "name", metavar="NAME", help="its name with its version, as support_v1.2"
    )
    delete.add_argument("--yes", action="store_true", help="do not ask")
