"""The page of one run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from agentgym.report.html.document import Design, Emit, packed, write_document
from agentgym.report.html.episodes import EpisodePacker
from agentgym.runs.files.layout import EPISODES
from agentgym.runs.files.prompts import read_prompts
from agentgym.runs.files.updates import read_curve
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
DESIGN = Design(
    scripts=[f"script/{name}.js" for name in SCRIPTS],
    styles=["style.css"],
    skip=("#episodes", "Skip to the episodes"),
)
MOST_PROMPTS = 2_000_000
"""Characters of all system prompts and tools."""


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
    notes: list[str] = []

    def blocks(emit: Emit) -> None:
        packer = EpisodePacker(emit)
        if folder is not None:
            _add_episodes(packer, folder / EPISODES, own)
        names = packer.finish()
        notes.extend(packer.notes)
        report = {
            "summary": summary,
            "updates": [] if folder is None else read_curve(folder),
            "prompts": _prompts(folder, notes),
            "notes": notes,
            **names,
        }
        emit("report", packed(report))

    write_document(path, f"agentgym: {summary['run']}", DESIGN, blocks)
    return notes


def _add_episodes(packer: EpisodePacker, path: Path, own: bool) -> None:
    try:
        packer.add_file(path, own=own)
    except OSError as exc:
        packer.notes.append(f"{path} cannot be read: {exc.strerror or exc}.")


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
