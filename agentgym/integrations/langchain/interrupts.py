"""Where a LangGraph graph stopped to ask a person, and what lets it go on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agentgym.errors import UsageError
from agentgym.integrations.conversation.answers import HumanAnswer


@dataclass(frozen=True, slots=True)
class Pause:
    """What a graph waits with.

    Attributes:
        interrupts: LangGraph's, one for each node or tool that asks.
        nodes: Of a breakpoint (`interrupt_before`, `interrupt_after`): what is next.
    """

    interrupts: tuple[Any, ...] = ()
    nodes: tuple[str, ...] = ()

    @property
    def shown(self) -> Any:
        """What a person is asked."""
        if not self.interrupts:
            return {"next": list(self.nodes)}
        values = [interrupt.value for interrupt in self.interrupts]
        return values[0] if len(values) == 1 else values

    def input_for(self, answer: HumanAnswer) -> Any:
        """What the graph is invoked with to go on.

        Args:
            answer: The person's.

        Raises:
            UsageError: LangGraph has no way to take such an answer.
        """
        from langgraph.types import Command

        if not self.interrupts:
            if answer.approves:
                return None
            raise UsageError(
                f"{answer.method}: the graph waits at a breakpoint before "
                f"{', '.join(self.nodes)}, where LangGraph only goes on: use "
                "agent.approve(), or interrupt() in place of the breakpoint"
            )
        if answer.kind == "value":
            given = answer.value
            return given if isinstance(given, Command) else Command(resume=given)
        values = {one.id: _value(one.value, answer) for one in self.interrupts}
        if len(values) == 1:
            return Command(resume=next(iter(values.values())))
        return Command(resume=values)


def interrupts_in(value: Any) -> tuple[Any, ...]:
    """The interrupts that a graph's result tells of.

    Args:
        value: What its `invoke` returned.
    """
    return tuple(value.get("__interrupt__", ())) if isinstance(value, dict) else ()


def has_breakpoints(graph: Any) -> bool:
    """Whether it may stop without telling so in its result."""
    names = ("interrupt_before_nodes", "interrupt_after_nodes")
    return any(getattr(graph, name, None) for name in names)


def _value(asked: Any, answer: HumanAnswer) -> Any:
    """The answer as whoever asks reads it: a middleware's decisions, or yes or no."""
    decision: dict[str, Any] = {"type": answer.kind}
    if answer.reason:
        decision["message"] = answer.reason
    if isinstance(asked, dict) and isinstance(asked.get("action_requests"), list):
        return {"decisions": [dict(decision) for _ in asked["action_requests"]]}
    if isinstance(asked, dict) and asked.get("type") == "tool_approval":
        return decision
    return answer.approves
