"""What a measurement of a policy version came to, and the file that keeps it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentgym.reliability import attrition_exceeded, clopper_pearson, paired_difference
from agentgym.runs.summary_json import GainJson, ShareJson
from agentgym.training.hub.rollout_result import RolloutResult
from agentgym.training.job.task import Phase, Task

Key = tuple[str, int, int]


@dataclass(slots=True)
class Measurement:
    """Outcomes of the episodes of a phase, by scenario, case and repeat.

    Attributes:
        outcomes: True for passed, False for failed, None if it does not count.
    """

    outcomes: dict[Key, bool | None] = field(default_factory=dict)

    def add(self, task: Task, outcome: str) -> None:
        """Counts an episode; a second one of the same number takes its place.

        Args:
            task: What was played.
            outcome: A value of `agentgym.recording.blame.Outcome`.
        """
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

    def to_json(self) -> ShareJson:
        """Value and 95 % interval of Clopper and Pearson (Biometrika 26, 1934)."""
        low, high = clopper_pearson(self.passed, self.counted)
        return {"value": self.value, "low": low, "high": high}

    def difference(self, after: Measurement) -> GainJson | None:
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


class MeasuredEpisodes:
    """`measured.jsonl`: each measured episode's outcome as soon as it is known.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, result: RolloutResult, version: int) -> None:
        """Adds a line.

        Args:
            result: Of an episode of a measurement.
            version: The policy version that is measured.
        """
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
        """What is known already of a measurement that was interrupted.

        Args:
            phase: "before" or "after".
            version: The policy version that is measured.
        """
        measurement = Measurement()
        for line in self._lines():
            if line["phase"] == phase and line["version"] == version:
                measurement.add(Task.from_json(line), line["outcome"])
        return measurement

    def episodes(self, phase: Phase, version: int) -> list[str]:
        """Ids of the run's episodes that a measurement is made of.

        Args:
            phase: "before" or "after".
            version: The policy version that was measured.
        """
        ids = {
            (line["scenario"], line["case"], line["repeat"]): str(line["id"])
            for line in self._lines()
            if line["phase"] == phase and line["version"] == version
        }
        return list(ids.values())

    def _lines(self) -> Iterable[dict[str, Any]]:
        if not self._path.exists():
            return
        for text in self._path.read_text(encoding="utf-8").splitlines():
            try:
                yield json.loads(text)
            except ValueError:  # the last line of a run that was killed
                continue
