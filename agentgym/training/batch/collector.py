"""Plays groups of episodes until a batch has enough whose rewards differ."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from agentgym.training.batch.batch import Sample, informative
from agentgym.training.batch.curriculum import Curriculum, Drawn
from agentgym.training.batch.samples import Components, sample_of
from agentgym.training.hub.rollout_result import RolloutResult
from agentgym.training.job.case_split import training_cases
from agentgym.training.job.config import TrainingConfig
from agentgym.training.job.plan import trained_components
from agentgym.training.job.task import ScenarioInfo, Task

MOST = 1.25
"""A batch costs at most so many times the episodes of one without zero-variance
groups."""
LEAST_SHARE = 0.25

Play = Callable[[list[Task]], list[RolloutResult]]


@dataclass(slots=True)
class Collected:
    """The groups of a batch, and what was played for it.

    Attributes:
        groups: Groups whose rewards differ.
        played: All episodes that count.
        fresh: What came of the groups whose case was not chosen for being difficult.
        zero_variance: Groups whose episodes all earned the same.
        stale: Episodes that another policy version played, at least in part.
        lost: Episodes that do not count or lack their tokens.
        seconds: Wall time of playing them all.
    """

    groups: list[list[Sample]] = field(default_factory=list)
    played: list[Sample] = field(default_factory=list)
    fresh: list[list[RolloutResult]] = field(default_factory=list)
    zero_variance: int = 0
    stale: int = 0
    lost: int = 0
    seconds: float = 0.0


class Collector:
    """Draws cases, has them played, and makes samples of the results.

    Args:
        scenarios: What is trained.
        config: Sizes of a batch, and what is trained.
        curriculum: Draws the cases, and takes in their outcomes.
        components: The component of each of a model call's sampled tokens.
        play: Plays tasks and returns a result for each, in order.
    """

    def __init__(
        self,
        scenarios: Sequence[ScenarioInfo],
        config: TrainingConfig,
        curriculum: Curriculum,
        components: Components,
        play: Play,
    ) -> None:
        self._scenarios = {info.scenario: info for info in scenarios}
        self._config = config
        self._curriculum = curriculum
        self._components = components
        self._play = play

    def collect(self, version: int) -> Collected:
        """Plays groups with the present policy until enough of them vary.

        Args:
            version: The present policy version.
        """
        config, collected, begun = self._config, Collected(), time.monotonic()
        left = math.ceil(config.groups * (MOST if config.dynamic_sampling else 1))
        while left and len(collected.groups) < config.groups:
            share = len(collected.groups) / max(
                len(collected.groups) + collected.zero_variance, 1
            )
            missing = config.groups - len(collected.groups)
            count = missing
            if collected.zero_variance:
                count = math.ceil(missing / max(share, LEAST_SHARE))
            count = min(count, left)
            left -= count
            self._round(count, version, collected)
        collected.seconds = time.monotonic() - begun
        return collected

    def trained(self, scenario: str) -> frozenset[str]:
        """The components that are trained in a scenario."""
        return trained_components(self._scenarios[scenario], self._config)

    def _round(self, count: int, version: int, collected: Collected) -> None:
        size = self._config.group_size
        groups = self._curriculum.groups(count)
        tasks = [
            Task(
                scenario=drawn.scenario,
                split="train",
                case=self._case(drawn),
                phase="train",
                repeat=number,
            )
            for drawn in groups
            for number in range(size)
        ]
        results = self._play(tasks)
        for place, drawn in enumerate(groups):
            of_it = results[place * size : (place + 1) * size]
            group = [
                sample
                for result in of_it
                if (sample := self._sample(result, version, collected)) is not None
            ]
            if drawn.fresh:
                collected.fresh.append(of_it)
            collected.played += group
            passed = sum(sample.passed for sample in group)
            self._curriculum.played(drawn, passed=passed, played=len(group))
            if len(group) > 1 and informative(group, self._config.reward):
                collected.groups.append(group)
            else:
                collected.zero_variance += 1

    def _case(self, drawn: Drawn) -> int:
        count = training_cases(self._scenarios[drawn.scenario])
        return drawn.case if count is None else drawn.case % count

    def _sample(
        self, result: RolloutResult, version: int, collected: Collected
    ) -> Sample | None:
        """The sample of a result; None if it must not be learned from."""
        trained = self.trained(result.task.scenario)
        sample = sample_of(result, trained, self._components)
        if not isinstance(sample, Sample):
            collected.lost += sample == "lost"
            return None
        if any(v != version for v in sample.versions):
            collected.stale += 1
            if self._config.stale == "refuse":
                return None
        return sample
