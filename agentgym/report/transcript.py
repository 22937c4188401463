"""An episode as a conversation that people can read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agentgym.playing.episode import Episode
from agentgym.recording.plain import shorten
from agentgym.recording.trajectory import Message, ToolCall, turns
from agentgym.runs.lines import Line, right, wrapped

MOST_TURNS = 14
MOST_TEXT_LINES = 4
MOST_OUTPUT_LINES = 5
_WHO = 8


def transcript(episode: Episode, width: int, indent: str = "    ") -> Iterator[Line]:
    """What the user, the agent and the tools said, how it ended, what was printed.

    Args:
        episode: The middle of a long one is left out.
        width: Characters that a line may have.
        indent: What each line begins with.
    """
    turns = list(_turns(episode))
    if not turns:
        yield Line(f"{indent}(no message and no tool call was recorded)")
    if len(turns) > MOST_TURNS:
        half = MOST_TURNS // 2
        gap = f"({len(turns) - 2 * half} more turns are in episodes.jsonl)"
        turns[half:-half] = [("", gap)]
    for who, text in turns:
        yield from _turn_lines(who, text, width, indent)
    if episode.error is not None:
        yield from _turn_lines("error", episode.error, width, indent)
    printed = episode.output.strip().splitlines()
    if len(printed) > MOST_OUTPUT_LINES:
        printed[:-MOST_OUTPUT_LINES] = ["…"]
    for number, text in enumerate(printed):
        who = "printed" if number == 0 else ""
        yield Line(f"{indent}{who:<{_WHO}}{right(text, width - len(indent) - _WHO)}")


def _turn_lines(who: str, text: str, width: int, indent: str) -> Iterator[Line]:
    first = f"{indent}{who:<{_WHO}}"
    later = " " * len(first)
    yield from wrapped(
        text or "(nothing)", width, first, hanging=later, most=MOST_TEXT_LINES
    )


def _turns(episode: Episode) -> Iterator[tuple[str, str]]:
    """Who said what, and what was called."""
    trajectory = episode.trajectory
    answers = {
        str(message.get("tool_call_id")): _text(message)
        for message in trajectory.messages
        if message.get("role") == "tool"
    }
    for turn in turns(trajectory):
        if isinstance(turn, ToolCall):
            yield "calls", str(turn)
            yield "", f"-> {_answer(turn, answers)}"
        else:
            yield _turn(turn)


def _turn(message: Message) -> tuple[str, str]:
    who = "user" if message["role"] == "user" else "says"
    return who, _text(message)[:2000]


def _answer(call: ToolCall, answers: dict[str, str]) -> str:
    if call.approval == "waiting":
        return "(waits for a person)"
    if call.error is not None:
        return f"error: {shorten(call.error, 300)}"
    if call.executed:
        return shorten(_words(call.result), 300)
    return shorten(answers.get(call.id) or "(was not executed)", 300)


def _text(message: Message) -> str:
    return _words(message.get("content"))


def _words(content: Any) -> str:
    """The text of a message's content, which may come in parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list) and all(isinstance(part, dict) for part in content):
        return " ".join(str(part.get("text") or part.get("type")) for part in content)
    return "" if content is None else repr(content)
