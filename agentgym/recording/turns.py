"""A trajectory as a conversation: the messages tell the words, the steps the calls."""

from __future__ import annotations

from collections.abc import Iterator

from agentgym.recording.trajectory import Message, Step, ToolCall, Trajectory


def turns(trajectory: Trajectory) -> Iterator[Message | ToolCall]:
    """What user and agent said and what the agent called, in order."""
    told = [m for m in trajectory.messages if m.get("role") in ("user", "assistant")]
    for step in trajectory.steps:
        yield from _until(told, step)
        yield from step.tool_calls
    yield from told


def _until(told: list[Message], step: Step) -> Iterator[Message]:
    """Takes from `told` what was said up to and with the step's own message."""
    while told and told[0]["role"] == "user":
        yield told.pop(0)
    if told and step.model is not None and step.model.message:
        message = told.pop(0)
        # Most messages that call tools say nothing else.
        if message.get("content") or not step.tool_calls:
            yield message
