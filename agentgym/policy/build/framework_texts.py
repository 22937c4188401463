"""What frameworks make of the same conversation: prompts, results and errors.

Schemas of tools need nothing here. All of the frameworks send the same names,
descriptions, types and choices, in the same order, and the policy's chat template shows
nothing else of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


def _spaced(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameworkTexts:
    """How a framework writes.

    Attributes:
        share: Of the dialogues.
        result: Writes what a tool gave, unless it is a text, which stays as it is.
        error: `{}` stands for what the tool raised.
        system: With the placeholders `instructions`, `role` and `goal`.
        user: `{}` stands for the message.
    """

    name: str
    share: float
    result: Callable[[Any], str]
    error: str
    system: str = "{instructions}"
    user: str = "{}"

    def told(self, value: Any) -> str:
        """What the model reads of what a tool gave."""
        if isinstance(value, Exception):
            return self.error.format(value)
        return value if isinstance(value, str) else self.result(value)


FRAMEWORKS = (
    # LangChain's agents, those of agentgym and loops around OpenAI's client.
    FrameworkTexts(name="langchain", share=0.5, result=_spaced, error="error: {}"),
    FrameworkTexts(
        name="pydantic_ai",
        share=0.15,
        result=_compact,
        error="{}\n\nFix the errors and try again.",
    ),
    FrameworkTexts(name="autogen", share=0.1, result=str, error="{}"),
    FrameworkTexts(
        name="openai_agents",
        share=0.1,
        result=str,
        error="An error occurred while running the tool. Please try again. Error: {}",
    ),
    FrameworkTexts(
        name="crewai",
        share=0.15,
        result=str,
        error="Error executing tool: {}",
        system="You are {role}. {instructions}\nYour personal goal is: {goal}",
        user="\nCurrent Task: {}",
    ),
)
"""The first is what packs are measured with."""
