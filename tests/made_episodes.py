"""Episodes made by hand, for tests of what is said about them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agentgym.playing.episode import Episode
from agentgym.recording.blame import Outcome
from agentgym.recording.trajectory import ModelCall, Step, ToolCall, Trajectory

SCENARIO = "scenarios/shop/test_refunds.py::test_refund"


def made_check(
    status: str = "passed",
    *,
    number: int = 0,
    line: int = 10,
    text: str = 'run.called("refund")',
    must: str | None = None,
    message: str | None = None,
) -> dict[str, Any]:
    return {
        "id": number,
        "text": text,
        "file": "/home/me/scenarios/shop/test_refunds.py",
        "line": line,
        "weight": 1.0,
        "must": must,
        "conditional": False,
        "status": status,
        "share": float(status == "passed"),
        "message": message,
    }


def made_row(name: str, **counts: Any) -> dict[str, Any]:
    names = ("calls", "correct", "wrong_arguments", "not_allowed", "raised")
    row = dict.fromkeys((*names, "unjudged", "waiting", "missing"), 0)
    return {"name": name, **row, "latencies": [], **counts}


def made_trajectory(
    *calls: ToolCall, user: str = "Hi", reply: str = "Done."
) -> Trajectory:
    """A user's message, one step per call, and the reply."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": user}]
    steps = []
    for call in calls:
        asked = {"role": "assistant", "content": None, "tool_calls": [{"id": call.id}]}
        messages.append(asked)
        steps.append(Step(model=ModelCall(message=asked), tool_calls=[call]))
    said = {"role": "assistant", "content": reply}
    messages.append(said)
    steps.append(Step(model=ModelCall(message=said)))
    return Trajectory(steps=steps, messages=messages)


def made_call(name: str, call_id: str = "c1", **fields: Any) -> ToolCall:
    return ToolCall(
        **{"id": call_id, "name": name, "arguments": {}, "executed": True} | fields
    )


def made_episode(index: int = 0, outcome: str = "passed", **fields: Any) -> Episode:
    fields.setdefault("scenario", SCENARIO)
    fields.setdefault("id", f"{fields['scenario']}-{index}")
    fields.setdefault("reward", float(outcome == "passed"))
    fields.setdefault("case", {"index": index, "seed": 1, "value": None})
    return Episode(index=index, outcome=Outcome(outcome), **fields)


def made_episodes(counts: dict[str, int], **fields: Any) -> Sequence[Episode]:
    """So many episodes of each outcome, numbered through."""
    outcomes = [outcome for outcome, n in counts.items() for _ in range(n)]
    return [made_episode(i, outcome, **fields) for i, outcome in enumerate(outcomes)]
