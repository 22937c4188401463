"""How the calls of each tool were in one episode, judged by what the checks asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agentgym.checks import Expectation
from agentgym.trajectory import ToolCall, Trajectory

COLUMNS = ("correct", "wrong_arguments", "not_allowed", "raised", "unjudged")
"""What a call can be; they add up to `calls`."""


def tool_table(
    trajectory: Trajectory, expectations: Sequence[Expectation], *, passed: bool
) -> list[dict[str, Any]]:
    """Counts the calls of each tool.

    A call is `not_allowed` if a check forbids it or there is no such tool, `raised`
    if the tool raised, `wrong_arguments` if a check asks for the tool with other
    arguments (or its own were malformed), `correct` if a check asks for it or the
    episode passed, and otherwise `unjudged`. `missing` counts the tools that a check
    asks for and that were never called.

    Args:
        trajectory: What happened.
        expectations: What the checks asked.
        passed: Whether the episode passed.

    Returns:
        One row for each tool that was called or is missing, in that order.
    """
    rows: dict[str, dict[str, Any]] = {}

    def row(name: str) -> dict[str, Any]:
        if name not in rows:
            counts = dict.fromkeys(("calls", *COLUMNS, "missing"), 0)
            rows[name] = {"name": name, **counts, "latencies": []}
        return rows[name]

    wanted = [e for e in expectations if not e.forbidden]
    forbidden = [e for e in expectations if e.forbidden]
    for call in trajectory.tool_calls:
        counts = row(call.name)
        counts["calls"] += 1
        counts[_judge(call, wanted, forbidden, passed)] += 1
        if call.executed:
            counts["latencies"].append(round(call.duration, 6))
    called = set(rows)
    for name in {e.query.name for e in wanted if not e.satisfied} - called:
        row(name)["missing"] += 1
    return list(rows.values())


def _judge(
    call: ToolCall,
    wanted: Sequence[Expectation],
    forbidden: Sequence[Expectation],
    passed: bool,
) -> str:
    if call.malformed is not None:
        return "wrong_arguments"
    if any(e.query.matches(call) for e in forbidden):
        return "not_allowed"
    if call.error is not None:
        return "raised"
    asked = [e for e in wanted if e.query.name == call.name]
    if asked:
        matched = any(e.query.matches(call) for e in asked)
        return "correct" if matched else "wrong_arguments"
    if not call.executed:
        return "not_allowed"
    return "correct" if passed else "unjudged"
