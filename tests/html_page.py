"""Reads an HTML report as a browser does."""

from __future__ import annotations

import base64
import json
import re
import zlib
from pathlib import Path
from typing import Any

BLOCK = re.compile(
    r'<script type="application/json" data-block="(\w+)">"([\w+/=]*)"</script>'
)


class Page:
    """What a browser reads from the file."""

    def __init__(self, path: Path) -> None:
        self.text = path.read_text(encoding="utf-8")
        blocks: dict[str, list[str]] = {"chunk": [], "rows": [], "report": []}
        for name, content in BLOCK.findall(self.text):
            unpacked = zlib.decompress(base64.b64decode(content))
            blocks[name].append(unpacked.decode())
        self.report: dict[str, Any] = json.loads(blocks["report"][0])
        self.rows: list[list[Any]] = [
            row for text in blocks["rows"] for row in json.loads(text)
        ]
        self.chunks = [
            [json.loads(line) for line in text.splitlines()] for text in blocks["chunk"]
        ]

    @property
    def places(self) -> list[dict[str, Any] | None]:
        """The episode of each row, None where it was left out."""
        episodes: list[dict[str, Any] | None] = []
        for count, chunk in self.report["chunks"]:
            episodes += [None] * count if chunk is None else self.chunks[chunk]
        return episodes
