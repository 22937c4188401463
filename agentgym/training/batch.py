"""Groups of episodes -> the batch of one policy update."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from agentgym.training.advantage import advantages, varies
from agentgym.training.rows import Row


@dataclass(slots=True, kw_only=True)
class Sample:
    """One episode, as the trainer sees it.

    Attributes:
        reward: In [0, 1].
        passed: Whether every check passed.
        rows: Its training rows.
        steps: Rewards of its model calls, where a scenario broadcasts its own.
        trained: The components that are trained in its scenario.
        versions: The policy versions that its model calls were made by.
        calls: Model calls.
        tokens: Prompt and sampled tokens of all of them.
        tool_calls: Tool calls that the agent made.
    """

    scenario: str
    reward: float
    passed: bool
    rows: list[Row]
    steps: list[float] | None = None
    trained: Collection[str] = ()
    versions: list[int] = field(default_factory=list)
    calls: int = 0
    tokens: int = 0
    tool_calls: int = 0

    def target(self, kind: str) -> float:
        """The reward that is trained on: of its checks, or whether it passed."""
        return float(self.passed) if kind == "passed" else self.reward


@dataclass(slots=True)
class TrainingRow:
    """A row with what the loss wants to know; N sampled tokens.

    Attributes:
        weights: 1 / (number of trained tokens of the episode) for each trained token,
            else 0, so that long episodes weigh no more than short ones.
        advantages: One for each sampled token.
        frozen: 1 for each sampled token that is not trained, else 0.
    """

    row: Row
    weights: list[float]
    advantages: list[float]
    frozen: list[float]


def make_batch(
    groups: Sequence[Sequence[Sample]], *, advantage: str, reward: str
) -> list[TrainingRow]:
    """Computes advantages within each group and spreads them over its tokens.

    Args:
        groups: Episodes of the same case, played by the same policy version.
        advantage: See `advantages`.
        reward: Which reward: "checks" or "passed".
    """
    made: list[TrainingRow] = []
    for group in groups:
        rewards = [sample.target(reward) for sample in group]
        mean = sum(rewards) / len(rewards)
        for sample, of_episode in zip(
            group, advantages(rewards, advantage), strict=True
        ):
            made += _training_rows(sample, of_episode, mean)
    return made


def informative(group: Sequence[Sample], reward: str) -> bool:
    """Whether the episodes of a group differ, in reward or between their steps."""
    return varies([sample.target(reward) for sample in group]) or any(
        sample.steps and varies(sample.steps) for sample in group
    )


def _training_rows(sample: Sample, of_episode: float, mean: float) -> list[TrainingRow]:
    trained = [
        [component in sample.trained for component in row.components]
        for row in sample.rows
    ]
    count = sum(map(sum, trained))
    made = []
    for row, mask in zip(sample.rows, trained, strict=True):
        made.append(
            TrainingRow(
                row,
                weights=[float(m) / count if count else 0.0 for m in mask],
                advantages=[_of_step(sample, c, of_episode, mean) for c in row.calls],
                frozen=[0.0 if m else 1.0 for m in mask],
            )
        )
    return made


def _of_step(sample: Sample, call: int, of_episode: float, mean: float) -> float:
    """The episode's advantage, or the step's own where its scenario gives one."""
    if sample.steps is None or call >= len(sample.steps):
        return of_episode
    return sample.steps[call] - mean
