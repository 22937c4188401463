"""Calls that a person is asked about, and where the agent stopped to ask."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from agentgym.recording.trajectory import Interrupt, ToolCall, Trajectory


def interrupt(
    trajectory: Trajectory, value: Any, start: float, unanswered: Collection[int]
) -> None:
    """The agent waits for a person, with all calls that it asked for and not made.

    Args:
        trajectory: Of the episode.
        value: What the person is shown.
        start: Seconds since the episode began.
        unanswered: Ids of the call objects whose answer the model does not have.
    """
    trajectory.interrupts.append(Interrupt(value=value, start=start))
    for call in trajectory.tool_calls:
        if id(call) in unanswered and not call.executed and call.error is None:
            call.approval = "waiting"


def resume(trajectory: Trajectory, answer: str) -> None:
    """A person answered what the agent waits for.

    Args:
        trajectory: Of the episode.
        answer: In words.
    """
    for one in trajectory.interrupts:
        if one.answer is None:
            one.answer = answer
    for call in trajectory.waiting:
        # Unless it runs now.
        call.approval = "rejected"


def runs(call: ToolCall, arguments: dict[str, Any]) -> None:
    """The call was approved.

    Args:
        call: What a person was asked about.
        arguments: What it runs with; the person may have changed them.
    """
    call.approval = "approved"
    if not call.arguments.items() <= arguments.items():
        call.arguments = arguments


def replaced(call: ToolCall, content: str, *, refused: bool) -> None:
    """The model gets a person's word in place of what the tool would have said.

    Args:
        call: What a person was asked about.
        content: What the model gets.
        refused: Whether it says that the tool did not run.
    """
    if call.error is not None or call.result is not None:
        return
    call.approval = "rejected" if refused else "answered"
    if refused:
        call.error = content
    else:
        call.result = content


def withdraw(call: ToolCall) -> None:
    """The tool stopped to ask a person: it has not run, and begins anew later."""
    call.executed, call.duration, call.approval = False, 0.0, "waiting"
