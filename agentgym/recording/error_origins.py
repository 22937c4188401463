"""Where an episode's exceptions arose: in a tool, a call of a model, the agent."""

from __future__ import annotations

from agentgym.recording.blame import chain


class ErrorOrigins:
    """Remembers exceptions by where they were seen first."""

    __slots__ = ("_agent", "_model", "_tool")

    def __init__(self) -> None:
        # They are kept, so that no other one can get the same id.
        self._tool: dict[int, BaseException] = {}
        self._model: dict[int, BaseException] = {}
        self._agent: dict[int, BaseException] = {}

    def tool_raised(self, exc: BaseException) -> None:
        """A tool raised it; a sub-agent's model that fails within is no tool error."""
        if not any(id(link) in self._model for link in chain(exc)):
            self._tool[id(exc)] = exc

    def model_raised(self, exc: BaseException) -> None:
        """A call of a model raised it."""
        self._model[id(exc)] = exc

    def agent_raised(self, exc: BaseException) -> None:
        """It left the agent."""
        self._agent[id(exc)] = exc

    def is_tools(self, exc: BaseException) -> bool:
        """Whether a tool raised it."""
        return id(exc) in self._tool

    def is_of_agent(self, exc: BaseException) -> bool:
        """Whether it left the agent, or a call of its model."""
        return id(exc) in self._agent or id(exc) in self._model
