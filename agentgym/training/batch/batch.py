"""Groups of episodes -> the batch of one policy update. Axes: N sampled tokens."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from agentgym.training.batch.advantage import advantages, varies
from agentgym.training.batch.rows import TrainingRow


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
        tool_calls: Model calls that called a tool.
    """

    scenario: str
    reward: float
    passed: bool
    rows: list[TrainingRow]
    steps: list[float] | None = None
    trained: Collection[str] = ()
    versions: list[int] = field(default_factory=list)
    calls: int = 0
    tokens: int = 0
    tool_calls: int = 0


@dataclass(slots=True)
class BatchRow:
    """A row with what the loss wants to know; N sampled tokens.

    Attributes:
        weights: What each trained token counts in the loss, 0 for those that are not
            trained; see `make_batch`.
        advantages: One for each sampled token.
        frozen: 1 for each sampled token that is not trained, else 0.
        fresh: 1 for each sampled token that the version to update sampled, else 0.
    """

    row: TrainingRow
    weights: list[float]
    advantages: list[float]
    frozen: list[float]
    fresh: list[float]


def make_batch(
    groups: Sequence[Sequence[Sample]],
    *,
    advantage: str,
    reward: str,
    token_mean: str,
    version: int | None = None,
) -> list[BatchRow]:
    """Computes advantages within each group and spreads them over its tokens.

    Where a scenario rewards single steps, each of them is compared with all steps of
    its group (Shao et al., arXiv:2402.03300, "process supervision").

    Args:
        groups: Episodes of the same case, played by the same policy version.
        advantage: See `advantages`.
        reward: See `targets`.
        token_mean: "rollout": the tokens of each episode share a weight of 1, however
            many they are. "case": so do those of an average episode of the case, and
            all tokens of the case weigh alike. In a failed episode that ended early
            "rollout" makes each token heavier than the same token of one that passed,
            so that what both did right is unlearnt; "case" does not.
        version: The policy version that is updated; None: it played everything.

    Returns:
        A row for each conversation of each episode, in the order of the episodes.
    """
    made: list[BatchRow] = []
    for group in groups:
        rewards = targets(group, reward)
        first = len(made)
        of_step = iter(advantages(_steps(group), advantage))
        spread = [_spread(sample) for sample in group]
        for sample, of_episode in zip(
            group, advantages(rewards, advantage, spread), strict=True
        ):
            of_steps = [next(of_step) for _ in sample.steps or ()]
            made += _training_rows(sample, of_episode, of_steps, version)
        if token_mean == "case":  # noqa: S105
            _weigh_alike(made[first:], len(group))
    return made


def _spread(sample: Sample) -> float:
    """The squared length of an episode's gradient, by that of its tokens' logits.

    The gradient of a token's log-probability by the logits is 1 - p at the token and -p
    elsewhere: long for an unlikely token, nearly nothing for a sure one.
    """
    return math.fsum(
        (1 - math.exp(logprob)) ** 2
        for row in sample.rows
        for logprob, component in zip(row.logprobs, row.components, strict=True)
        if component in sample.trained
    )


def _weigh_alike(rows: Sequence[BatchRow], episodes: int) -> None:
    """Gives all trained tokens of a case the weight of those of its average episode."""
    trained = sum(weight > 0 for made in rows for weight in made.weights)
    for made in rows:
        made.weights = [episodes / trained if w else 0.0 for w in made.weights]


def targets(group: Sequence[Sample], kind: str) -> list[float]:
    """The rewards that a group is trained on.

    Args:
        group: Episodes of one case.
        kind: "checks": the weighted share of passed checks. "passed": 1 for an episode
            that passed, else 0. "passed_first": that, but where no episode of the group
            passed, or all did, the share of checks.
    """
    passed = [float(sample.passed) for sample in group]
    if kind == "passed" or (kind == "passed_first" and varies(passed)):
        return passed
    return [sample.reward for sample in group]


def informative(group: Sequence[Sample], reward: str) -> bool:
    """Whether the episodes of a group differ, in reward or between their steps.

    Args:
        group: Episodes of one case.
        reward: See `targets`.
    """
    return varies(targets(group, reward)) or varies(_steps(group))


def trained_tokens(batch: Sequence[BatchRow]) -> int:
    """How many tokens of a batch have a gradient of the policy loss."""
    return sum(weight > 0 for made in batch for weight in made.weights)


def _steps(group: Sequence[Sample]) -> list[float]:
    return [reward for sample in group for reward in sample.steps or ()]


def _training_rows(
    sample: Sample, of_episode: float, of_steps: list[float], version: int | None
) -> list[BatchRow]:
    # A call that its scenario gave no reward of its own gets the episode's.
    of_call = dict(enumerate(of_steps))
    stale = {c for c, v in enumerate(sample.versions) if version not in (None, v)}
    trained = [
        [component in sample.trained for component in row.components]
        for row in sample.rows
    ]
    count = sum(map(sum, trained))
    made = []
    for row, mask in zip(sample.rows, trained, strict=True):
        made.append(
            BatchRow(
                row,
                weights=[float(m) / count if count else 0.0 for m in mask],
                advantages=[of_call.get(call, of_episode) for call in row.calls],
                frozen=[0.0 if m else 1.0 for m in mask],
                fresh=[0.0 if call in stale else 1.0 for call in row.calls],
            )
        )
    return made
