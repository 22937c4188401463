"""Reads the bytes of an answer: JSON, or JSON events one by one."""

from __future__ import annotations

import codecs
import json

from agentgym.integrations.answering.model_answer import ModelAnswer

DONE = "[DONE]"
"""What the last event of a stream of chat completions says."""


class AnswerBytes:
    """Bytes that a client was given, read as they come.

    Args:
        answer: What reads the JSON.
        events: Whether they are server-sent events.
    """

    def __init__(self, answer: ModelAnswer, *, events: bool) -> None:
        self._answer = answer
        self._events = events
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._text = ""
        self._data: list[str] = []
        if events:
            answer.over = False

    def add(self, piece: bytes) -> None:
        """Takes the next piece."""
        self._text += self._decoder.decode(piece)
        if self._events:
            *lines, self._text = self._text.split("\n")
            for line in lines:
                self._line(line.rstrip("\r"))

    def end(self) -> None:
        """There are no more."""
        if self._events:
            self._line(self._text)
            self._line("")
            self._answer.close()
            return
        try:
            self._answer.whole(json.loads(self._text))
        except (ValueError, RecursionError):
            self._answer.is_unreadable("is no JSON")

    def _line(self, line: str) -> None:
        name, _, value = line.partition(":")
        if name == "data":
            self._data.append(value.removeprefix(" "))
        elif not line and self._data:
            data, self._data = "\n".join(self._data), []
            if data.startswith(DONE):
                self._answer.over = True
                return
            try:
                self._answer.part(json.loads(data))
            except (ValueError, RecursionError):
                self._answer.is_unreadable("has an event that is no JSON")
