"""The command `agentgym`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import agentgym
from agentgym.errors import UsageError

EXIT_FOUND, EXIT_USAGE = 1, 2
EXIT_PYTEST_USAGE = 4
"""What pytest, whose exit codes `agentgym train` has, says of wrong usage."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; returns its exit code."""
    options = _parser().parse_args(arguments)
    try:
        code: int = options.command(options)
    except UsageError as exc:
        print(f"agentgym: {exc}", file=sys.stderr)
        code = options.misuse
    return code


def lint(options: argparse.Namespace) -> int:
    """Prints what is wrong with the checks of scenario files."""
    from agentgym.lint import lint_file, scenario_files

    files = list(scenario_files(options.paths))
    found = [line for path in files for line in lint_file(path)]
    for line in found:
        print(line)
    if found:
        return EXIT_FOUND
    count = f"{len(files)} file{'s' * (len(files) != 1)}"
    print(f"{count}: no check rewards an agent for doing nothing")
    return 0


def train(options: argparse.Namespace) -> int:
    """Trains as `agentgym.Trainer` does; pytest itself reads most of the values."""
    from agentgym.training.trainer import Trainer

    trainer = Trainer(
        options.scenarios,
        policy=options.policy,
        save=options.save,
        seed=options.seed,
        workers=options.workers,
        resume=options.resume,
    )
    given = {
        "target": options.target,
        "updates": options.updates,
        "budget": options.budget,
        "train-config": options.config,
    }
    ended = trainer.run(
        *(f"--agentgym-{name}={text}" for name, text in given.items() if text)
    )
    ended.raise_signal()
    # A shell's code for a process that a signal killed.
    return ended.code if ended.code >= 0 else 128 - ended.code


class _Parser(argparse.ArgumentParser):
    """Ends with the exit code of its command."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        code = self.get_default("misuse") or EXIT_USAGE
        self.exit(code, f"{self.prog}: error: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="agentgym",
        description="Companion of `pytest --agentgym`.",
        epilog="Measure with: pytest --agentgym PATH",
    )
    parser.add_argument(
        "--version", action="version", version=f"agentgym {agentgym.__version__}"
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_lint(commands)
    _add_train(commands)
    return parser


def _add_lint(commands: argparse._SubParsersAction[_Parser]) -> None:
    command = commands.add_parser(
        "lint",
        help="find checks that reward an agent for doing nothing",
        description="Finds checks that reward an agent for doing nothing.",
    )
    command.set_defaults(command=lint, misuse=EXIT_USAGE)
    command.add_argument(
        "paths",
        nargs="*",
        type=Path,
        default=[Path()],
        metavar="PATH",
        help="scenario files, or folders of them (default: here)",
    )


def _add_train(commands: argparse._SubParsersAction[_Parser]) -> None:
    command = commands.add_parser(
        "train",
        help="improve the policy behind an agent on its scenarios",
        description="Measures the scenarios, trains the policy behind the agent on "
        "their train cases, measures again and saves the trained agent: the same as "
        "`pytest --agentgym --train`, with its exit codes.",
    )
    command.set_defaults(command=train, misuse=EXIT_PYTEST_USAGE)

    def option(name: str, metavar: str, help: str) -> None:  # noqa: A002
        command.add_argument(f"--{name}", metavar=metavar, help=help)

    command.add_argument(
        "scenarios",
        nargs="+",
        metavar="SCENARIO",
        help="name of a folder, here or in scenarios/; a path, or a node id",
    )
    command.add_argument(
        "--policy",
        metavar="POLICY",
        default="embedded",
        help="model that is trained: 'embedded' (default), the path of a Hugging Face "
        "model, or a trained agent to go on from",
    )
    option("target", "SHARE", "reliability to reach (default: 0.95)")
    option("updates", "N", "the most policy updates (default: 100)")
    option("budget", "DURATION", "the most time, as 20m or 1h (default: 20m)")
    option("save", "NAME", "the agent's name (default: the scenarios' folder)")
    command.add_argument(
        "--seed",
        metavar="N",
        type=int,
        default=0,
        help="the same seed gives the same cases (default: 0)",
    )
    command.add_argument(
        "--workers",
        metavar="N",
        type=int,
        default=0,
        help="processes that play episodes (default: pytest's own)",
    )
    option("config", "FILE", "JSON file with fields of TrainingConfig")
    command.add_argument(
        "--resume",
        metavar="RUN",
        nargs="?",
        const="latest",
        default=False,
        help="go on with a training that ended early (default: the latest)",
    )


if __name__ == "__main__":
    raise SystemExit(main())
