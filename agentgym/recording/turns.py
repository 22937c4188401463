"""A trajectory as a conversation: the messages have the words, the steps the calls."""

from __future__ import annotations

from collections.abc import Iterator

from agentgym.recording.trajectory import Message, Step, ToolCall, Trajectory


def turns(trajectory: Trajectory) -> Iterator[Message | ToolCall]:
    """What user and agent said and what the agent called, in order."""
    roles = ("user", "assistant")
    # What was said before the episode explains what is said in it.
    yield from (m for m in trajectory.history if m.get("role") in roles)
    messages = [m for m in trajectory.messages if m.get("role") in roles]
    for step in trajectory.steps:
        yield from _until(messages, step)
        yield from step.tool_calls
    yield from messages


def _until(messages: list[Message], step: Step) -> Iterator[Message]:
    """Takes from `messages` what was said up to and with the step's own message."""
    while messages and messages[0]["role"] == "user":
        yield messages.pop(0)
    if messages and step.model is not None and step.model.message:
        message = messages.pop(0)
        # Most messages that call tools say nothing else.
        if message.get("content") or not step.tool_calls:
            yield message
