"""One HTML file: template, style and script inlined, data in compressed blocks.

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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, TextIO

from agentgym.errors import UsageError

LEVEL = 3
"""Of compression; higher ones take longer than they save."""

Emit = Callable[[str, bytes], None]
"""Takes a block's name and its zlib-compressed content."""

_PLACE = re.compile(r"\{\{(\w+)\}\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """What a kind of page looks like.

    Attributes:
        scripts: Files in this folder, in the order in which they are joined.
        styles: The same.
        skip: The element that those who use a keyboard may skip to, and its name.
    """

    scripts: Sequence[str]
    styles: Sequence[str]
    skip: tuple[str, str]


def write_document(
    path: Path, title: str, design: Design, blocks: Callable[[Emit], None]
) -> None:
    """Writes a page; an old file at `path` is replaced at the end.

    Args:
        path: The file.
        title: Of the window.
        design: What it looks like.
        blocks: Emits the page's data.

    Raises:
        OSError: The file cannot be written.
    """
    with _replaced(path) as file:
        _write(file, title, design, blocks)


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


def packed(data: Any) -> bytes:
    """What `readReport` of the scripts reads: JSON, compressed."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return zlib.compress(text.encode(), LEVEL)


def _write(
    file: TextIO, title: str, design: Design, blocks: Callable[[Emit], None]
) -> None:
    style = "\n".join(map(_asset, design.styles))
    joined = "\n".join(map(_asset, design.scripts))
    script = f'(() => {{\n"use strict";\n{joined}}})();\n'
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src "
        f"'{_hash(style)}'; base-uri 'none'; form-action 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )
    values: dict[str, str | Callable[[], None]] = {
        "title": html.escape(title),
        "policy": policy,
        "style": style,
        "script": script,
        "target": design.skip[0],
        "skip": design.skip[1],
        "blocks": lambda: blocks(lambda name, data: _write_block(file, name, data)),
    }
    parts = _PLACE.split(_asset("template.html"))
    for number, part in enumerate(parts):
        value = values[part] if number % 2 else part
        if isinstance(value, str):
            file.write(value)
        else:
            value()


def _write_block(file: TextIO, name: str, data: bytes) -> None:
    text = base64.b64encode(data).decode()
    file.write(f'<script type="application/json" data-block="{name}">"{text}"</script>')
    file.write("\n")


def _asset(name: str) -> str:
    return (resources.files(__package__) / name).read_text(encoding="utf-8")


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
