"""Measure and train the tool reliability of the agent you already have."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentgym.cases import Case, given
    from agentgym.checks import must, rubric, weight
    from agentgym.episode import Episode
    from agentgym.errors import (
        AgentError,
        AgentGymError,
        HarnessError,
        InfraError,
        Outcome,
        SimulatorError,
        UsageError,
    )
    from agentgym.integrations import Agent, redirect, tool, wrap
    from agentgym.policy.endpoint import PolicyEndpoint
    from agentgym.policy.trained import TrainedAgent
    from agentgym.run import CallQuery, Run
    from agentgym.scenarios import Scenario, scenario
    from agentgym.simulators.judging import judge
    from agentgym.simulators.user import SimulatedUser
    from agentgym.training.config import TrainingConfig
    from agentgym.training.outcome import TrainingResult
    from agentgym.training.trainer import Trainer
    from agentgym.trajectory import ModelCall, Step, ToolCall, Trajectory

__version__ = "0.1.0"

_HOMES = {
    "Agent": "integrations",
    "AgentError": "errors",
    "AgentGymError": "errors",
    "CallQuery": "run",
    "Case": "cases",
    "Episode": "episode",
    "HarnessError": "errors",
    "InfraError": "errors",
    "ModelCall": "trajectory",
    "Outcome": "errors",
    "PolicyEndpoint": "policy.endpoint",
    "Run": "run",
    "Scenario": "scenarios",
    "SimulatedUser": "simulators.user",
    "SimulatorError": "errors",
    "Step": "trajectory",
    "ToolCall": "trajectory",
    "TrainedAgent": "policy.trained",
    "Trainer": "training.trainer",
    "TrainingConfig": "training.config",
    "TrainingResult": "training.outcome",
    "Trajectory": "trajectory",
    "UsageError": "errors",
    "given": "cases",
    "judge": "simulators.judging",
    "must": "checks",
    "redirect": "integrations",
    "rubric": "checks",
    "scenario": "scenarios",
    "tool": "integrations",
    "weight": "checks",
    "wrap": "integrations",
}

__all__ = [
    "Agent",
    "AgentError",
    "AgentGymError",
    "CallQuery",
    "Case",
    "Episode",
    "HarnessError",
    "InfraError",
    "ModelCall",
    "Outcome",
    "PolicyEndpoint",
    "Run",
    "Scenario",
    "SimulatedUser",
    "SimulatorError",
    "Step",
    "ToolCall",
    "TrainedAgent",
    "Trainer",
    "TrainingConfig",
    "TrainingResult",
    "Trajectory",
    "UsageError",
    "__version__",
    "given",
    "judge",
    "must",
    "redirect",
    "rubric",
    "scenario",
    "tool",
    "weight",
    "wrap",
]


def __getattr__(name: str) -> Any:
    """Imports a public name at its first use."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'agentgym' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"agentgym.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
