"""Measure and train the tool reliability of the agent you already have."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentgym.distribution import __version__
    from agentgym.endpoint import PolicyEndpoint
    from agentgym.errors import (
        AgentError,
        AgentGymError,
        HarnessError,
        InfraError,
        SimulatorError,
        UsageError,
    )
    from agentgym.integrations import Agent, redirect, tool, wrap
    from agentgym.playing.episode import Episode
    from agentgym.policy.trained.trained_agent import TrainedAgent
    from agentgym.recording.blame import Outcome
    from agentgym.recording.trajectory import ModelCall, Step, ToolCall, Trajectory
    from agentgym.scenarios.cases import Case, given
    from agentgym.scenarios.check_log import rubric
    from agentgym.scenarios.checks import must, weight
    from agentgym.scenarios.dataset import dataset
    from agentgym.scenarios.packs import ScenarioPack, ScenarioRegistry
    from agentgym.scenarios.process_limits import ProcessLimits
    from agentgym.scenarios.recorded import recorded_tools
    from agentgym.scenarios.run import CallQuery, Run
    from agentgym.scenarios.scenario import Scenario, scenario
    from agentgym.simulators.judging import judge
    from agentgym.simulators.user import SimulatedUser
    from agentgym.training.job.config import TrainingConfig
    from agentgym.training.job.training_result import TrainingResult
    from agentgym.training.trainer import Trainer

_HOMES = {
    "Agent": "integrations",
    "AgentError": "errors",
    "AgentGymError": "errors",
    "CallQuery": "scenarios.run",
    "Case": "scenarios.cases",
    "Episode": "playing.episode",
    "HarnessError": "errors",
    "InfraError": "errors",
    "ModelCall": "recording.trajectory",
    "Outcome": "recording.blame",
    "PolicyEndpoint": "endpoint",
    "ProcessLimits": "scenarios.process_limits",
    "Run": "scenarios.run",
    "Scenario": "scenarios.scenario",
    "ScenarioPack": "scenarios.packs",
    "ScenarioRegistry": "scenarios.packs",
    "SimulatedUser": "simulators.user",
    "SimulatorError": "errors",
    "Step": "recording.trajectory",
    "ToolCall": "recording.trajectory",
    "TrainedAgent": "policy.trained.trained_agent",
    "Trainer": "training.trainer",
    "TrainingConfig": "training.job.config",
    "TrainingResult": "training.job.training_result",
    "Trajectory": "recording.trajectory",
    "UsageError": "errors",
    "__version__": "distribution",
    "dataset": "scenarios.dataset",
    "given": "scenarios.cases",
    "judge": "simulators.judging",
    "must": "scenarios.checks",
    "recorded_tools": "scenarios.recorded",
    "redirect": "integrations",
    "rubric": "scenarios.check_log",
    "scenario": "scenarios.scenario",
    "tool": "integrations",
    "weight": "scenarios.checks",
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
    "ProcessLimits",
    "Run",
    "Scenario",
    "ScenarioPack",
    "ScenarioRegistry",
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
    "dataset",
    "given",
    "judge",
    "must",
    "recorded_tools",
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
