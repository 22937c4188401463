"""Reads files of traces: which tool has written them, and the conversations in them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from agentgym.errors import UsageError
from agentgym.scenarios.json_rows import json_lines, parsed_json, reading
from agentgym.traces import langfuse, langsmith, openai_jsonl, openinference, otlp
from agentgym.traces.past_conversation import StoredConversation

KINDS: tuple[ModuleType, ...] = (otlp, openinference, langsmith, langfuse, openai_jsonl)
"""Each has `NAME`, `reads(value)` and `conversations(values)`; the first that reads the
first value of a file reads all of it."""
_MOST_BYTES = 2**30
"""Of a file that is one JSON document: it is read as a whole."""


def read_traces(path: Path) -> tuple[str, list[StoredConversation]]:
    """The conversations of a file.

    Args:
        path: JSON lines, one JSON document, or a list in one.

    Returns:
        The name of the kind, and the conversations.

    Raises:
        UsageError: It cannot be read, or is of no kind that is known, or of two.
    """
    values = _values(path)
    place, first = next(values, ("", None))
    if not place:
        raise UsageError(f"{path} is empty")
    kind = next((kind for kind in KINDS if kind.reads(first)), None)
    if kind is None:
        known = ", ".join(kind.NAME for kind in KINDS)
        raise UsageError(f"{place}: this is no trace that is known: known are {known}")

    def checked() -> Iterator[Any]:
        yield first
        for place, value in values:
            if not kind.reads(value):
                other = next((each.NAME for each in KINDS if each.reads(value)), None)
                what = f"this is of {other}" if other else "this is no such trace"
                raise UsageError(
                    f"{place}: {what}, and what is before it is of {kind.NAME}: give "
                    "a file of each kind"
                )
            yield value

    return str(kind.NAME), list(kind.conversations(checked()))


def _values(path: Path) -> Iterator[tuple[str, Any]]:
    """What a file holds, each with its place."""
    with reading(path):
        lines = _is_lines(path)
        large = path.stat().st_size > _MOST_BYTES
    if lines:
        yield from json_lines(path)
        return
    if large:
        raise UsageError(
            f"{path} is one JSON document of more than 1 GB: export JSON lines, or "
            "fewer traces"
        )
    with reading(path):
        found = parsed_json(path.read_text(encoding="utf-8"), str(path))
    whole = isinstance(found, list) and not any(kind.reads(found) for kind in KINDS)
    for number, value in enumerate(found if whole else [found], 1):
        yield (f"{path}: item {number}" if whole else str(path)), value


def _is_lines(path: Path) -> bool:
    """Whether the first line is a JSON value by itself, and more follows."""
    with path.open(encoding="utf-8") as file:
        first = next((line for line in file if line.strip()), "")
        more = any(line.strip() for line in file)
    if not first:
        return True
    try:
        json.loads(first)
    except (ValueError, RecursionError):
        return path.suffix in (".jsonl", ".ndjson")
    return more
