"""What verl is told: its settings, its datasets; and what a dry run says of it."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentgym.errors import UsageError
from agentgym.policy.engine.devices import nvidia_gpus
from agentgym.runs.files.held_folder import HeldFolder
from agentgym.training.job.case_split import held_out_tasks
from agentgym.training.job.plan import TrainingPlan, check_plan
from agentgym.training.verl import trainer_process
from agentgym.training.verl.composed import read_file
from agentgym.training.verl.installed import check_installed_for_verl, what_lacks
from agentgym.training.verl.verl_rows import Row, train_rows, validation_rows
from agentgym.training.verl.verl_settings import Around, not_carried_over, overrides

WEIGHTS = "verl"
"""Folder of what verl saves, in that of the training."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerlLaunch:
    """What verl is told.

    Attributes:
        overrides: Our settings, as verl has them.
        file: The user's.
        weights: Where it saves.
        train: Rows of its dataset.
        validation: Rows of its validation.
        not_carried_over: What of our settings it has nothing for.
    """

    overrides: dict[str, Any]
    file: Path | None
    weights: Path
    train: list[Row]
    validation: list[Row]
    not_carried_over: list[str] = field(default_factory=list)

    @classmethod
    def of(
        cls, plan: TrainingPlan, gateway: str, key: str, file: Path | None
    ) -> VerlLaunch:
        """What verl is told of a training.

        Args:
            plan: What is trained.
            gateway: The gateway's address.
            key: And its key.
            file: The user's settings, if there are any.

        Raises:
            UsageError: There is nothing to train on, or vLLM cannot serve the model.
        """
        check_plan(plan)
        weights = plan.training_folder / WEIGHTS
        around = Around(
            gateway=gateway, key=key, gpus=nvidia_gpus() or 1, folder=weights
        )
        return cls(
            overrides=overrides(plan, around),
            file=file,
            weights=weights,
            train=train_rows(plan),
            validation=validation_rows(plan),
            not_carried_over=list(not_carried_over(plan)),
        )

    def to_json(self) -> dict[str, Any]:
        """What verl's process reads."""
        return {
            "overrides": self.overrides,
            "file": None if self.file is None else str(self.file),
            "train": self.train,
            "validation": self.validation,
        }


def check_verl(file: Path | None) -> None:
    """Checks that verl can train here.

    Args:
        file: The user's settings: with a Ray cluster of theirs, GPUs are elsewhere.

    Raises:
        UsageError: It cannot, or the file is no good.
    """
    check_installed_for_verl(gpu=not _elsewhere(file))


def _elsewhere(file: Path | None) -> bool:
    """Whether the user's settings name a Ray cluster."""
    given = {} if file is None else read_file(file)
    ray = given.get("ray_kwargs") or {}
    return bool((ray.get("ray_init") or {}).get("address"))


def dry_run(plan: TrainingPlan, launch: VerlLaunch) -> Iterator[str]:
    """What a training would do, line by line.

    Args:
        plan: What would be trained.
        launch: What verl would be told; without a key.

    Raises:
        UsageError: verl refuses the settings.
    """
    held_out = len(held_out_tasks(plan.scenarios, "before"))
    config = plan.config
    yield f"trains {plan.base_spec} on {len(plan.learned_from)} scenarios"
    yield f"before and after: {held_out} held-out episodes, measured by agentgym"
    yield (
        f"dataset: {len(launch.train)} train cases, {config.groups} an update, "
        f"{config.group_size} episodes each; validation: "
        f"{len(launch.validation)} train cases that are not learned from"
    )
    yield f"at most {config.updates} updates, and {config.minutes:g} minutes"
    for sentence in launch.not_carried_over:
        yield f"not carried over: {sentence}"
    for sentence in what_lacks(gpu=not _elsewhere(launch.file)):
        yield f"missing here: {sentence}"
    yield f"would start: {_said(trainer_process.TRAINER)} verl.json"
    yield f"would start: {_said(trainer_process.MERGER)}"
    yield "its runners: this process, or xdist's workers with -n"
    yield ""
    yield from _configuration(launch)


def _said(command: tuple[str, ...]) -> str:
    return " ".join(("python", *command[1:]))


def _configuration(launch: VerlLaunch) -> Iterator[str]:
    """The whole configuration, checked by verl; ours alone where there is no verl."""
    if importlib.util.find_spec("verl") is None:
        yield "settings (verl is not installed, so that its own are not shown):"
        yield from json.dumps(launch.overrides, indent=2).splitlines()
        return
    with HeldFolder() as folder:
        job = folder / "verl.json"
        job.write_text(json.dumps(launch.to_json()), encoding="utf-8")
        command = [*trainer_process.TRAINER, str(job), "--check"]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        errors = ended.stderr.strip().splitlines() or ["it said nothing"]
        raise UsageError(errors[-1].removeprefix("agentgym: "))
    yield "the whole configuration, which verl accepts:"
    yield from ended.stdout.splitlines()
