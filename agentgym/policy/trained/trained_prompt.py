"""The prompt and the tools that an agent was trained with, for what is made of it."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agentgym.errors import UsageError
from agentgym.scenarios.packs import ScenarioRegistry

_CREW = re.compile(
    r"You are (?P<role>.+?)\. (?P<backstory>.*?)\n"
    r"Your personal goal is: (?P<goal>.*?)(?:\n|$)",
    re.DOTALL,
)
"""How CrewAI begins a system prompt."""


class OtherThanTrainedWarning(UserWarning):
    """An agent is made with another prompt, or other tools, than in its training."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainedPrompt:
    """What a trained agent's card says of its prompt.

    Attributes:
        agent: The agent's name and version, for messages.
        system: Its system prompt; None if it had none, or one of its own each time.
        tools: Names of its tools; none if that is not known.
        folders: Names of the folders that its scenarios are in.
    """

    agent: str
    system: str | None
    tools: tuple[str, ...]
    folders: frozenset[str]

    @classmethod
    def of(cls, agent: str, about: Mapping[str, Any]) -> TrainedPrompt:
        """Reads it of a card.

        Args:
            agent: The agent's name and version.
            about: What `agent.json` says; of an early version nothing about it.
        """
        prompt = about.get("prompt") or {}
        files = (
            str(each["scenario"]).partition("::")[0].split("/")
            for each in about.get("scenarios", ())
        )
        return cls(
            agent=agent,
            system=prompt.get("system"),
            tools=tuple(tool["name"] for tool in prompt.get("tools", ())),
            folders=frozenset(parts[-2] for parts in files if len(parts) > 1),
        )

    def crew(self) -> dict[str, str]:
        """Role, goal and backstory of an agent of CrewAI.

        Those that it was trained with, if that was by CrewAI; else the system prompt is
        the goal.
        """
        found = _CREW.match(self.system or "")
        if found:
            return {key: text.strip() for key, text in found.groupdict().items()}
        return {"role": "Assistant", "goal": self.system or "Help.", "backstory": ""}

    def tools_for(self, method: str, given: Sequence[Any] | None) -> Sequence[Any]:
        """The tools of an agent that is made of it.

        Args:
            method: How it is made, such as "to_langchain".
            given: By the user; None for those of the pack that it was trained on.

        Raises:
            UsageError: None are given, and it was trained on no pack that has any.
        """
        if given is None:
            return self._of_pack(method)
        names = {_name(tool) for tool in given} if _is_list(given) else set()
        if self.tools and None not in names and names != set(self.tools):
            self._warn(method, "list of tools", ", ".join(self.tools))
        return given

    def system_for(self, method: str, given: str | None) -> str | None:
        """The system prompt of an agent that is made of it.

        Args:
            method: How it is made, such as "to_langchain".
            given: By the user; None for the one that it was trained with.
        """
        if given is None:
            return self.system
        if self.system is not None and given.strip() != self.system.strip():
            self._warn(method, "prompt", repr(self.system))
        return given

    def _of_pack(self, method: str) -> Sequence[Any]:
        for pack in ScenarioRegistry():
            if self.folders == {pack.name} and pack.example:
                return pack.example_tools()
        known = f" (it was trained with {', '.join(self.tools)})" if self.tools else ""
        raise UsageError(
            f"{method}() of {self.agent}: give its tools=[...]{known}, or tools=[]"
        )

    def _warn(self, method: str, what: str, trained: str) -> None:
        warnings.warn(
            f"{method}(): {self.agent} was trained with another {what}: {trained}",
            OtherThanTrainedWarning,
            stacklevel=4,
        )


def _is_list(given: Any) -> bool:
    return isinstance(given, Iterable) and not isinstance(given, str | Mapping)


def _name(tool: Any) -> str | None:
    """A tool's name, as far as it has one."""
    if isinstance(tool, Mapping):
        function = tool.get("function")
        tool = function if isinstance(function, Mapping) else tool
        name = tool.get("name")
    else:
        name = getattr(tool, "name", None) or getattr(tool, "__name__", None)
    return name if isinstance(name, str) else None
