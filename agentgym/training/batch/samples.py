"""The result of a rollout -> what the trainer learns from; or why it must not."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Literal

from agentgym.recording.blame import Outcome
from agentgym.scenarios.components import Component
from agentgym.training.batch.batch import Sample
from agentgym.training.batch.rows import TrainingRow, merge
from agentgym.training.hub.rollout_result import RolloutResult

Components = Callable[[Sequence[int], Sequence[int]], list[Component]]
"""The component of each of a model call's sampled tokens, from prompt and reply."""


def sample_of(
    result: RolloutResult, trained: Collection[str], components: Components
) -> Sample | Literal["skipped", "lost"]:
    """The sample of a result; or why nothing may be learned from it.

    Args:
        result: Of a rollout that is played for training.
        trained: The components that are trained in its scenario.
        components: Knows the component of each sampled token.
    """
    if result.task.split != "train" or result.task.phase != "train":
        raise AssertionError(f"{result.task} in a batch")
    if result.skipped:
        return "skipped"
    if (
        not result.outcome.counts
        or result.reward is None
        or not all(call.ok for call in result.calls)
    ):
        return "lost"
    rows = merge(result.calls, components)
    return Sample(
        scenario=result.task.scenario,
        reward=result.reward,
        passed=result.outcome is Outcome.passed,
        rows=rows,
        steps=result.steps,
        trained=trained,
        versions=[call.version for call in result.calls],
        calls=len(result.calls),
        tokens=sum(len(c.prompt_ids) + len(c.token_ids) for c in result.calls),
        tool_calls=sum(map(_tool_calls, rows)),
    )


def _tool_calls(row: TrainingRow) -> int:
    """How many of its model calls call a tool."""
    tokens = zip(row.calls, row.components, strict=True)
    return len({call for call, part in tokens if part == "parameter_selection"})
