"""What happened in an episode as a list of facts, and the first in which two differ."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import zip_longest
from os.path import commonprefix
from typing import Any, NamedTuple

from agentgym.playing.episode import Episode
from agentgym.recording.trajectory import Message, ModelCall, Step, ToolCall

_SHOWN, _BEFORE = 80, 24
"""Characters that are shown of a value; those of them that are still the same."""
_ADDRESS = re.compile(r"\b0x[0-9a-f]{6,}\b")
_IDS = frozenset({"id", "tool_call_id"})


class Fact(NamedTuple):
    """Something that happened.

    Attributes:
        name: What it is, in words, with its number in the episode.
        value: As text, without what is another in each run: ids, times, addresses.
    """

    name: str
    value: str


def course(episode: Episode, *, whole: bool) -> list[Fact]:
    """The facts of an episode, in order.

    Args:
        episode: It has ended.
        whole: Whether all of them are wanted, or only what the agent was given: its
            case, and what its model was asked first.
    """
    facts = [
        Fact(f"the {name} of its case", _text(value))
        for name, value in episode.case.items()
    ]
    if not whole:
        return facts + [fact for fact in _conversation(episode) if _given(fact)]
    facts.append(Fact("the number of attempts", str(episode.attempts)))
    return [
        *facts,
        *_conversation(episode),
        *(Fact(f"the check {c.get('text')}", str(c["status"])) for c in episode.checks),
        Fact("the outcome", episode.outcome.value),
        Fact("the reward", f"{episode.reward:g}"),
    ]


def difference(before: list[Fact], now: list[Fact]) -> str | None:
    """The first fact in which two episodes differ, in words; None if in none.

    Args:
        before: Of the first run.
        now: Of the second one.
    """
    for old, new in zip_longest(before, now, fillvalue=Fact("the end", "")):
        if old == new:
            continue
        if old.name == new.name:
            was, is_ = _excerpts(old.value, new.value)
            return f"{old.name} was {was}, and is now {is_}"
        return f"{_shown(old)} came, and now comes {_shown(new)}"
    return None


def _given(fact: Fact) -> bool:
    names = ("message 1 of the user", "the system prompt of model call 1")
    return fact.name in (*names, "the tools of model call 1")


def _conversation(episode: Episode) -> Iterator[Fact]:
    """What was said, called and returned."""
    trajectory = episode.trajectory
    roles = ("user", "assistant")
    said = [m for m in trajectory.messages if m.get("role") in roles]
    models = tools = users = 0
    for step in trajectory.steps:
        for message in _until(said, step):
            users += 1
            yield Fact(f"message {users} of the user", _text(message.get("content")))
        if step.model is not None:
            models += 1
            yield from _of_model(step.model, models)
        for call in step.tool_calls:
            tools += 1
            yield from _of_tool(call, tools)
    for message in said:
        who = "user" if message["role"] == "user" else "agent"
        yield Fact(f"the last message of the {who}", _text(message.get("content")))


def _until(said: list[Message], step: Step) -> Iterator[Message]:
    """Takes out what was said before a step, and what the step itself said."""
    while said and said[0]["role"] == "user":
        yield said.pop(0)
    if said and step.model is not None and step.model.message:
        said.pop(0)


def _of_model(call: ModelCall, number: int) -> Iterator[Fact]:
    where = f"of model call {number}"
    yield Fact(f"the system prompt {where}", call.system or "none")
    yield Fact(f"the tools {where}", call.tools or "none")
    # Its text has addresses, with a port that is another each time.
    failed = (call.error or "").partition(":")[0]
    yield Fact(f"the reply {where}", failed or _reply(call.message))
    prompt, completion = call.usage
    yield Fact(f"the number of tokens {where}", f"{prompt} + {completion}")


def _of_tool(call: ToolCall, number: int) -> Iterator[Fact]:
    asked = call.malformed
    if asked is None:
        asked = ", ".join(f"{k}={_text(v)}" for k, v in call.arguments.items())
    yield Fact(f"tool call {number}", f"{call.name}({asked})")
    came = _text(call.result) if call.error is None else f"error: {_text(call.error)}"
    if call.approval is not None:
        came = f"{call.approval}: {came}"
    yield Fact(f"the result of tool call {number}, {call.name}", came)


def _reply(message: Message) -> str:
    """A model's answer: its text, and the calls in it as the model wrote them."""
    rest = {
        name: value
        for name, value in message.items()
        if name not in (*_IDS, "role", "content", "tool_calls") and value
    }
    parts = [_text(message["content"])] if message.get("content") else []
    parts += [_text(call) for call in message.get("tool_calls") or ()]
    return " ".join([*parts, *([_text(rest)] if rest else [])])


def _text(value: Any) -> str:
    """A value as text, without ids and addresses."""
    text = value if isinstance(value, str) else json.dumps(_without_ids(value))
    return _ADDRESS.sub("0x", text)


def _without_ids(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_ids(v) for k, v in value.items() if k not in _IDS}
    return [_without_ids(v) for v in value] if isinstance(value, list) else value


def _shown(fact: Fact) -> str:
    return f"{fact.name} ({fact.value[:_SHOWN]})" if fact.value else fact.name


def _excerpts(old: str, new: str) -> tuple[str, str]:
    """Two texts from shortly before their first difference."""
    # Of letters, though the function is among those of paths.
    start = max(len(commonprefix([old, new])) - _BEFORE, 0)  # noqa: RUF071
    return _excerpt(old, start), _excerpt(new, start)


def _excerpt(text: str, start: int) -> str:
    if not text:
        return "empty"
    first, last = "..." * (start > 0), "..." * (len(text) > start + _SHOWN)
    return f"'{first}{text[start : start + _SHOWN]}{last}'"
