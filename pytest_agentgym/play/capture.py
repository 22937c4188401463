"""What each episode prints and logs, kept apart although many run at once."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TextIO

from agentgym.recording.activation import Activation
from agentgym.recording.plain import printed

MAX_CHARACTERS = 64_000

_current: ContextVar[EpisodeOutput | None] = ContextVar("agentgym_output", default=None)


class EpisodeOutput:
    """Collects the output of one episode, and of threads that copy its context."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0

    def activate(self) -> Activation[EpisodeOutput]:
        """Sends this context's prints and log records here."""
        return Activation(_current, self)

    def write(self, text: str) -> None:
        """Adds text, up to the limit."""
        if self._length < MAX_CHARACTERS:
            # One that is much too long would be held until the episode ends.
            self._parts.append(text[: MAX_CHARACTERS + 1])
            self._length += len(text)

    def text(self) -> str:
        """What was written, cut at the limit."""
        text = "".join(self._parts)
        if len(text) < MAX_CHARACTERS:
            return text
        return text[:MAX_CHARACTERS] + "\n[... output cut]\n"


class _Splitter(io.TextIOBase):
    """A stream that writes to the current episode, or else to the original."""

    def __init__(self, original: TextIO) -> None:
        self._original = original

    def write(self, text: str, /) -> int:
        output = _current.get()
        if output is None:
            return self._original.write(text)
        output.write(text)
        return len(text)

    def flush(self) -> None:
        self._original.flush()

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        return self._original.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._original.encoding

    @property
    def buffer(self) -> object:
        return self._original.buffer


class _LogHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        output = _current.get()
        if output is not None:
            # What is logged is printed here: a value of the user's may raise anything.
            output.write(printed(record, self.format) + "\n")


@contextmanager
def split_output(enabled: bool) -> Iterator[None]:
    """Keeps the output of episodes apart while active (not with `pytest -s`)."""
    if not enabled:
        yield
        return
    stdout, stderr = sys.stdout, sys.stderr
    handler = _LogHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    sys.stdout, sys.stderr = _Splitter(stdout), _Splitter(stderr)
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        sys.stdout, sys.stderr = stdout, stderr
