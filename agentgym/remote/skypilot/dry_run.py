"""Shows the task that SkyPilot would be given, without any network."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from agentgym.exit_code import ExitCode
from agentgym.remote.launch_job import LaunchJob, project_key
from agentgym.remote.skypilot.sky_module import in_short, sky_module
from agentgym.remote.skypilot.sky_task import Wanted, task_config

_CATALOGS = Path("~/.sky/catalogs")


def print_plan(job: LaunchJob, wanted: Wanted, root: Path) -> int:
    """Prints the task as YAML, with what is to be said of it as comments.

    Args:
        job: The training.
        wanted: The machine.
        root: The project's folder.

    Raises:
        UsageError: SkyPilot is missing, or does not take the task.
    """
    sky = sky_module()
    import yaml

    workdir = root / ".agentgym" / ".launch"
    config = task_config(job, wanted, project_key(root), workdir)
    check(sky, config)
    for line in _about(job, wanted):
        print(f"# {line}")
    # Values are nobody's business; SkyPilot takes them by `--secret NAME`.
    shown = {**config, "secrets": dict.fromkeys(job.environment)}
    if not job.environment:
        del shown["secrets"]
    print(yaml.safe_dump(shown, sort_keys=False, allow_unicode=True), end="")
    return ExitCode.OK


def check(sky: Any, config: dict[str, Any]) -> Any:
    """Has SkyPilot read a task.

    Args:
        sky: SkyPilot.
        config: The task as its YAML has it.

    Raises:
        UsageError: It does not take it.
    """
    try:
        # It takes apart what it is given.
        return sky.Task.from_yaml_config(copy.deepcopy(config))
    except Exception as error:
        raise in_short(error) from error


def _about(job: LaunchJob, wanted: Wanted) -> Iterator[str]:
    files = job.files
    yield (
        f"workdir: {len(files.names)} files ({files.size / 1e6:.1f} MB) of {files.root}"
    )
    for name in files.outside:
        yield f"not sent: {name} is a link that leads out of the project"
    if job.needs is not None:
        yield f"installs: {' '.join(job.needs.arguments)}"
    yield f"runs: python {' '.join(job.arguments)}"
    price = price_of(wanted)
    yield (
        "price: not known here, as SkyPilot's catalog has not been loaded yet"
        if price is None
        else f"price: from ${price:.2f} an hour, by SkyPilot's catalog"
    )


def price_of(wanted: Wanted) -> float | None:
    """The lowest price of an hour, by the catalog that SkyPilot has on this machine.

    Args:
        wanted: The machine.
    """
    cloud = (wanted.cloud or "").partition("/")[0]
    # Where it has none it would ask the network.
    if not wanted.gpu or not any(_CATALOGS.expanduser().glob(f"*/{cloud}/*.csv")):
        return None
    name, _, count = wanted.gpu.partition(":")
    prices: list[float] = []
    # It is for showing only, and no documented part of SkyPilot.
    with suppress(Exception):
        from sky import catalog

        found = catalog.list_accelerators(
            name_filter=f"^{name}$",
            quantity_filter=int(count or 1),
            clouds=cloud,
            case_sensitive=False,
        )
        prices = [each.price for offers in found.values() for each in offers]
    return min((price for price in prices if price > 0), default=None)
