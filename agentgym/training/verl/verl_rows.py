"""A training's cases as verl's two datasets: each row is the input of a rollout."""

from __future__ import annotations

import itertools
from typing import Any

from agentgym.training.job.case_split import training_cases, validation_tasks
from agentgym.training.job.plan import TrainingPlan
from agentgym.training.job.task import Task

Row = dict[str, Any]


def train_rows(plan: TrainingPlan) -> list[Row]:
    """The train cases, all scenarios in turn, at least as many as a batch has.

    Args:
        plan: A scenario whose cases are drawn gives as many as all updates take.
    """
    config, scenarios = plan.config, plan.learned_from
    most = -(-config.updates * config.groups // len(scenarios))
    lists = [
        [
            _row(plan, info.scenario, case)
            for case in range(training_cases(info) or most)
        ]
        for info in scenarios
    ]
    turns = itertools.zip_longest(*lists)
    rows = [row for turn in turns for row in turn if row is not None]
    rounds = -(-config.groups // len(rows))
    return rows * rounds


def validation_rows(plan: TrainingPlan) -> list[Row]:
    """Train-side cases that nothing is learned from: verl's validation."""
    tasks = validation_tasks(plan.scenarios)
    return [{**task.to_json(), "seed": plan.seed} for task in tasks]


def _row(plan: TrainingPlan, scenario: str, case: int) -> Row:
    task = Task(scenario=scenario, split="train", case=case, phase="train")
    return {**task.to_json(), "seed": plan.seed}
