"""What is measured before, during and after a training."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentgym.reliability import attrition_exceeded, clopper_pearson, paired_difference
from agentgym.training.hub.rollout_result import RolloutResult
from agentgym.training.job.task import Phase, ScenarioInfo, Task

VALIDATION_EPISODES = 192
LEAST_VALIDATION, MOST_VALIDATION = 4, 48
FIRST_VALIDATION_CASE = 1_000_000
"""Where cases are unlimited, those of the validation are far from those of training."""

Key = tuple[str, int, int]


@dataclass(slots=True)
class Measurement:
    """Outcomes of the episodes of a phase, by scenario, case and repeat.

    Attributes:
        outcomes: True for passed, False for failed, None if it does not count.
    """

    outcomes: dict[Key, bool | None] = field(default_factory=dict)

    def add(self, task: Task, outcome: str) -> None:
        """Counts an episode."""
        passed = {"passed": True, "failed": False}.get(outcome)
        self.outcomes[task.scenario, task.case, task.repeat] = passed

    @property
    def passed(self) -> int:
        """Episodes that passed."""
        return sum(outcome is True for outcome in self.outcomes.values())

    @property
    def counted(self) -> int:
        """Episodes that measure the agent."""
        return sum(outcome is not None for outcome in self.outcomes.values())

    @property
    def value(self) -> float | None:
        """Reliability; None if no episode counts."""
        return self.passed / self.counted if self.counted else None

    @property
    def judgeable(self) -> bool:
        """Whether enough episodes count."""
        return not attrition_exceeded(self.counted, len(self.outcomes))

    def reaches(self, target: float) -> bool:
        """Whether the measured reliability is at least the target."""
        return self.judgeable and self.value is not None and self.value >= target

    def to_json(self) -> dict[str, float | None]:
        """Value and 95 % Clopper-Pearson interval."""
        low, high = clopper_pearson(self.passed, self.counted)
        return {"value": self.value, "low": low, "high": high}

    def difference(self, after: Measurement) -> dict[str, float] | None:
        """How much better `after` is on the episodes that both have."""
        pairs = [
            (outcome, after.outcomes[key])
            for key, outcome in self.outcomes.items()
            if outcome is not None and after.outcomes.get(key) is not None
        ]
        if not pairs:
            return None
        value, low, high = paired_difference(
            [bool(b) for b, _ in pairs], [bool(a) for _, a in pairs]
        )
        return {"value": value, "low": low, "high": high}


def held_out_tasks(scenarios: Sequence[ScenarioInfo], phase: Phase) -> list[Task]:
    """The held-out episodes, the same ones in every phase."""
    return [
        Task(
            scenario=info.scenario,
            split="held_out",
            case=number % (info.held_out_cases or info.episodes),
            repeat=number // (info.held_out_cases or info.episodes),
            phase=phase,
        )
        for info in scenarios
        if info.held_out_cases != 0
        for number in range(info.episodes)
    ]


def validation_tasks(scenarios: Sequence[ScenarioInfo], before: int = 0) -> list[Task]:
    """Train-side episodes that choose the best version, never learnt from.

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
    """How many of a scenario's train cases are learnt from; None: as many as wanted."""
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


class Measured:
    """`measured.jsonl`: each measured episode's outcome as soon as it is known."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, result: RolloutResult, version: int) -> None:
        """Adds a line."""
        line = {
            **result.task.to_json(),
            "version": version,
            "outcome": result.outcome,
            # Which of the run's episodes it is.
            "id": result.rollout_id,
        }
        text = json.dumps(line) + "\n"
        with self._path.open("a+b") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":  # a run was killed while it wrote
                    text = f"\n{text}"
            file.write(text.encode())

    def read(self, phase: Phase, version: int) -> Measurement:
        """What is known already of a measurement that was interrupted."""
        found = Measurement()
        for line in self._lines():
            if line["phase"] == phase and line["version"] == version:
                found.add(Task.from_json(line), line["outcome"])
        return found

    def episodes(self, phase: Phase, version: int) -> list[str]:
        """Ids of the run's episodes that a measurement is made of."""
        found = {
            (line["scenario"], line["case"], line["repeat"]): str(line["id"])
            for line in self._lines()
            if line["phase"] == phase and line["version"] == version
        }
        return list(found.values())

    def _lines(self) -> Iterable[dict[str, Any]]:
        if not self._path.exists():
            return
        for text in self._path.read_text(encoding="utf-8").splitlines():
            try:
                yield json.loads(text)
            except ValueError:  # the last line of a run that was killed
                continue
