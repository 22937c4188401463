"""Packs `episodes.jsonl` for a page: rows to list, and in chunks what happened.

The browser reads the rows at once, to list and to filter; a chunk of trajectories only
when one of its episodes is looked at, or searched. Chunks hold the lines of the file as
they are: parsing a line once and compressing it is all that an episode costs.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agentgym.distribution import DISTRIBUTION
from agentgym.playing.episode import FORMAT
from agentgym.report.html.cutting import cut_episode
from agentgym.report.html.document import LEVEL, Emit
from agentgym.runs.files.shape import loads
from agentgym.runs.files.store import read_line
from agentgym.runs.lines import count

CHUNK_EPISODES, CHUNK_BYTES = 256, 1_000_000
MOST_LINE = 100_000
"""Bytes of an episode; a longer one is cut."""
MOST_BYTES = 9_000_000
"""Of all compressed chunks: 12 MB in the page's base64."""
PREVIEW = 100

CALLED, WRONG_ARGUMENTS, NOT_ALLOWED, MISSING, RAISED, WAITING = 1, 2, 4, 8, 16, 32
_FLAGS = {
    "calls": CALLED,
    "wrong_arguments": WRONG_ARGUMENTS,
    "not_allowed": NOT_ALLOWED,
    "missing": MISSING,
    "raised": RAISED,
    "waiting": WAITING,
}
_FLAG_BITS = 6
_encoded = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


class EpisodePacker:
    """Takes the lines of a run's episodes, one at a time.

    Episodes that did not pass come first, because they are what people look for: where
    `MOST_BYTES` do not hold all conversations, those of passed ones are left out.

    Args:
        emit: Where blocks go.

    Attributes:
        notes: Sentences about what is not in the page.
    """

    def __init__(self, emit: Emit) -> None:
        self.notes: list[str] = []
        self._emit = emit
        self._names = {name: _Names() for name in ("scenarios", "tools", "phases")}
        self._checks = _Names()
        self._groups = (_Group(), _Group())
        self._room = MOST_BYTES
        self._cut = 0

    def add_file(self, path: Path, *, own: bool = False) -> None:
        """Adds all lines of an `episodes.jsonl`; what is no episode is noted.

        Args:
            path: The file.
            own: Whether this process wrote it, so that its types need no check.

        Raises:
            OSError: It cannot be read.
        """
        unread: list[str] = []
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    self.notes.append(f"Line {number} of {path.name} is cut: left out.")
                    continue
                try:
                    self._add(
                        loads(line, finite=True) if own else read_line(line), line
                    )
                except (ValueError, KeyError, TypeError, AttributeError) as exc:
                    unread.append(f"line {number} ({type(exc).__name__}: {exc})")
        if unread:
            more = f" and {len(unread) - 3} more" if len(unread) > 3 else ""
            self.notes.append(
                f"Left out of {path.name}, because this version of agentgym cannot "
                f"read them: {', '.join(unread[:3])}{more}."
            )

    def finish(self) -> dict[str, Any]:
        """Emits what is left; returns what the rows' numbers mean."""
        chunks = []
        place = left_out = 0
        for group in self._groups:
            for size, packed in group.chunks():
                kept = packed if len(packed) <= self._room else None
                if kept is None:
                    left_out += size
                else:
                    self._room -= len(kept)
                    self._emit("chunk", kept)
                chunks.append([size, None if kept is None else place])
                place += kept is not None
            self._emit("rows", group.rows())
        if left_out:
            self.notes.append(
                f"The conversations of {count(left_out, 'episode')} are left out to "
                "keep this page small; episodes.jsonl has them."
            )
        if self._cut:
            self.notes.append(
                f"Long texts of {count(self._cut, 'episode')} are cut; episodes.jsonl "
                "has more."
            )
        names: dict[str, Any] = {key: list(n) for key, n in self._names.items()}
        return names | {
            "checks": [
                {"scenario": s, "file": f, "line": at, "text": text, "must": must}
                for s, f, at, _, text, must in self._checks
            ],
            "chunks": chunks,
        }

    def _add(self, episode: dict[str, Any], line: bytes) -> None:
        if episode["format"] != FORMAT:
            raise ValueError(
                f"its format is {episode['format']}: update {DISTRIBUTION}"
            )
        row = self._row(episode)
        if len(line) > MOST_LINE:
            line = json.dumps(cut_episode(episode, MOST_LINE)).encode() + b"\n"
            self._cut += 1
        group = self._groups[episode["outcome"] == "passed"]
        group.add(_encoded(row), line)

    def _row(self, episode: dict[str, Any]) -> list[Any]:
        """An episode's row; `script/data.js` names its places."""
        scenario = self._names["scenarios"][episode["scenario"]]
        tool_of = self._names["tools"]
        failed = []
        for check in episode["checks"]:
            if check["status"] == "failed" or check["status"] == "errored":
                key = (
                    scenario,
                    check["file"],
                    check["line"],
                    check["id"],
                    check["text"],
                    check["must"],
                )
                failed.append(self._checks[key])
        case = episode["case"]
        trajectory = episode["trajectory"]
        return [
            episode["id"],
            scenario,
            episode["index"],
            episode["outcome"],
            round(episode["reward"], 4),
            episode["duration"],
            episode["tokens"],
            self._names["phases"][episode["phase"]],
            f"{case.get('split') or 'case'}-{case.get('index')}" if case else "",
            sum(len(step["tool_calls"]) for step in trajectory["steps"]),
            [
                tool_of[tool["name"]] << _FLAG_BITS | _flags(tool)
                for tool in episode["tools"]
            ],
            failed,
            _preview(trajectory["messages"]),
        ]


class _Names(dict[Any, int]):
    """Numbers what it is asked for, in the order of asking."""

    def __missing__(self, key: Any) -> int:
        self[key] = number = len(self)
        return number


class _Group:
    """Rows and chunks in the same order."""

    def __init__(self) -> None:
        self._rows = zlib.compressobj(LEVEL)
        self._packed = [self._rows.compress(b"[")]
        self._first = True
        self._chunks: list[tuple[int, bytes]] = []
        self._open: list[bytes] = []
        self._size = 0

    def add(self, row: str, line: bytes) -> None:
        text = row if self._first else f",{row}"
        self._first = False
        self._packed.append(self._rows.compress(text.encode()))
        self._open.append(line)
        self._size += len(line)
        if len(self._open) == CHUNK_EPISODES or self._size >= CHUNK_BYTES:
            self._close()

    def chunks(self) -> Iterator[tuple[int, bytes]]:
        """How many episodes each has, and its bytes."""
        self._close()
        return iter(self._chunks)

    def rows(self) -> bytes:
        self._packed.append(self._rows.compress(b"]"))
        return b"".join([*self._packed, self._rows.flush()])

    def _close(self) -> None:
        if self._open:
            packed = zlib.compress(b"".join(self._open), LEVEL)
            self._chunks.append((len(self._open), packed))
            self._open, self._size = [], 0


def _flags(tool: dict[str, Any]) -> int:
    return sum(bit for name, bit in _FLAGS.items() if tool.get(name))


def _preview(messages: list[dict[str, Any]]) -> str:
    """The beginning of what the user said."""
    for message in messages:
        if message.get("role") == "user":
            text = message.get("content")
            if isinstance(text, list):
                parts = (part.get("text") for part in text if isinstance(part, dict))
                text = next((part for part in parts if part), "")
            return " ".join(str(text or "")[: 2 * PREVIEW].split())[:PREVIEW]
    return ""
