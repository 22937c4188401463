"""The command `launch`: trains on another machine, and brings home what it made."""

from __future__ import annotations

import argparse
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentgym.commands.launching.handed_on import COMMAND
from agentgym.errors import UsageError

if TYPE_CHECKING:
    from agentgym.remote.launch_job import LaunchJob
    from agentgym.remote.place import Place


def launch(train: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    """Trains elsewhere.

    Args:
        train: The parser of `agentgym train`.
        options: Of the command; `handed_on` are the words behind `--`.
    """
    from agentgym.remote import launch_course
    from agentgym.remote.project_files import project_root

    here = Path.cwd()
    root = project_root(here) if options.project is None else options.project.resolve()
    if not here.is_relative_to(root):
        raise UsageError(f"--project {options.project}: {here} is not in it")
    _check(options)
    if options.attach:
        return launch_course.attach(_place(options, root), root)
    job = _job(train, options, root, here)
    if options.dry_run:
        from agentgym.remote.skypilot.dry_run import print_plan

        return print_plan(job, _wanted(options), root)
    return launch_course.launch(_place(options, root), job)


def _check(options: argparse.Namespace) -> None:
    if options.attach and (options.scenarios or options.handed_on):
        raise UsageError("--attach goes on with what runs: leave the scenarios out")
    if not options.attach and not options.scenarios:
        raise UsageError("name the scenarios to train on, or --attach")
    rented = options.gpu is not None or options.cloud is not None
    if (options.ssh is not None) == rented:
        raise UsageError("say where: either --ssh HOST, or --gpu GPU and --cloud CLOUD")
    if options.dry_run and not rented:
        raise UsageError("--dry-run shows a task of SkyPilot: give --gpu or --cloud")
    if options.python is not None and rented:
        raise UsageError("--python is for a machine of yours: a rented one has none")
    if options.ssh_config is not None and not options.ssh_config.is_file():
        raise UsageError(f"--ssh-config {options.ssh_config}: there is no such file")


def _job(
    train: argparse.ArgumentParser,
    options: argparse.Namespace,
    root: Path,
    here: Path,
) -> LaunchJob:
    from agentgym.commands.launching.handed_on import (
        named_agent,
        named_files,
        python_arguments,
    )
    from agentgym.remote.environment import requirements
    from agentgym.remote.launch_job import LaunchJob
    from agentgym.remote.project_files import project_files

    words = options.handed_on
    arguments = python_arguments(
        options.scenarios, words, train=train, root=root, here=here
    )
    files = project_files(root, options.also)
    also = [*named_files(words, files, here), *named_agent(words, root)]
    if also:
        files = project_files(root, [*options.also, *also])
    needs = None
    if options.python is None:
        needs = requirements(root, options.extra, options.requirements)
    return LaunchJob(
        files=files,
        folder=str(here.relative_to(root)),
        arguments=arguments,
        environment=dict(map(_variable, options.env)),
        needs=needs,
        python=options.python,
    )


def _variable(name: str) -> tuple[str, str]:
    if "=" in name:
        raise UsageError(
            f"--env {name.partition('=')[0]}=...: give the name only; the value is "
            "taken from the environment here, where no list of processes shows it"
        )
    if name not in os.environ:
        raise UsageError(f"--env {name}: it is not set here: export it first")
    return name, os.environ[name]


def _place(options: argparse.Namespace, root: Path) -> Place:
    from agentgym.remote.launch_job import HOME, project_key

    key = project_key(root)
    if options.ssh is None:
        from agentgym.remote.skypilot.by_skypilot import BySkyPilot

        return BySkyPilot(_wanted(options), key)
    from agentgym.remote.by_ssh import BySsh
    from agentgym.remote.ssh_machine import SshMachine

    config = options.ssh_config
    machine = SshMachine(
        options.ssh,
        f"{HOME}/{key}",
        config=None if config is None else config.absolute(),
        python=options.python or "python3",
    )
    return BySsh(machine)


def _wanted(options: argparse.Namespace) -> Any:
    from agentgym.remote.skypilot.sky_task import Wanted

    return Wanted(gpu=options.gpu, cloud=options.cloud, idle_minutes=options.idle)


def _minutes(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


_minutes.__name__ = "number from 1"
# What argparse calls the value of a wrong type.


def add_launch_command(commands: Any) -> None:
    """Adds the command to the command line's parser, behind that of `train`."""
    command = commands.add_parser(
        COMMAND,
        help="train on another machine, and bring home what it learned",
        description="Sends the project to another machine, trains there, shows the "
        "output here and brings the run and the trained agent home. Options behind "
        "-- are those of `agentgym train`, or of `pytest --agentgym --train`.",
        epilog="agentgym launch SCENARIOS --ssh HOST -- --budget 1h",
    )
    command.set_defaults(
        command=partial(launch, commands.choices["train"]), handed_on=[]
    )
    command.add_argument(
        "scenarios",
        nargs="*",
        metavar="SCENARIO",
        help="as `agentgym train` takes them",
    )
    _add_places(command)
    _add_what_is_sent(command)


def _add_places(command: argparse.ArgumentParser) -> None:
    def option(name: str, metavar: str, help: str) -> None:  # noqa: A002
        command.add_argument(f"--{name}", metavar=metavar, help=help)

    option("ssh", "HOST", "a machine that `ssh HOST` reaches without a question")
    command.add_argument(
        "--ssh-config", metavar="FILE", type=Path, help="settings for ssh, as its -F"
    )
    option("gpu", "GPU", "a machine to rent by SkyPilot, as RTX4090:1")
    option("cloud", "CLOUD", "where to rent it: runpod, lambda, kubernetes, local, ...")
    command.add_argument(
        "--idle",
        metavar="MINUTES",
        type=_minutes,
        default=30,
        help="after so long without a training a rented one ends (default: 30)",
    )
    command.add_argument(
        "--dry-run",
        action="store_true",
        help="show SkyPilot's task, and rent nothing",
    )
    command.add_argument(
        "--attach",
        action="store_true",
        help="go on watching what was launched there last, and bring it home",
    )


def _add_what_is_sent(command: argparse.ArgumentParser) -> None:
    def several(name: str, metavar: str, type_: Any, help: str) -> None:  # noqa: A002
        command.add_argument(
            f"--{name}",
            metavar=metavar,
            type=type_,
            action="append",
            default=[],
            help=help,
        )

    command.add_argument(
        "--project",
        metavar="FOLDER",
        type=Path,
        help="what is sent (default: the nearest folder with settings or .git)",
    )
    several("also", "PATH", Path, "send this, too, though git ignores it")
    several("env", "NAME", str, "a variable of this environment to set there")
    command.add_argument(
        "--python",
        metavar="PATH",
        help="a Python there that has agentgym, instead of installing it",
    )
    several("extra", "NAME", str, "an extra of agentgym to install beside train")
    several(
        "requirements",
        "FILE",
        str,
        "what to install (default: requirements.txt, and pyproject.toml's)",
    )
