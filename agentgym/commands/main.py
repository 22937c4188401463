"""The command `agentgym`."""

from __future__ import annotations

import argparse
import errno
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from agentgym.commands.agent_commands import add_agent_commands
from agentgym.commands.compare_commands import add_compare_commands
from agentgym.commands.doctor import add_doctor_command
from agentgym.commands.import_traces import add_import_command
from agentgym.commands.init import add_init_command
from agentgym.commands.launching.cluster_command import add_cluster_command
from agentgym.commands.launching.handed_on import parted
from agentgym.commands.launching.launch_command import add_launch_command
from agentgym.commands.output_files import add_file_option, writing
from agentgym.commands.pack_commands import add_pack_commands
from agentgym.commands.reproduce import add_reproduce_command
from agentgym.commands.run_commands import add_run_commands
from agentgym.commands.view import add_view_command
from agentgym.distribution import __version__
from agentgym.errors import UsageError
from agentgym.exit_code import ExitCode, UsageParser

if TYPE_CHECKING:
    from agentgym.runs.summary_json import SummaryJson

_FULL = errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; returns its exit code."""
    parser = _parser()
    if "_ARGCOMPLETE" in os.environ:
        from agentgym.commands.shell_completion import complete

        complete(parser)
    given, handed_on = parted(sys.argv[1:] if arguments is None else arguments)
    options = parser.parse_args(given)
    if handed_on:
        options.handed_on = handed_on
    try:
        code: int = options.command(options)
        sys.stdout.flush()
    except UsageError as exc:
        print(f"agentgym: {exc}", file=sys.stderr)
        code = ExitCode.USAGE
    except BrokenPipeError:
        _drop_output()
        code = ExitCode.PIPE
    except OSError as exc:
        where = exc.filename or type(exc).__name__
        if exc.filename is None and exc.errno in _FULL:
            where = "the output cannot be written"
            _drop_output()
        print(f"agentgym: {where}: {exc.strerror or exc}", file=sys.stderr)
        code = ExitCode.USAGE
    return code


def _drop_output() -> None:
    """At its end Python would write what is left, and complain once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def lint(options: argparse.Namespace) -> int:
    """Prints what is wrong with the checks of scenario files."""
    from agentgym.scenarios.lint import lint_file, scenario_files

    files = list(scenario_files(options.paths))
    found = [line for path in files for line in lint_file(path)]
    for line in found:
        print(line)
    if found:
        return ExitCode.BELOW
    count = f"{len(files)} file{'s' * (len(files) != 1)}"
    print(f"{count}: no check rewards an agent for doing nothing")
    return ExitCode.OK


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
        certified=options.certified,
    )
    given = {
        "target": options.target,
        "updates": options.updates,
        "budget": options.budget,
        "episodes": options.episodes,
        "train-config": options.config,
    }
    ended = trainer.run(
        *(f"--agentgym-{name}={text}" for name, text in given.items() if text)
    )
    ended.raise_signal()
    # A shell's code for a process that a signal killed.
    return ended.code if ended.code >= 0 else 128 - ended.code


def serve(options: argparse.Namespace) -> int:
    """Serves a policy until Ctrl-C."""
    from agentgym.policy.server.process import PolicyProcess
    from agentgym.policy.trained.resolve import Remote, resolve

    found = resolve(options.policy)
    if isinstance(found, Remote):
        raise UsageError(f"{options.policy} is a server already: give a model")
    try:
        with PolicyProcess.start(
            found.path,
            adapter=found.adapter,
            name=found.name,
            port=options.port,
            template=found.template,
            adapters=options.adapters,
        ) as server:
            at = server.endpoint
            print(f"serving {at.model} at {at.base_url} until Ctrl-C")
            print(f"key: {at.api_key}", flush=True)
            while server.alive():
                time.sleep(0.5)
    except KeyboardInterrupt:
        return ExitCode.OK
    print("agentgym: the server has ended", file=sys.stderr)
    return ExitCode.BELOW


