"""Plays groups of episodes until a batch has enough to teach."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from agentgym.training.batch.batch import Sample, informative
from agentgym.training.batch.curriculum import Curriculum, Drawn
from agentgym.training.batch.measurement import training_cases
from agentgym.training.batch.rows import Row, merge
from agentgym.training.batch.segments import Component
from agentgym.training.hub.player import COUNTED
from agentgym.training.hub.rollout_result import RolloutResult
from agentgym.training.job.config import TrainingConfig
from agentgym.training.job.task import ScenarioInfo, Task

MOST = 1.25
"""A batch costs at most so many times the episodes of one without a dull group."""
LEAST_SHARE = 0.25

Components = Callable[[Sequence[int]], list[Component]]
Play = Callable[[list[Task]], list[RolloutResult]]


@dataclass(slots=True)
class Collected:
    """The groups of a batch, and what was played for it.

    Attributes:
        groups: Groups that have something to teach.
        played: All episodes that count.
        dull: Groups whose episodes all earned the same.
        stale: Episodes that another policy version played, at least in part.
        lost: Episodes that do not count or lack their tokens.
    """

    groups: list[list[Sample]] = field(default_factory=list)
    played: list[Sample] = field(default_factory=list)
    dull: int = 0
    stale: int = 0
    lost: int = 0


class Collector:
    """Draws cases, has them played, and makes samples of the results."""

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
        config, found = self._config, Collected()
        left = math.ceil(config.groups * (MOST if config.dynamic_sampling else 1))
        while left and len(found.groups) < config.groups:
            share = len(found.groups) / max(len(found.groups) + found.dull, 1)
            missing = config.groups - len(found.groups)
            count = missing
            if found.dull:
                count = math.ceil(missing / max(share, LEAST_SHARE))
            count = min(count, left)
            left -= count
            self._round(count, version, found)
        return found

    def trained(self, scenario: str) -> frozenset[str]:
        """The components that are trained in a scenario."""
        if self._config.components is not None:
            return frozenset(self._config.components)
        components = self._scenarios[scenario].components
        return frozenset(name for name, on in components.items() if on)

    def _round(self, count: int, version: int, found: Collected) -> None:
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
            group = [
                sample
                for result in results[place * size : (place + 1) * size]
                if (sample := self._sample(result, version, found)) is not None
            ]
            found.played += group
            passed = sum(sample.passed for sample in group)
            self._curriculum.played(drawn, passed=passed, played=len(group))
            if len(group) > 1 and informative(group, self._config.reward):
                found.groups.append(group)
            else:
                found.dull += 1

    def _case(self, drawn: Drawn) -> int:
        count = training_cases(self._scenarios[drawn.scenario])
        return drawn.case if count is None else drawn.case % count

    def _sample(
        self, result: RolloutResult, version: int, found: Collected
    ) -> Sample | None:
        """The sample of a result; None if it must not be learnt from."""
        if result.task.split != "train" or result.task.phase != "train":
            raise AssertionError(f"{result.task} in a batch")
        if (
            result.outcome not in COUNTED
            or result.reward is None
            or not all(call.ok for call in result.calls)
        ):
            found.lost += 1
            return None
        versions = [call.version for call in result.calls]
        if any(v != version for v in versions):
            found.stale += 1
            if self._config.stale == "refuse":
                return None
        rows = merge(result.calls, self._components)
        return Sample(
            scenario=result.task.scenario,
            reward=result.reward,
            passed=result.outcome == "passed",
            rows=rows,
            steps=result.steps,
            trained=self.trained(result.task.scenario),
            versions=versions,
            calls=len(result.calls),
            tokens=sum(len(c.prompt_ids) + len(c.token_ids) for c in result.calls),
            tool_calls=sum(map(_tool_calls, rows)),
        )


def _tool_calls(row: Row) -> int:
    """How many of its model calls call a tool."""
    found = zip(row.calls, row.components, strict=True)
    return len({call for call, part in found if part == "parameter_selection"})
