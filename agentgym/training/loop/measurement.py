"""What a measurement of a policy version came to, and the file that keeps it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from agentgym.reliability import attrition_exceeded, clopper_pearson
from agentgym.reliability.looks import at_least, is_certain
from agentgym.runs.differences import EpisodeKey, compare_outcomes
from agentgym.runs.files.layout import MEASURED
from agentgym.runs.files.measured import MeasuredLine, read_measured
from agentgym.runs.files.store import drop_cut_line
from agentgym.runs.summary_json import GainJson, ShareJson
from agentgym.training.hub.rollout_result import RolloutResult
from agentgym.training.job.task import Phase, Task
from agentgym.training.job.traits import Traits
from agentgym.training.signs.seen_episode import SeenEpisode
from agentgym.training.signs.watch import case_name

Key = tuple[str, int, int]


@dataclass(slots=True)
class Measurement:
    """Outcomes of the episodes of a phase, by scenario, case and repeat.

    Attributes:
        outcomes: True for passed, False for failed, None if it does not count.
        episodes: Those that count, as far as it is known how they were played.
    """

    outcomes: dict[Key, bool | None] = field(default_factory=dict)
    episodes: dict[Key, SeenEpisode] = field(default_factory=dict)

    def add(self, task: Task, outcome: str, played: SeenEpisode | None = None) -> None:
        """Counts an episode; a second one of the same number takes its place.

        Args:
            task: What was played.
            outcome: A value of `agentgym.recording.blame.Outcome`.
            played: How, if that is known and it counts.
        """
        passed = {"passed": True, "failed": False}.get(outcome)
        key = task.scenario, task.case, task.repeat
        self.outcomes[key] = passed
        self.episodes.pop(key, None)
        if played is not None:
            self.episodes[key] = played

    @property
    def played(self) -> dict[str, list[SeenEpisode]]:
        """How the episodes of each scenario were played."""
        found: dict[str, list[SeenEpisode]] = {}
        for (scenario, _, _), played in self.episodes.items():
            found.setdefault(scenario, []).append(played)
        return found

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

    def certifies(self, target: float, look: int) -> bool:
        """Whether it is certain that the reliability is at least the target.

        Args:
            target: In [0, 1].
            look: At held-out cases; see `agentgym.reliability.looks`.
        """
        sure = self.judgeable and self.counted > 0
        return sure and is_certain(self.passed, self.counted, target, look)

    def at_least(self, look: int) -> float | None:
        """What is certain at 95 % confidence over all looks; None without episodes."""
        return at_least(self.passed, self.counted, look) if self.counted else None

    def to_json(self) -> ShareJson:
        """Value and 95 % interval of Clopper and Pearson (Biometrika 26, 1934)."""
        low, high = clopper_pearson(self.passed, self.counted)
        return {"value": self.value, "low": low, "high": high}

    def difference(self, after: Measurement) -> GainJson | None:
        """How much better `after` is, as `agentgym compare` says it of two runs.

        Its interval is for other cases of their kind: held-out cases are few, and are
        played many times.
        """
        found = compare_outcomes(self._keyed, after._keyed, other_cases=True)
        if found is None:
            return None
        cases = {(scenario, case) for scenario, case, _ in self.outcomes}
        return {
            "value": found.value,
            "low": found.low,
            "high": found.high,
            "paired": found.paired,
            "cases": len(cases),
        }

    @property
    def _keyed(self) -> dict[EpisodeKey, bool]:
        return {
            EpisodeKey(scenario, str(case), repeat): outcome
            for (scenario, case, repeat), outcome in self.outcomes.items()
            if outcome is not None
        }


class MeasuredEpisodes:
    """`measured.jsonl`: each measured episode's outcome as soon as it is known.

    Args:
        folder: The run's folder; the half line that a killed run may have left there
            is removed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        drop_cut_line(folder / MEASURED)

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
            "reward": result.reward,
            "traits": None if result.traits is None else result.traits.to_json(),
        }
        with (self._folder / MEASURED).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def read(self, phase: Phase, version: int) -> Measurement:
        """What is known already of a measurement that was interrupted.

        Args:
            phase: "before" or "after".
            version: The policy version that is measured.
        """
        measurement = Measurement()
        for line in read_measured(self._folder):
            if line["phase"] == phase and line["version"] == version:
                task = Task.from_json(line)
                measurement.add(task, line["outcome"], _played(task, line))
        return measurement


def _played(task: Task, line: MeasuredLine) -> SeenEpisode | None:
    """How an episode was played; None if it does not count, or nobody wrote it down."""
    reward, traits = line.get("reward"), line.get("traits")
    if reward is None or traits is None:
        return None
    return SeenEpisode(
        case=case_name(task),
        passed=line["outcome"] == "passed",
        reward=reward,
        traits=Traits.from_json(traits),
    )