def merge(options: argparse.Namespace) -> int:
    """Writes a trained agent as one plain model."""
    from agentgym.policy.trained.trained_agent import TrainedAgent

    agent = TrainedAgent.load(options.agent)
    folder = agent.merge(options.path, options.dtype)
    print(f"merged {agent} into {folder}")
    return ExitCode.OK


def report(options: argparse.Namespace) -> int:
    """Writes a run's report as Markdown, or as an HTML page."""
    from agentgym.report.markdown import markdown
    from agentgym.runs.files.layout import SUMMARY
    from agentgym.runs.files.stored import find_summary, read_summary, runs_folder

    folder = runs_folder()
    found = find_summary(options.run, folder)
    summary = read_summary(found)
    if options.html is not None:
        if options.baseline is not None:
            raise UsageError("--baseline compares in Markdown: leave out --html")
        # Another name is a copy: what lies beside it may be of another run.
        own = found.parent if found.name == SUMMARY else None
        if own is None:
            print(
                f"agentgym: {found} has no episodes.jsonl of its own beside it: the "
                "page has no episodes",
                file=sys.stderr,
            )
        _write_page(own, options.html, summary)
        if options.markdown is None:
            return ExitCode.OK
    baseline = None
    if options.baseline is not None:
        baseline = read_summary(find_summary(options.baseline, folder))
    text = markdown(summary, baseline)
    if options.markdown is None:
        print(text, end="")
        return ExitCode.OK
    with writing(options.markdown):
        options.markdown.write_text(text, encoding="utf-8")
    return ExitCode.OK


def _write_page(folder: Path | None, path: Path, summary: SummaryJson) -> None:
    from agentgym.report.html import check_writable, write_html

    check_writable(path)
    with writing(path):
        notes = write_html(folder, path, summary)
    for note in notes:
        print(f"agentgym: {note}", file=sys.stderr)


def selftest(options: argparse.Namespace) -> int:
    """Tries by simulation whether every gate keeps its promise."""
    from agentgym.reliability.simulated.selftest import FEWEST_RUNS, selftest

    if options.runs < FEWEST_RUNS:
        raise UsageError(f"--runs {options.runs}: give at least {FEWEST_RUNS}")
    lines, kept = selftest(options.runs)
    print("\n".join(lines))
    return ExitCode.OK if kept else ExitCode.BELOW


