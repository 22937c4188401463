"""The runs of a project as a table."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import Any

from agentgym.runs.files.outlines import KeptRun, Outline
from agentgym.runs.lines import (
    SURE,
    Line,
    TableRow,
    duration,
    interval,
    left,
    percent,
    table,
    wrapped,
)
from agentgym.runs.summary_json import TrainingJson

WIDE = 110
"""Characters of a terminal that has room for the date and the policy."""
MOST_POLICY = 24

_COLOURS = {True: "green", False: "red", None: "yellow"}
_GATE = {True: "met", False: "not met", None: "not judged"}


def list_lines(runs: Sequence[KeptRun], width: int = 80) -> Iterator[Line]:
    """A row for each run; below, why some of them cannot be read.

    Args:
        runs: In the order in which they are shown.
        width: Characters that a line may have; a wide one has room for more columns.
    """
    wide = width >= WIDE
    columns = ["what", "scenarios", "episodes", f"reliability ({SURE})", "gate"]
    if wide:
        columns[0:0] = ["started"]
        columns[2:2] = ["policy"]
    else:
        columns[1:3] = ["scen.", "episod."]
    rows = [row for run in runs for row in _rows(run, wide)]
    yield from table(columns, rows, width)
    for run in runs:
        if run.problem is not None:
            text = f"{run.id}: {run.problem}"
            yield from wrapped(text, width, markup={"yellow": True}, hanging="  ")


def _rows(run: KeptRun, wide: bool) -> Iterator[TableRow]:
    outline = run.outline
    cells = [run.what, "-", "-", "-", run.state]
    policy, met = "-", None
    if outline is not None:
        policy, met = outline["policy"] or "-", outline["met"]
        cells[1:] = [
            str(len(outline["scenarios"])),
            str(outline["episodes"]),
            _reliability(outline),
            _GATE[met] if run.state == "finished" else run.state,
        ]
    if wide:
        started = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.started))
        cells[0:0] = [started]
        # The end of a path, or of an endpoint, is the model's name.
        cells[2:2] = [left(policy, MOST_POLICY)]
    yield TableRow(run.id, cells, {_COLOURS[met]: True})
    if outline is not None and outline["training"] is not None:
        yield TableRow(f"    {training_in_short(outline['training'])}")


def _reliability(outline: Outline) -> str:
    share = outline["reliability"]
    if share["value"] is None:
        return "-"
    return f"{percent(share['value'])} ({interval(share['low'], share['high'])})"


def training_in_short(training: TrainingJson) -> str:
    """Before and after, how long it took, and what it made.

    Args:
        training: The `training` object of `summary.json`, of any version.
    """
    shares = {"before": training.get("before"), "after": training.get("after")}
    parts = [
        f"{percent(share['value'])} {name}" for name, share in shares.items() if share
    ]
    parts.append(duration(training.get("seconds", 0.0)))
    agent = training.get("agent")
    made = f": {PurePath(agent).parent.name}_{PurePath(agent).name}" if agent else ""
    return ", ".join(parts) + made


def run_json(run: KeptRun) -> dict[str, Any]:
    """The form that `agentgym runs --json` prints."""
    return {
        "run": run.id,
        "what": run.what,
        "folder": str(run.folder),
        "report": None if run.page is None else str(run.page),
        "state": run.state,
        "problem": run.problem,
        "started": run.started,
        **(run.outline or {}),
    }
