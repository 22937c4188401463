"""The task that SkyPilot is given: the machine, the environment, the training."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentgym.errors import UsageError
from agentgym.remote.environment import SOURCE, asked_for
from agentgym.remote.launch_job import LaunchJob
from agentgym.remote.machine import THERE
from agentgym.remote.place import script
from agentgym.remote.project_files import ProjectFiles, project_files

_READY, _JOB = "ready.json", "job.json"
_LOCAL = "kubernetes/kind-skypilot"
"""The cluster on this machine that `sky local up` makes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The machine that is rented.

    Attributes:
        gpu: As SkyPilot names them, with a number: `RTX4090:1`; None: it needs none.
        cloud: What SkyPilot calls infra, or `local`; None: the cheapest.
        idle_minutes: After so many without a training it is torn down by itself.
    """

    gpu: str | None
    cloud: str | None
    idle_minutes: int

    @property
    def infra(self) -> str | None:
        """The cloud by SkyPilot's own word."""
        return _LOCAL if self.cloud == "local" else self.cloud


def task_config(
    job: LaunchJob, wanted: Wanted, name: str, workdir: Path
) -> dict[str, Any]:
    """The task as its YAML has it.

    Args:
        job: The training.
        wanted: The machine.
        name: The task's.
        workdir: What SkyPilot sends; see `fill`.
    """
    resources = {
        "infra": wanted.infra,
        "accelerators": wanted.gpu,
        # SkyPilot does that from the machine itself, whatever becomes of this process.
        "autostop": {
            "idle_minutes": wanted.idle_minutes,
            "down": True,
            "wait_for": "jobs",
        },
    }
    config: dict[str, Any] = {
        "name": name,
        "workdir": str(workdir),
        "resources": {key: value for key, value in resources.items() if value},
        "setup": f"python3 {THERE} make_ready < {_READY}",
        "run": f"python3 {THERE} serve {_JOB}",
    }
    if job.environment:
        config["secrets"] = dict(job.environment)
    return config


def fill(workdir: Path, job: LaunchJob) -> None:
    """Puts into a folder what SkyPilot is to send.

    Args:
        workdir: An empty folder in the project's file system.
        job: The training.

    Raises:
        UsageError: A file cannot be read, or there is no room.
    """
    if job.needs is None:
        raise ValueError("a rented machine has no environment of its own")
    ready = asked_for(job.needs, {})
    texts = {_READY: json.dumps(ready), _JOB: json.dumps(job.said())}
    # SkyPilot would leave out what .gitignore names, and what is here was chosen.
    texts[".skyignore"] = ""
    try:
        for name, text in texts.items():
            (workdir / name).write_text(text, encoding="utf-8")
        (workdir / THERE).write_bytes(script())
        _copy(job.files, workdir / "project")
        if job.needs.source is not None:
            _copy(project_files(job.needs.source), workdir / SOURCE)
    except OSError as error:
        where = error.filename or workdir
        raise UsageError(
            f"{where} cannot be copied for SkyPilot: {error.strerror or error}"
        ) from error


def _copy(files: ProjectFiles, target: Path) -> None:
    target.mkdir()
    for name in files.names:
        place = target / name
        place.parent.mkdir(parents=True, exist_ok=True)
        file = files.root / name
        if file.is_symlink():
            place.symlink_to(os.readlink(file))
            continue
        try:
            os.link(file, place)
        except OSError:
            # Another file system, or one without links.
            shutil.copy2(file, place)
