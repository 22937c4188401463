"""What our code in verl's processes must know; it lies in verl's configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class VerlJob:
    """How rollouts become what verl learns from.

    Attributes:
        base: Folder of the base model, whose template says what a call is.
        trained: The components that are trained, by scenario.
        advantage: As `TrainingConfig` has it.
        reward: The same.
        token_mean: The same.
        mini_batch: Rows of an optimizer step: verl throws away what does not fill one.
        template: Variables of the chat template.
    """

    base: str
    trained: dict[str, list[str]]
    advantage: str
    reward: str
    token_mean: str
    mini_batch: int
    template: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The form in verl's configuration."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> VerlJob:
        """The job that `to_json` described."""
        return cls(**data)
