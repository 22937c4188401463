"""Everything that a training is given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from agentgym.training.job.config import TrainingConfig
from agentgym.training.job.task import ScenarioInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPlan:
    """What is trained, on what, and where the results go.

    Attributes:
        base: Folder of the base model.
        adapter: Folder of the trained agent that training goes on from, if any.
        base_spec: What the user called the policy.
        name: Name of the agent that is saved.
        run_folder: `.agentgym/runs/<id>`: checkpoints and metrics.
        agents_folder: `.agentgym/agents`.
        timeout: Seconds that one episode may take.
        episodes: Episodes of a measurement per scenario; None: each scenario's own.
    """

    scenarios: tuple[ScenarioInfo, ...]
    base: Path
    adapter: Path | None
    base_spec: str
    config: TrainingConfig
    seed: int
    name: str
    run_folder: Path
    agents_folder: Path
    timeout: float
    episodes: int | None = None
