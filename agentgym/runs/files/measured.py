"""Reads `measured.jsonl`: the episodes that a training was measured by."""

from __future__ import annotations

import json
import os
from collections.abc import Container, Iterator
from pathlib import Path
from typing import NotRequired, TypedDict

from agentgym.runs.files.layout import MEASURED
from agentgym.runs.files.shape import check_shape, loads


class MeasuredLine(TypedDict):
    """A line: a task of a training, and what came of it.

    Attributes:
        scenario: Node id.
        split: "held_out".
        case: Number of the case.
        phase: "before" or "after".
        repeat: Number of the repeat of the case.
        version: The policy version that was measured.
        outcome: A value of `agentgym.recording.blame.Outcome`.
        id: The episode's.
        reward: In [0, 1]; null if the outcome is not the agent's doing.
        traits: What the agent did and said, as `agentgym.training.job.traits` has it.
    """

    scenario: str
    split: str
    case: int
    phase: str
    repeat: int
    version: int
    outcome: str
    id: str
    reward: NotRequired[float | None]
    traits: NotRequired[dict[str, object] | None]


def read_measured(folder: Path) -> Iterator[MeasuredLine]:
    """The measured episodes of a run, in order; a line that is none is left out.

    Args:
        folder: The run's folder.
    """
    path = folder / MEASURED
    if not path.is_file():
        return
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            line: MeasuredLine = loads(text)
            check_shape(line, MeasuredLine)
        except ValueError:
            continue
        yield line


def drop_unstored(folder: Path, stored: Container[str]) -> None:
    """Leaves out what was measured by episodes that a killed run could not store.

    A training that goes on plays them again.

    Args:
        folder: The run's folder.
        stored: Ids of the episodes that it has.

    Raises:
        OSError: The file cannot be written.
    """
    path = folder / MEASURED
    lines = list(read_measured(folder))
    kept = [line for line in lines if line["id"] in stored]
    if len(kept) < len(lines):
        partial = path.with_name(f"{MEASURED}.{os.getpid()}.partial")
        text = "".join(json.dumps(line) + "\n" for line in kept)
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)


def measured_ids(folder: Path, phase: str, version: int) -> list[str]:
    """Ids of the run's episodes that a measurement is made of.

    Args:
        folder: The run's folder.
        phase: "before" or "after".
        version: The policy version that was measured.
    """
    # A task that was played again counts once, with its last episode.
    ids = {
        (line["scenario"], line["case"], line["repeat"]): line["id"]
        for line in read_measured(folder)
        if line["phase"] == phase and line["version"] == version
    }
    return list(ids.values())
