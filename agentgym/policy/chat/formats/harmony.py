"""Harmony, the format of gpt-oss: messages in channels, calls among them.

    <|channel|>analysis<|message|>...<|end|><|start|>assistant<|channel|>commentary
    to=functions.look_up <|constrain|>json<|message|>{"id": "A1"}<|call|>

Described in OpenAI's cookbook, "OpenAI harmony response format" (2025).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from agentgym.policy.chat.formats.found import (
    FoundCall,
    ParsedCall,
    Schemas,
    Span,
    before_mark,
)
from agentgym.policy.chat.formats.json_text import read_object, skip

_START, _CHANNEL, _MESSAGE = "<|start|>", "<|channel|>", "<|message|>"
_ENDS = re.compile(r"<\|(?:end|call|return|start)\|>")
RECIPIENT = re.compile(r"\bto=(?P<name>[^\s<]+)")
_TOOLS = "functions."


class HarmonyCalls:
    """Calls are messages to `functions.`."""

    name = "harmony"
    vllm_parser: str | None = "openai"
    marks: None = None

    def find(self, text: str, tools: Schemas) -> list[FoundCall]:
        """See `CallFormat`."""
        found = []
        for start, body, end in messages(text):
            recipient = RECIPIENT.search(text, start, body)
            if recipient is None or not recipient["name"].startswith(_TOOLS):
                continue
            found.append(_call(text, (start, body, end), recipient["name"]))
        return found

    def begin(self, text: str) -> int:
        """See `CallFormat`."""
        return before_mark(text, _CHANNEL)


def messages(text: str) -> Iterator[tuple[int, int, int]]:
    """Where each message begins, where its body does, and where it ends.

    The reply's first one has lost its beginning to the prompt.
    """
    position = 0
    while position < len(text):
        mark = text.find(_MESSAGE, position)
        if mark < 0:
            # Text without a header, or a header without a body.
            headed = _CHANNEL in text[position:] or text.startswith(_START, position)
            yield position, len(text) if headed else position, len(text)
            return
        body = mark + len(_MESSAGE)
        stop = body_end(text, body)
        end = stop
        closing = _ENDS.match(text, stop)
        if closing is not None and closing[0] != _START:
            end = closing.end()
        yield position, body, end
        position = end


def body_end(text: str, body: int) -> int:
    """Where the body of a message ends.

    Args:
        text: The reply.
        body: Where the body begins.
    """
    closing = _ENDS.search(text, body)
    return len(text) if closing is None else closing.start()


def _call(text: str, message: tuple[int, int, int], recipient: str) -> FoundCall:
    start, body, _ = message
    stop = end = body_end(text, body)
    begun = skip(text, body)
    read = read_object(text, begun)
    name = recipient.removeprefix(_TOOLS)
    if read is None or skip(text, read[1]) != stop or not name:
        return FoundCall(start=start, end=end)
    span: Span = (begun, read[1])
    call = ParsedCall(name=name, arguments=text[slice(*span)])
    return FoundCall(start=start, end=end, arguments=span, call=call)
