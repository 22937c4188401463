"""Writes the page: template, style and script inlined, data in compressed blocks.

Nothing in it is fetched and no text of an agent is ever markup: data are base64 within
`<script type="application/json">`, the script shows them as text nodes, and the page's
own policy allows this one script and style by their hashes.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
import re
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import resources
from pathlib import Path
from typing import Any, TextIO

from agentgym.errors import UsageError
from agentgym.report.html.episodes import LEVEL, EpisodePacker
from agentgym.runs.files.prompts import read_prompts
from agentgym.runs.files.updates import read_updates
from agentgym.runs.summary_json import SummaryJson

SCRIPTS = (
    "dom",
    "text",
    "format",
    "data",
    "charts",
    "overview",
    "tables",
    "cases",
    "comparison",
    "cost",
    "conversation",
    "browser",
    "main",
)
MOST_PROMPTS = 2_000_000
"""Characters of all system prompts and tools."""
_PLACE = re.compile(r"\{\{(\w+)\}\}")
_UPDATE_FIELDS = ("update", "version", "passed", "reliability", "reward", "elapsed")


def write_html(
    folder: Path | None, path: Path, summary: SummaryJson, *, own: bool = False
) -> list[str]:
    """Writes a run's report; an old file at `path` is replaced at the end.

    Args:
        folder: The run's folder; None if nothing was stored.
        path: The file.
        summary: The content of `summary.json`.
        own: Whether this process wrote the folder's episodes.

    Returns:
        Sentences about what is not in the page.

    Raises:
        OSError: The file cannot be written.
    """
    with _replaced(path) as file:
        return _write(file, folder, summary, own)


def check_writable(path: Path) -> None:
    """Finds out before a run whether its report could be written.

    Raises:
        UsageError: It could not; the message says why.
    """
    try:
        if path.is_dir():
            raise IsADirectoryError(21, "it is a folder: name a file in it")
        if path.exists() and not path.is_file():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as exc:
        raise UsageError(f"{path} cannot be written: {exc.strerror or exc}") from exc


def _write(
    file: TextIO, folder: Path | None, summary: SummaryJson, own: bool
) -> list[str]:
    style, script = _asset("style.css"), _script()
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src "
        f"'{_hash(style)}'; base-uri 'none'; form-action 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )
    notes: list[str] = []

    def blocks() -> None:
        packer = EpisodePacker(lambda name, data: _write_block(file, name, data))
        if folder is not None:
            _add_episodes(packer, folder / "episodes.jsonl", own)
        names = packer.finish()
        notes.extend(packer.notes)
        report = {
            "summary": summary,
            "updates": _updates(folder),
            "prompts": _prompts(folder, notes),
            "notes": notes,
            **names,
        }
        data = json.dumps(report, separators=(",", ":"), allow_nan=False)
        _write_block(file, "report", zlib.compress(data.encode(), LEVEL))

    values: dict[str, str | Callable[[], None]] = {
        "title": html.escape(f"agentgym: {summary['run']}"),
        "policy": policy,
        "style": style,
        "script": script,
        "blocks": blocks,
    }
    parts = _PLACE.split(_asset("template.html"))
    for number, part in enumerate(parts):
        value = values[part] if number % 2 else part
        if isinstance(value, str):
            file.write(value)
        else:
            value()
    return notes


def _add_episodes(packer: EpisodePacker, path: Path, own: bool) -> None:
    try:
        packer.add_file(path, own=own)
    except OSError as exc:
        packer.notes.append(f"{path} cannot be read: {exc.strerror or exc}.")


def _updates(folder: Path | None) -> list[dict[str, Any]]:
    """What the learning curve shows of a training's updates."""
    rows = read_updates(folder) if folder is not None else ()
    return [
        {name: row[name] for name in _UPDATE_FIELDS}
        for row in rows
        if all(isinstance(row.get(name), int | float) for name in _UPDATE_FIELDS)
    ]


def _prompts(folder: Path | None, notes: list[str]) -> dict[str, Any]:
    """What models were asked by, as much of it as a page can bear."""
    kept: dict[str, Any] = {}
    room = MOST_PROMPTS
    found = {} if folder is None else read_prompts(folder)
    for digest, line in found.items():
        room -= len(json.dumps(line))
        if room < 0:
            notes.append(
                f"{len(found) - len(kept)} of {len(found)} system prompts and lists of "
                "tools are left out to keep this page small; prompts.jsonl has them."
            )
            break
        kept[digest] = line
    return kept


def _write_block(file: TextIO, name: str, data: bytes) -> None:
    text = base64.b64encode(data).decode()
    file.write(f'<script type="application/json" data-block="{name}">"{text}"</script>')
    file.write("\n")


def _asset(name: str) -> str:
    return (resources.files(__package__) / name).read_text(encoding="utf-8")


def _script() -> str:
    parts = "\n".join(_asset(f"script/{name}.js") for name in SCRIPTS)
    return f'(() => {{\n"use strict";\n{parts}}})();\n'


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


@contextmanager
def _replaced(path: Path) -> Iterator[TextIO]:
    """A file that takes the place of another one when it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not path.is_file():
        # A pipe or /dev/stdout cannot be replaced.
        with path.open("w", encoding="utf-8", newline="\n") as file:
            yield file
        return
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("w", encoding="utf-8", newline="\n") as file:
            yield file
        partial.replace(path)
    finally:
        with suppress(OSError):
            partial.unlink()
