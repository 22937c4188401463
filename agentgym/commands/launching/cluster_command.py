"""The command `cluster render`: files that run a training on Kubernetes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from agentgym.commands.launching.handed_on import scenario_there
from agentgym.commands.output_files import writing
from agentgym.errors import UsageError
from agentgym.exit_code import ExitCode

COMMAND = "cluster"


def render_cluster(options: argparse.Namespace) -> int:
    """Writes the files, none of which may be there."""
    from agentgym.cluster.rendering import NOBODY, ClusterPlan, render
    from agentgym.training.verl.installed import WANTED

    root, measures = Path.cwd(), options.trainer == NOBODY
    trains_in = options.image if measures else f"{options.image}-trainer"
    plan = ClusterPlan(
        name=options.name,
        scenarios=tuple(scenario_there(each, root, root) for each in options.scenarios),
        options=tuple(options.handed_on),
        trainer=options.trainer,
        image=options.image,
        trainer_image=options.trainer_image or trains_in,
        runners=options.runners,
        in_flight=options.in_flight,
        gpus=0 if measures else options.gpus,
        secrets=tuple(options.secret),
        versions=WANTED,
    )
    folder: Path = options.out
    texts = render(plan, root, str(folder))
    there = [str(folder / name) for name in texts if (folder / name).exists()]
    if there:
        raise UsageError(
            f"{', '.join(there)}: there already, and nothing is overwritten: remove "
            "what you do not need any more, or give another folder with --out"
        )
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
            print(f"wrote {folder / name}")
    print("next:")
    images = [(plan.image, "runner"), (plan.trainer_image, "trainer")]
    for image, kind in images[:1] if measures else images:
        print(f"    docker build -f {folder}/Dockerfile.{kind} -t {image} .")
        print(f"    docker push {image}")
    print(
        f"    kubectl create secret generic {plan.name} "
        '--from-literal=AGL_KEY="$(openssl rand -hex 24)"\n'
        f"    kubectl apply -f {folder}/runners.yaml -f {folder}/training.yaml\n"
        f"    kubectl logs -f job/{plan.name}-trainer"
    )
    return ExitCode.OK


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


_count.__name__ = "number from 1"
# What argparse calls the value of a wrong type.


def add_cluster_command(commands: Any) -> None:
    """Adds the command to the command line's parser."""
    cluster = commands.add_parser(
        COMMAND, help="files that train or measure on Kubernetes"
    )
    command = cluster.add_subparsers(required=True, metavar="COMMAND").add_parser(
        "render",
        help="write manifests and Dockerfiles, to be edited",
        description="Writes Kubernetes manifests and Dockerfiles of a training, or of "
        "a measurement, and of runners that stay. Options behind -- are pytest's.",
        epilog="agentgym cluster render scenarios --image team/agent:1 -- "
        "--agentgym-budget=2h",
    )
    command.set_defaults(command=render_cluster, handed_on=[])
    command.add_argument("scenarios", nargs="+", metavar="SCENARIO")

    def option(name: str, metavar: str, help: str, **more: Any) -> None:  # noqa: A002
        command.add_argument(f"--{name}", metavar=metavar, help=help, **more)

    option("image", "IMAGE", "of the runners, with the agent in it", required=True)
    option("trainer-image", "IMAGE", "of what trains (default: IMAGE-trainer)")
    option(
        "trainer",
        "NAME",
        "who makes the updates: verl (default), own, or none to measure",
        choices=("verl", "own", "none"),
        default="verl",
    )
    numbers = (
        ("runners", 8, "how many runners there are"),
        ("in-flight", 16, "episodes that each of them plays at a time"),
        ("gpus", 1, "GPUs of the training"),
    )
    for name, default, what in numbers:
        said = f"{what} (default: {default})"
        option(name, "N", said, type=_count, default=default)
    option("name", "NAME", "of all of it in the cluster", default="agentgym")
    option(
        "secret",
        "NAME",
        "a secret whose keys become variables of the agent",
        action="append",
        default=[],
    )
    option(
        "out",
        "FOLDER",
        "where the files go (default: cluster)",
        type=Path,
        default=Path("cluster"),
    )
