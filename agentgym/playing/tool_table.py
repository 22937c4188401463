"""How the calls of each tool were in one episode, judged by what the checks asked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from agentgym.recording.plain import raise_if_pressed
from agentgym.recording.trajectory import ToolCall, Trajectory
from agentgym.scenarios.check_log import Expectation

COLUMNS = (
    *("correct", "wrong_arguments", "not_allowed", "raised", "unjudged"),
    "waiting",
)
"""What a call can be; they add up to `calls`."""


def tool_table(
    trajectory: Trajectory, expectations: Sequence[Expectation], *, passed: bool
) -> list[dict[str, Any]]:
    """Counts the calls of each tool.

    A call is `waiting` if a person has not been asked yet, `not_allowed` if a check
    forbids it, a person rejected it or there is no such tool, `raised` if the tool
    raised, `wrong_arguments` if a check asks for the tool with other
    arguments (or its own are malformed or do not fit the tool), `correct` if a check
    asks for it or the episode passed, and otherwise `unjudged`. `missing` counts the
    tools that a check asks for and that were never called.

    Args:
        trajectory: What happened.
        expectations: What the checks asked.
        passed: Whether the episode passed; nothing is missing or forbidden then.

    Returns:
        One row for each tool that was called or is missing, in that order.
    """
    rows: dict[str, dict[str, Any]] = {}

    def row(name: str) -> dict[str, Any]:
        if name not in rows:
            counts = dict.fromkeys(("calls", *COLUMNS, "missing"), 0)
            rows[name] = {"name": name, **counts, "latencies": []}
        return rows[name]

    wanted = [e for e in expectations if not _forbids(e)]
    # A ban that was kept may still match calls: `not called("pay").before("look")`.
    broken = [e for e in expectations if _forbids(e) and not e.satisfied and not passed]
    last = trajectory.steps[-1].tool_calls if trajectory.steps else []
    for call in trajectory.tool_calls:
        counts = row(call.name)
        counts["calls"] += 1
        unanswered = any(call is other for other in last)
        counts[_judge(call, wanted, broken, passed, unanswered)] += 1
        if call.executed:
            counts["latencies"].append(round(call.duration, 6))
    if not passed:
        called = set(rows)
        # Several checks may ask for the same call: it is missing once.
        for name in dict.fromkeys(e.query.name for e in wanted if not e.satisfied):
            if name not in called:
                row(name)["missing"] += 1
    return list(rows.values())


def _forbids(expectation: Expectation) -> bool:
    """Whether the tool must not be called; `.times(0)` says the opposite."""
    never = getattr(expectation.query, "count", None) == 0
    return expectation.forbidden is not never


def _judge(
    call: ToolCall,
    wanted: Sequence[Expectation],
    broken: Sequence[Expectation],
    passed: bool,
    unanswered: bool,
) -> str:
    if call.malformed is not None:
        return "wrong_arguments"
    if any(_matches(e, call) for e in broken):
        return "not_allowed"
    if call.withheld:
        if call.approval == "waiting":
            return "waiting"
        # It is right to ask where that is what a check asks for.
        asked_for = passed or any(e.query.matches(call) for e in wanted)
        return "correct" if asked_for else "not_allowed"
    if call.error is not None and _misfit(call.name, call.error):
        return "wrong_arguments"
    if call.error is not None:
        # What never ran and has an error was refused by the agent's framework.
        return "raised" if call.executed else "not_allowed"
    asked = [e for e in wanted if e.query.name == call.name]
    if asked:
        matched = any(_matches(e, call) for e in asked)
        return "correct" if matched else "wrong_arguments"
    if not call.executed and not unanswered:
        # The conversation went on without it: there is no such tool.
        return "not_allowed"
    return "correct" if passed else "unjudged"


def _matches(expectation: Expectation, call: ToolCall) -> bool:
    """Whether it is the call that was asked for; the user's own code may say so."""
    try:
        return expectation.query.matches(call)
    except BaseException as exc:  # noqa: BLE001 - it may raise anything
        raise_if_pressed(exc)
        return False


def _misfit(name: str, error: str) -> bool:
    """Whether the arguments were refused before the tool ran: by pydantic or Python."""
    tool = re.escape(name)
    pattern = (
        rf"ValidationError: \d+ validation errors? for {tool}|TypeError: {tool}\(\) "
    )
    return re.match(pattern, error, re.IGNORECASE) is not None
