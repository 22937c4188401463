"""What a person says to an agent that waits: yes, no, or a value of the framework's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from agentgym.recording.plain import printed, shorten


@dataclass(frozen=True, slots=True)
class HumanAnswer:
    """A person's answer to all that waits.

    Attributes:
        kind: "value" if it is in the framework's own form.
        reason: Why it was rejected; empty where none was given.
        value: In the framework's own form.
    """

    kind: Literal["approve", "reject", "value"]
    reason: str = ""
    value: Any = None

    @property
    def approves(self) -> bool:
        """Whether all may run."""
        return self.kind == "approve"

    @property
    def method(self) -> str:
        """How it was given, for messages."""
        if self.kind == "value":
            return f"agent.run(resume={shorten(printed(self.value), 60)})"
        return f"agent.{self.kind}()"

    def __str__(self) -> str:
        if self.kind == "value":
            return shorten(printed(self.value), 500)
        if self.approves:
            return "approved"
        return f"rejected: {self.reason}" if self.reason else "rejected"


APPROVE = HumanAnswer("approve")
