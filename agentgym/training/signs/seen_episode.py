"""An episode as the signs see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agentgym.training.job.traits import Traits


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenEpisode:
    """An episode that counts.

    Attributes:
        case: Its case, by a name that no other case of the scenario has.
        reward: In [0, 1].
        traits: None where its runner did not tell them.
    """

    case: str
    passed: bool
    reward: float
    traits: Traits | None = None

    def to_json(self) -> dict[str, Any]:
        """The form in a training's state."""
        return {
            "case": self.case,
            "passed": self.passed,
            "reward": self.reward,
            "traits": None if self.traits is None else self.traits.to_json(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SeenEpisode:
        """The episode that `to_json` described."""
        traits = data["traits"]
        return cls(
            case=data["case"],
            passed=data["passed"],
            reward=data["reward"],
            traits=None if traits is None else Traits.from_json(traits),
        )
