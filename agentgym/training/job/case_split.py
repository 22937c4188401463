"""Which cases are learned from, which choose a version, and which are measured."""

from __future__ import annotations

from collections.abc import Sequence

from agentgym.scenarios.cases import Rounds
from agentgym.training.job.task import Phase, ScenarioInfo, Task

VALIDATION_EPISODES = 192
LEAST_VALIDATION, MOST_VALIDATION = 4, 48
FIRST_VALIDATION_CASE = 1_000_000
"""Where cases are unlimited, those of the validation are far from those of training."""


def held_out_tasks(scenarios: Sequence[ScenarioInfo], phase: Phase) -> list[Task]:
    """The held-out episodes, the same ones in every phase.

    Args:
        scenarios: What is trained; those without held-out cases are left out.
        phase: What the episodes are for.
    """
    tasks = []
    for info in scenarios:
        if info.held_out_cases == 0:
            continue
        cases = info.held_out_cases or info.episodes
        # The seed of a training draws no other ones: they are fixed beforehand.
        rounds = Rounds(
            cases,
            seed=0,
            scenario=info.scenario,
            shuffled=info.held_out_cases is not None,
        )
        tasks += [
            Task(
                scenario=info.scenario,
                split="held_out",
                case=rounds.place(number),
                repeat=number // cases,
                phase=phase,
            )
            for number in range(info.episodes)
        ]
    return tasks


def validation_tasks(scenarios: Sequence[ScenarioInfo], before: int = 0) -> list[Task]:
    """Train-side episodes that choose the best version, never learned from.

    They are other ones each time, or else a set that happens to be difficult would hold
    up a whole training. Where a scenario has few cases, these are its last ones; with
    fewer than four train cases they are the train cases themselves.

    Args:
        scenarios: What is trained.
        before: How many validations there were before.
    """
    chosen = [info for info in scenarios if info.train_cases != 0]
    each = VALIDATION_EPISODES // max(len(chosen), 1)
    each = min(max(each, LEAST_VALIDATION), MOST_VALIDATION)
    tasks = []
    for info in chosen:
        cases = _validation_cases(info, each, before)
        tasks += [
            Task(
                scenario=info.scenario,
                split="train",
                case=cases[number % len(cases)],
                repeat=number // len(cases),
                phase="validate",
            )
            for number in range(each)
        ]
    return tasks


def training_cases(info: ScenarioInfo) -> int | None:
    """How many train cases are learned from; None: as many as wanted."""
    count = info.train_cases
    if count is None or count < 4:
        return count
    return count - count // 4


def _validation_cases(info: ScenarioInfo, each: int, before: int) -> list[int]:
    count = info.train_cases
    if count is None:
        first = FIRST_VALIDATION_CASE + before * each
        return list(range(first, first + each))
    first = (training_cases(info) or 0) if count >= 4 else 0
    return list(range(first, count))
