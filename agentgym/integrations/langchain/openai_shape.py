"""LangChain's messages in OpenAI's shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from agentgym.integrations.messages import assistant, text_of

if TYPE_CHECKING:
    from agentgym.recording.recorder import Recorder
    from agentgym.recording.trajectory import Message


def assistant_message(
    message: AIMessage, written: Mapping[str, str] | None = None
) -> Message:
    """A LangChain message in OpenAI's shape, malformed tool calls included.

    Args:
        message: The message.
        written: By the call's id, arguments as the model wrote them, where known.
    """
    known = written or {}
    calls = [
        (call["id"], call["name"], known.get(call["id"] or "") or call["args"])
        for call in message.tool_calls
    ]
    malformed = [
        (call["id"], call["name"] or "", call["args"] or "")
        for call in message.invalid_tool_calls
    ]
    return assistant(text(message), [*calls, *malformed])


def join_answers(recorder: Recorder, messages: list[BaseMessage]) -> None:
    """Records the answers to the last calls, also to those that never ran.

    Args:
        recorder: The episode's.
        messages: Of a request or of a graph's state, the latest one last.
    """
    answers = []
    for message in reversed(messages):
        if not isinstance(message, ToolMessage):
            break
        answers.append(message)
    for answer in reversed(answers):
        recorder.tool_answered(
            answer.tool_call_id, text(answer), refused=answer.status == "error"
        )


def text(message: BaseMessage) -> str:
    """The text of a message, without its other parts."""
    return text_of(message.content)
