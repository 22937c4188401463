"""What a process says of its episode: a word and JSON in each line."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

Said = tuple[str, Any]
"""A word, which says what it is about, and what there is to say."""


class Wire:
    """One end of a connection between processes.

    Args:
        end: A connected socket of a pair.
    """

    def __init__(self, end: socket.socket) -> None:
        self.socket = end
        self._lock = threading.Lock()
        self._lines = end.makefile("rb")

    def say(self, word: str, content: Any = None) -> None:
        """Sends one line.

        Args:
            word: Without blanks.
            content: What JSON has a form of.

        Raises:
            OSError: Nobody listens.
        """
        text = json.dumps(content, separators=(",", ":"))
        with self._lock:
            self.socket.sendall(f"{word} {text}\n".encode())

    def hear(self) -> Said | None:
        """The next line; None once the other end is closed, or has closed in one."""
        try:
            line = self._lines.readline()
        except OSError:
            return None
        if not line.endswith(b"\n"):
            return None
        word, _, text = line.decode().partition(" ")
        return word, json.loads(text)

    def __iter__(self) -> Iterator[Said]:
        while (said := self.hear()) is not None:
            yield said

    def hang_up(self) -> None:
        """Ends the connection for both ends; whoever hears is not waited for."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Closes this end."""
        self._lines.close()
        self.socket.close()
