"""A run of an agent that is in progress: what frameworks within it are recorded by.

A scenario's own code may use a framework, too, as for a judge: only what runs within an
agent's run is the agent's doing.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from agentgym.recording.activation import Activation
from agentgym.recording.recorder import Recorder

_current: ContextVar[AgentRun | None] = ContextVar("agentgym_agent_run", default=None)


class AgentRun:
    """A run of an agent.

    Args:
        recorder: Of the episode.
        framework: Whose agent it is; None of a callable.

    Attributes:
        kept: What an adapter needs once in a run, by the framework's name.
    """

    __slots__ = ("framework", "kept", "recorder")

    def __init__(self, recorder: Recorder, framework: str | None) -> None:
        self.recorder = recorder
        self.framework = framework
        self.kept: dict[str, Any] = {}

    def activate(self) -> Activation[AgentRun]:
        """Makes it the run in progress of the context."""
        return Activation(_current, self)

    @property
    def path(self) -> tuple[str, ...]:
        """Of other frameworks' agents within it; a callable has no name in it."""
        return () if self.framework is None else (self.framework,)


def agent_run() -> AgentRun | None:
    """The run that this code is within."""
    return _current.get()


def run_of_another(framework: str) -> AgentRun | None:
    """The run that this code is within, if its agent is none of this framework.

    Args:
        framework: Its own agents' runs are recorded by their driver.
    """
    run = _current.get()
    return None if run is None or run.framework == framework else run