def _parser() -> argparse.ArgumentParser:
    parser = UsageParser(
        prog="agentgym",
        description="Companion of `pytest --agentgym`.",
        epilog="Measure with: pytest --agentgym PATH",
    )
    parser.add_argument(
        "--version", action="version", version=f"agentgym {__version__}"
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_lint(commands)
    _add_train(commands)
    add_launch_command(commands)
    add_cluster_command(commands)
    _add_serve(commands)
    _add_merge(commands)
    _add_report(commands)
    _add_selftest(commands)
    add_compare_commands(commands)
    add_run_commands(commands)
    add_reproduce_command(commands)
    add_view_command(commands)
    add_pack_commands(commands)
    add_agent_commands(commands)
    add_doctor_command(commands)
    add_init_command(commands)
    add_import_command(commands)
    return parser


def _add_lint(commands: argparse._SubParsersAction[UsageParser]) -> None:
    command = commands.add_parser(
        "lint",
        help="find checks that reward an agent for doing nothing",
        description="Finds checks that reward an agent for doing nothing.",
    )
    command.set_defaults(command=lint)
    command.add_argument(
        "paths",
        nargs="*",
        type=Path,
        default=[Path()],
        metavar="PATH",
        help="scenario files, or folders of them (default: here)",
    )


def _add_train(commands: argparse._SubParsersAction[UsageParser]) -> None:
    command = commands.add_parser(
        "train",
        help="improve the policy behind an agent on its scenarios",
        description="Measures the scenarios, trains the policy behind the agent on "
        "their train cases, measures again and saves the trained agent: the same as "
        "`pytest --agentgym --train`, with its exit codes.",
    )
    command.set_defaults(command=train)

    def option(name: str, metavar: str, help: str) -> None:  # noqa: A002
        command.add_argument(f"--{name}", metavar=metavar, help=help)

    command.add_argument(
        "scenarios",
        nargs="+",
        metavar="SCENARIO",
        help="name of a folder, here or in scenarios/, or of an installed pack; a "
        "path, or a node id",
    )
    command.add_argument(
        "--policy",
        metavar="POLICY",
        default="embedded",
        help="model that is trained: 'embedded' (default), the path of a Hugging Face "
        "model or its name at the hub, or a trained agent to go on from",
    )
    option("target", "SHARE", "reliability to reach (default: 0.95)")
    command.add_argument(
        "--certified",
        action="store_true",
        help="go on until it is certain that the target is reached",
    )
    option("updates", "N", "the most policy updates (default: 100)")
    option("budget", "DURATION", "the most time, as 20m or 1h (default: 20m)")
    option("episodes", "N", "held-out episodes of each scenario, before and after")
    option("save", "NAME", "the agent's name (default: the scenarios' folder)")
    command.add_argument(
        "--seed",
        metavar="N",
        type=int,
        default=0,
        help="the same seed gives the same cases and replies (default: 0)",
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


def _add_serve(commands: argparse._SubParsersAction[UsageParser]) -> None:
    command = commands.add_parser(
        "serve",
        help="serve a trained agent to any OpenAI-compatible client",
        description="Serves a trained agent, or another local model, to clients of "
        "OpenAI's API on this machine.",
    )
    command.set_defaults(command=serve)
    command.add_argument(
        "policy",
        metavar="NAME",
        help="a trained agent's name or folder, the path of a Hugging Face model or "
        "its name at the hub, or 'embedded'",
    )
    command.add_argument(
        "--port",
        metavar="N",
        type=int,
        default=8000,
        help="where to listen; 0 for any free port (default: 8000)",
    )
    command.add_argument(
        "--adapters",
        metavar="FOLDER",
        type=Path,
        help="where clients may have LoRA adapters loaded from (default: nowhere)",
    )


def _add_merge(commands: argparse._SubParsersAction[UsageParser]) -> None:
    command = commands.add_parser(
        "merge",
        help="write a trained agent as one plain Hugging Face model",
        description="Writes a trained agent's base model and adapter as one plain "
        "Hugging Face model.",
    )
    command.set_defaults(command=merge)
    command.add_argument("agent", metavar="NAME", help="the agent's name or folder")
    command.add_argument("path", type=Path, metavar="PATH", help="the new folder")
    command.add_argument(
        "--dtype",
        metavar="DTYPE",
        help="float32, float16 or bfloat16 (default: as the base model is stored)",
    )


def _add_report(commands: argparse._SubParsersAction[UsageParser]) -> None:
    command = commands.add_parser(
        "report",
        help="write a run's report as Markdown or HTML",
        description="Writes the report of a run as Markdown, for a pull request, or as "
        "one HTML file that needs no network.",
    )
    command.set_defaults(command=report)
    command.add_argument(
        "run",
        nargs="?",
        default="latest",
        metavar="RUN",
        help="a run's id, folder or summary.json (default: the latest)",
    )
    command.add_argument(
        "--baseline", metavar="RUN", help="an earlier run to compare with"
    )
    add_file_option(command, "markdown", "write it there (default: print)")
    add_file_option(command, "html", "write the HTML report there")


def _add_selftest(commands: argparse._SubParsersAction[UsageParser]) -> None:
    command = commands.add_parser(
        "selftest",
        help="try by simulation whether every gate is right as often as it says",
        description="Simulates runs of agents whose reliability is known, and compares "
        "how often each gate is wrong with what it promises. Exits with 1 if a promise "
        "is broken.",
    )
    command.set_defaults(command=selftest)
    command.add_argument(
        "--runs",
        metavar="N",
        type=int,
        default=10_000,
        help="simulated runs per gate and true reliability (default: 10000)",
    )


if __name__ == "__main__":
    raise SystemExit(main())
