"""What a rollout plays, and what there is to play; it crosses processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from agentgym.scenarios.cases import Split

Phase = Literal["before", "train", "validate", "after", "measure"]
"""The first four are a training's; a measurement has the last one only."""
EPISODE = "agentgym_episode"
"""The type of the event that brings an episode home from a runner elsewhere."""
RUNNER_HEADER = "x-agentgym-runner"
"""By which such a runner is heard of: its name, in each of its requests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One episode to play: the `input` of a rollout of Agent Lightning.

    Attributes:
        scenario: Node id of the scenario.
        split: The split that the case comes from.
        case: Index among the scenario's cases of this split.
        phase: What the episode is for; only "train" ones enter a batch.
        repeat: Number among the episodes of the same case and phase.
    """

    scenario: str
    split: Split
    case: int
    phase: Phase
    repeat: int = 0

    def to_json(self) -> dict[str, Any]:
        """The form in a rollout's `input`."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Task:
        """The task that `to_json` described."""
        return cls(**{name: data[name] for name in cls.__slots__})


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioInfo:
    """What training has to know of a scenario.

    Attributes:
        scenario: Node id.
        episodes: Episodes of a measurement.
        train_cases: How many there are; None for as many as are asked for.
        held_out_cases: The same of the held-out ones.
        components: What `define_trainable_components()` says.
        source: Digest of the scenario file.
    """

    scenario: str
    episodes: int
    train_cases: int | None
    held_out_cases: int | None
    components: dict[str, bool] = field(default_factory=dict)
    source: str = ""

    def to_json(self) -> dict[str, Any]:
        """The form in the catalogue that a runner writes."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ScenarioInfo:
        """The scenario that `to_json` described."""
        return cls(**data)
