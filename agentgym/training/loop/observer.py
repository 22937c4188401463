"""Who follows a training while it goes on."""

from __future__ import annotations

from typing import Protocol

from agentgym.runs.files.updates import UpdateLine
from agentgym.training.job.task import Phase


class Observer(Protocol):
    """Follows a training; called in the trainer's thread."""

    def phase(self, phase: Phase, planned: int) -> None:
        """A phase begins.

        Args:
            phase: What its episodes are played for.
            planned: How many there are.
        """

    def update(self, row: UpdateLine) -> None:
        """The policy was updated; `row` is a line of `updates.jsonl`."""

    def say(self, text: str) -> None:
        """Something worth a line."""
