"""Which asked call an execution or an answer belongs to, whatever the calls' ids.

Ids do not always tell: some servers give one id to all calls of an answer, or none.
Name, arguments and order tell then.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from agentgym.recording.plain import alike, printed
from agentgym.recording.trajectory import Step, ToolCall


@dataclass(frozen=True, slots=True)
class ToolAnswer:
    """What a model gets for one of its calls, as seen in its next request.

    Attributes:
        call_id: The call's id, as the request has it; empty if it has none.
        content: What the model gets.
        refused: If no tool was seen to run: whether none did (such as an unknown one),
            or the agent ran one that nobody watched.
        name: The tool's, where the request has it.
    """

    call_id: str
    content: str
    refused: bool = False
    name: str = ""


def waiting_call(
    steps: Sequence[Step],
    name: str,
    arguments: dict[str, Any],
    call_id: str | None,
    path: tuple[str, ...] = (),
) -> ToolCall | None:
    """The asked call that an execution belongs to, or None.

    Args:
        steps: Of the trajectory.
        name: The tool's.
        arguments: What it runs with; the tool's defaults may be among them.
        call_id: The model's; without one the name has to be the same.
        path: Names of the nested agents that call it, where known.
    """
    best, best_rank = None, None
    for age, step in enumerate(reversed(steps)):
        for call in step.tool_calls:
            if call.executed or not _may_be(call, name, call_id):
                continue
            rank = (
                # Parallel agents may use the same ids.
                bool(path) and call.path == path,
                call.error is None and call.result is None,
                call.name == name,
                alike(call.arguments, arguments),
                _alike(call.arguments, arguments),
                -age,
            )
            if best_rank is None or rank > best_rank:
                best, best_rank = call, rank
    return best


def _may_be(call: ToolCall, name: str, call_id: str | None) -> bool:
    if call_id:
        return call.id == call_id
    return call.name == name and call.malformed is None


def _alike(asked: dict[str, Any], given: dict[str, Any]) -> int:
    """How many arguments are the same; a tool's types may have changed them."""
    return sum(
        key in given and printed(given[key], str) == printed(asked[key], str)
        for key in asked
    )


def pair_answers(
    steps: Iterable[Step], answers: Sequence[ToolAnswer], answered: dict[int, Any]
) -> list[tuple[Step, ToolCall, ToolAnswer]]:
    """Which calls the answers of one request belong to.

    Args:
        steps: The trajectory's, the newest one first.
        answers: In the request's order.
        answered: By the id of each call that a model asked for, its answer so far.

    Returns:
        Pairs; answers to calls that no model asked for are left out.
    """
    left, pairs = list(answers), []
    newest = None
    for step in steps:
        asked = [call for call in step.tool_calls if id(call) in answered]
        newest = newest or (asked and (step, asked)) or None
        pairs += [(step, *pair) for pair in _same_ids(asked, left, answered)]
        ids = {call.id for call in asked}
        left = [answer for answer in left if answer.call_id not in ids]
        if not left:
            return pairs
    if newest is not None:
        step, asked = newest
        taken = {id(call) for _, call, _ in pairs}
        open_calls = [call for call in asked if id(call) not in taken]
        # The agent gave the calls ids of its own.
        if len(open_calls) == len(left):
            pairs += [
                (step, call, answer)
                for call, answer in zip(open_calls, left, strict=True)
            ]
    return pairs


def _same_ids(
    calls: list[ToolCall], answers: list[ToolAnswer], answered: dict[int, Any]
) -> list[tuple[ToolCall, ToolAnswer]]:
    """Pairs of one id: those that say so themselves first, the others in order."""
    pairs = []
    for call_id in dict.fromkeys(answer.call_id for answer in answers):
        open_calls = [call for call in calls if call.id == call_id]
        given = [answer for answer in answers if answer.call_id == call_id]
        if len(open_calls) == 1:
            pairs.append((open_calls[0], given[-1]))
            continue
        for told in (_told_already, _not_told, _any):
            for answer in list(given):
                for call in open_calls:
                    if told(call, answer, answered):
                        pairs.append((call, answer))
                        open_calls.remove(call)
                        given.remove(answer)
                        break
    return pairs


def _told_already(call: ToolCall, answer: ToolAnswer, answered: dict[int, Any]) -> bool:
    known = answered[id(call)]
    return known is not None and known["content"] == answer.content


def _not_told(call: ToolCall, answer: ToolAnswer, answered: dict[int, Any]) -> bool:
    return answered[id(call)] is None and answer.name in ("", call.name)


def _any(call: ToolCall, answer: ToolAnswer, answered: dict[int, Any]) -> bool:
    return True


def requested(request: dict[str, Any]) -> ToolCall:
    """A tool call as the model's message asks for it.

    Args:
        request: One of the message's `tool_calls`, in OpenAI's shape.
    """
    function = request.get("function") or {}
    raw = function.get("arguments")
    arguments: Any = raw
    if isinstance(raw, str):
        try:
            arguments = json.loads(raw) if raw.strip() else {}
        except (ValueError, RecursionError):
            arguments = None
    well_formed = isinstance(arguments, dict)
    return ToolCall(
        id=str(request.get("id") or ""),
        name=str(function.get("name") or ""),
        arguments=arguments if well_formed else {},
        malformed=None if well_formed else str(raw),
    )
