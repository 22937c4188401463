"""Recorded model calls -> training rows, on exactly the tokens that were sampled.

A model call whose prompt begins with all the tokens of an earlier call and its reply
continues that call's row. So a conversation, however many turns it has, is one row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from agentgym.scenarios.components import Component


class Call(Protocol):
    """What a row needs to know of a model call."""

    @property
    def prompt_ids(self) -> list[int]:
        """The prompt's tokens."""

    @property
    def token_ids(self) -> list[int]:
        """The sampled tokens."""

    @property
    def logprobs(self) -> list[float]:
        """Their log-probabilities under the policy that sampled them."""


@dataclass(slots=True)
class TrainingRow:
    """A sequence of tokens; T of them, of which the sampled ones can be trained.

    Attributes:
        ids: T token ids.
        sampled: The positions of sampled tokens, N of them.
        logprobs: Their N recorded log-probabilities.
        calls: For each of the N the number of its model call in the episode.
        components: For each of the N its component.
    """

    ids: list[int]
    sampled: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    calls: list[int] = field(default_factory=list)
    components: list[Component] = field(default_factory=list)


def merge(
    calls: Sequence[Call],
    components: Callable[[Sequence[int], Sequence[int]], list[Component]],
) -> list[TrainingRow]:
    """Joins the model calls of one episode to as few rows as possible.

    Args:
        calls: In the order in which they were made.
        components: The component of each of a model call's sampled tokens, from the
            prompt's and the sampled ones.

    Returns:
        One row for each conversation whose token prefix is continuous.
    """
    rows: list[TrainingRow] = []
    for number, call in enumerate(calls):
        row = _continued(rows, call.prompt_ids)
        if row is None:
            row = TrainingRow(ids=[])
            rows.append(row)
        row.ids += call.prompt_ids[len(row.ids) :]
        begin = len(row.ids)
        row.ids += call.token_ids
        row.sampled += range(begin, len(row.ids))
        row.logprobs += call.logprobs
        row.calls += [number] * len(call.token_ids)
        row.components += components(call.prompt_ids, call.token_ids)
    return rows


def _continued(rows: list[TrainingRow], prompt: list[int]) -> TrainingRow | None:
    """The longest row that this prompt begins with."""
    best: TrainingRow | None = None
    for row in rows:
        size = len(row.ids)
        if size > len(prompt) or (best is not None and size <= len(best.ids)):
            continue
        if prompt[:size] == row.ids:
            best = row
    return best
