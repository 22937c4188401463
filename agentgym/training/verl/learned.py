"""Completed rollouts of Agent Lightning's trainer -> the rows that verl learns from.

Agent Lightning itself takes a reward that is missing for 0, so that an agent would be
punished for a model server that was away. What does not count is left out here, and the
rest is what a training on one machine learns from: the same rows, weights, advantages.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Protocol

from agentgym.training.batch.batch import BatchRow, Sample, informative, make_batch
from agentgym.training.batch.samples import Components, sample_of
from agentgym.training.hub.rollout_result import RolloutResult, read_result
from agentgym.training.job.task import Task
from agentgym.training.verl.verl_job import VerlJob


class Completed(Protocol):
    """A rollout that ended, as Agent Lightning's trainer has it.

    Attributes:
        rollout_id: Its id.
        data_id: Of its group.
        input: What was played, as `Task.to_json` wrote it.
        rollout_state: "succeeded" or "failed".
        error_message: Why it failed.
        events: Of its last attempt, all of them, as JSON has them.
    """

    rollout_id: str
    data_id: str
    input: Any
    rollout_state: Any
    error_message: str | None
    events: list[dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnedRow:
    """A row and whose it is.

    Attributes:
        made: Tokens, weights and advantages.
        rollout_id: Of its episode.
        data_id: Of its group.
        reward: Of its episode.
    """

    made: BatchRow
    rollout_id: str
    data_id: str
    reward: float

    @property
    def tokens(self) -> dict[int, tuple[float, float]]:
        """By the position of each trained token, its weighted advantage and log-prob.

        verl adds the tokens of a batch up, so that a weight may be part of the
        advantage.
        """
        made = self.made
        return {
            place: (weight * advantage, logprob)
            for place, weight, advantage, logprob in zip(
                made.row.sampled,
                made.weights,
                made.advantages,
                made.row.logprobs,
                strict=True,
            )
            if weight
        }


@dataclass(slots=True)
class Learned:
    """What a batch of rollouts comes to.

    Attributes:
        rows: Of the groups whose rewards differ; those without a trained token are
            left out.
        played: The episodes that count.
        groups: Groups that are learned from.
        zero_variance: Groups whose episodes all earned the same.
        lost: Episodes that do not count.
        why_lost: What the last of them said.
    """

    rows: list[LearnedRow] = field(default_factory=list)
    played: list[Sample] = field(default_factory=list)
    groups: int = 0
    zero_variance: int = 0
    lost: int = 0
    why_lost: str = ""

    def metrics(self) -> dict[str, float]:
        """What is written of it beside verl's own metrics."""
        weights = [weight for row in self.rows for weight in row.made.weights]
        trained = sum(map(bool, weights))
        calls = sum(sample.calls for sample in self.played)
        rows = [len(sample.rows) for sample in self.played]
        broken = sum(rows) - sum(map(bool, rows))
        tokens = [float(sample.tokens) for sample in self.played]
        return {
            "agentgym/episodes": len(self.played),
            "agentgym/passed": _mean([float(each.passed) for each in self.played]),
            "agentgym/reward": _mean([each.reward for each in self.played]),
            "agentgym/lost": self.lost,
            "agentgym/groups": self.groups,
            "agentgym/zero_variance_groups": self.zero_variance,
            "agentgym/trained_tokens": trained,
            "agentgym/frozen_tokens": len(weights) - trained,
            "agentgym/tokens_per_episode": _mean(tokens),
            "agentgym/broken_prefixes": broken / max(calls - len(self.played), 1),
        }


def result_of(rollout: Completed) -> RolloutResult:
    """What came of a rollout, read as a training on one machine reads it."""
    return read_result(
        rollout.rollout_id,
        Task.from_json(rollout.input),
        str(getattr(rollout.rollout_state, "value", rollout.rollout_state)),
        rollout.error_message,
        [SimpleNamespace(**event) for event in rollout.events],
    )


def learn(
    rollouts: Iterable[Completed], job: VerlJob, components: Components
) -> Learned:
    """Makes rows of rollouts.

    Args:
        rollouts: Those of whole groups, in any order.
        job: How.
        components: The component of each sampled token.
    """
    learned = Learned()
    groups: dict[str, list[tuple[str, Sample]]] = defaultdict(list)
    for rollout in rollouts:
        group = groups[rollout.data_id]
        result = result_of(rollout)
        trained = job.trained.get(result.task.scenario, ())
        sample = sample_of(result, trained, components)
        if isinstance(sample, Sample):
            group.append((rollout.rollout_id, sample))
            learned.played.append(sample)
        elif sample == "lost":
            learned.lost += 1
            learned.why_lost = f"{result.outcome}: {result.error or 'tokens lack'}"
    for data_id, group in groups.items():
        samples = [sample for _, sample in group]
        if len(group) < 2 or not informative(samples, job.reward):
            learned.zero_variance += 1
            continue
        learned.groups += 1
        learned.rows += _rows(data_id, group, job)
    return learned


def _rows(
    data_id: str, group: Sequence[tuple[str, Sample]], job: VerlJob
) -> list[LearnedRow]:
    samples = [sample for _, sample in group]
    made = iter(
        make_batch(
            [samples],
            advantage=job.advantage,
            reward=job.reward,
            token_mean=job.token_mean,
        )
    )
    rows = [
        LearnedRow(
            made=next(made),
            rollout_id=rollout_id,
            data_id=data_id,
            reward=sample.reward,
        )
        for rollout_id, sample in group
        for _ in sample.rows
    ]
    return [row for row in rows if any(row.made.weights)]


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else 0.0
