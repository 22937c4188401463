"""Everything that a training is given."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

from agentgym.errors import UsageError
from agentgym.policy.engine.devices import Devices
from agentgym.policy.vllm_engine.choice import VllmChoice
from agentgym.reliability.looks import clean_needed
from agentgym.scenarios.components import COMPONENTS
from agentgym.training.job.case_split import training_cases
from agentgym.training.job.config import TrainingConfig
from agentgym.training.job.task import ScenarioInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPlan:
    """What is trained, on what, and where the results go.

    Attributes:
        scenarios: What is trained on.
        base: Folder of the base model.
        adapter: Folder of the trained agent that training goes on from, if any.
        base_spec: What the user called the policy.
        config: The settings.
        seed: The same seed gives the same cases and first weights.
        name: Name of the agent that is saved.
        run_folder: `.agentgym/runs/<id>`: checkpoints and metrics.
        root: The project's folder, where the agent is saved.
        timeout: Seconds that one episode may take.
        certified: Whether the target must be certain, and not only be measured.
        vllm: The vLLM that samples; None for our own engine.
        devices: Where it samples and is trained; what is not said, the settings say.
    """

    scenarios: tuple[ScenarioInfo, ...]
    base: Path
    adapter: Path | None
    base_spec: str
    config: TrainingConfig
    seed: int
    name: str
    run_folder: Path
    root: Path
    timeout: float
    certified: bool = False
    vllm: VllmChoice | None = None
    devices: Devices = field(default_factory=Devices)

    @property
    def engine(self) -> str:
        """What samples: "own" or "vllm"."""
        return "own" if self.vllm is None else "vllm"

    @property
    def training_folder(self) -> Path:
        """Where checkpoints and versions are, until the training is finished."""
        return self.run_folder / "training"

    @property
    def learned_from(self) -> list[ScenarioInfo]:
        """The scenarios with train cases and a component that is trained."""
        return [
            info
            for info in self.scenarios
            if training_cases(info) != 0 and trained_components(info, self.config)
        ]


def _check_certifiable(plan: TrainingPlan) -> None:
    """Checks that the first look at held-out cases can certify the target at all.

    Raises:
        UsageError: It cannot, even if every episode passed.
    """
    measured = [info for info in plan.scenarios if info.held_out_cases != 0]
    episodes = sum(info.episodes for info in measured)
    target = plan.config.target
    needed = clean_needed(target, 1)
    if needed is None:
        raise UsageError(
            f"--agentgym-gate certified: no number of episodes certifies {target:.0%}; "
            "lower --agentgym-target"
        )
    if needed > episodes:
        raise UsageError(
            f"--agentgym-gate certified: a measurement has {episodes} held-out "
            f"episodes, and {needed} that all pass are needed to certify "
            f"{100 * target:g} % at the first look: --agentgym-episodes "
            f"{math.ceil(needed / len(measured))} or more"
        )


def trained_components(info: ScenarioInfo, config: TrainingConfig) -> frozenset[str]:
    """The components whose sampled tokens are trained in a scenario.

    Args:
        info: The scenario, with what it says of its components.
        config: The run's settings, which have the last word.
    """
    if config.components is not None:
        return frozenset(config.components)
    return frozenset(name for name, on in info.components.items() if on)


def check_plan(plan: TrainingPlan) -> None:
    """Checks that there are cases to learn from and to measure, and a way to learn.

    Raises:
        UsageError: There are not.
    """
    scenarios = plan.scenarios
    if all(training_cases(info) == 0 for info in scenarios):
        raise UsageError(
            "there are only held-out cases: give a scenario split='auto' or "
            "split='train', or list more values, so that there is something to "
            "learn from"
        )
    if all(info.held_out_cases == 0 for info in scenarios):
        raise UsageError(
            "there are only train cases: give a scenario split='auto' or "
            "split='held_out', so that there is something to judge the agent by"
        )
    if plan.certified:
        _check_certifiable(plan)
    if not plan.learned_from:
        raise UsageError(
            "no scenario has a component to train: say True of one or more of "
            f"{', '.join(COMPONENTS)} in @scenario(trainable_components=...) or "
            "define_trainable_components()"
        )
