"""LangChain's messages in OpenAI's shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from agentgym.integrations.messages import assistant, text_of
from agentgym.recording.joining import ToolAnswer

if TYPE_CHECKING:
    from agentgym.integrations.answering.fragments import WrittenCall
    from agentgym.recording.recorder import Recorder
    from agentgym.recording.trajectory import Message


def assistant_message(
    message: AIMessage, written: Sequence[WrittenCall] = ()
) -> Message:
    """A LangChain message in OpenAI's shape, malformed tool calls included.

    Args:
        message: The message.
        written: Its calls as the model wrote them, where known.
    """
    left = list(written)
    calls = [
        (call["id"], call["name"], _raw(call["id"], call["name"], left) or call["args"])
        for call in message.tool_calls
    ]
    malformed = [
        (call["id"], call["name"] or "", call["args"] or "")
        for call in message.invalid_tool_calls
    ]
    return assistant(text(message), [*calls, *malformed])


def _raw(call_id: str | None, name: str, written: list[WrittenCall]) -> str:
    """Takes the call out of the written ones: those of one id are in their order."""
    for call in written:
        if call.id == (call_id or "") and call.name == name:
            written.remove(call)
            return call.arguments
    return ""


def join_answers(
    recorder: Recorder, messages: list[BaseMessage], path: tuple[str, ...] = ()
) -> None:
    """Records the answers to the last calls, also to those that never ran.

    Args:
        recorder: The episode's.
        messages: Of a request or of a graph's state, the latest one last.
        path: Names of the nested agents that ask.
    """
    answers = []
    for message in reversed(messages):
        if not isinstance(message, ToolMessage):
            break
        answers.append(
            ToolAnswer(
                message.tool_call_id or "",
                text(message),
                refused=message.status == "error",
                name=message.name or "",
            )
        )
    if answers:
        recorder.tools_answered(answers[::-1], path=path)


def text(message: BaseMessage) -> str:
    """The text of a message, without its other parts."""
    return text_of(message.content)


def told_by(output: Any, call_id: str) -> Any:
    """What the model is told of what a tool returned.

    A LangGraph `Command` changes the graph's state, and has the tool's message in it.

    Args:
        output: What the tool returned.
        call_id: The model's number of the call.
    """
    several = isinstance(output, list)
    commands = [each for each in (output if several else [output]) if _changes(each)]
    if not commands:
        return output
    messages = [message for command in commands for message in _messages_of(command)]
    # A tool that hands over may answer for itself alone, without a number.
    own = [message for message in messages if message.tool_call_id == call_id]
    return next(iter(own or messages), "")


def _changes(output: Any) -> bool:
    # Not by its class: langchain-core knows no graphs.
    return type(output).__name__ == "Command" and hasattr(output, "update")


def _messages_of(command: Any) -> list[ToolMessage]:
    update = command.update
    pairs = update.items() if isinstance(update, Mapping) else update or ()
    if not isinstance(update, Mapping | list | tuple):
        pairs = (("messages", getattr(update, "messages", ())),)
    found: list[ToolMessage] = []
    for _, value in pairs:
        listed = value if isinstance(value, list | tuple) else [value]
        found += [each for each in listed if isinstance(each, ToolMessage)]
    return found
