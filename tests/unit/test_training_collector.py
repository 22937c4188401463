"""What a batch takes of the episodes that were played for it."""

from __future__ import annotations

from typing import Any

import pytest

from agentgym.recording.blame import Outcome
from agentgym.scenarios.components import TRAINABLE_COMPONENTS
from agentgym.training.batch.collector import Collected, Collector
from agentgym.training.batch.curriculum import Curriculum
from agentgym.training.hub.rollout_result import ModelCallRecord, RolloutResult
from agentgym.training.job.config import TrainingConfig
from agentgym.training.job.task import ScenarioInfo, Task

VERSION = 3


def call(version: int, *, ok: bool = True) -> ModelCallRecord:
    return ModelCallRecord(
        prompt_ids=[1, 2],
        token_ids=[3, 4],
        logprobs=[-1.0, -1.0],
        model="policy",
        version=version,
        finish_reason="stop",
        prompt_tokens=2,
        completion_tokens=2,
        ok=ok,
    )


def collect(odd: dict[str, Any], **settings: Any) -> Collected:
    """A batch of one group of four episodes, of which the last is odd."""

    def play(tasks: list[Task]) -> list[RolloutResult]:
        results = []
        for task in tasks:
            passed = task.repeat % 2 == 0
            fields: dict[str, Any] = {
                "outcome": Outcome.passed if passed else Outcome.failed,
                "reward": float(passed),
                "calls": [call(VERSION)],
            }
            if task.repeat == 3:
                fields |= odd
            results.append(
                RolloutResult(
                    rollout_id=f"{task}", task=task, state="succeeded", **fields
                )
            )
        return results

    info = ScenarioInfo(
        scenario="test_it",
        episodes=4,
        train_cases=None,
        held_out_cases=None,
        components=dict(TRAINABLE_COMPONENTS),
    )
    collector = Collector(
        [info],
        TrainingConfig(groups=1, group_size=4, **settings),
        Curriculum(["test_it"], seed=0),
        lambda _, ids: ["output_generation"] * len(ids),
        play,
    )
    return collector.collect(VERSION)


def test_a_whole_group():
    collected = collect({})
    assert [len(group) for group in collected.groups] == [4]
    assert (collected.stale, collected.lost) == (0, 0)


@pytest.mark.parametrize(("stale", "kept"), [("refuse", 3), ("correct", 4)])
def test_an_episode_of_another_version(stale, kept):
    mixed = {"calls": [call(VERSION), call(VERSION - 1)]}
    collected = collect(mixed, stale=stale)
    assert [len(group) for group in collected.groups] == [kept]
    assert (collected.stale, collected.lost) == (1, 0)


@pytest.mark.parametrize(
    "odd",
    [
        {"outcome": Outcome.infra_error, "reward": None},
        {"reward": None},
        {"calls": [call(VERSION), call(VERSION, ok=False)]},
    ],
)
def test_an_episode_that_cannot_be_learned_from(odd):
    collected = collect(odd)
    assert [len(group) for group in collected.groups] == [3]
    assert (collected.stale, collected.lost) == (0, 1)
