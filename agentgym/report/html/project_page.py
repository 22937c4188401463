"""The page over all runs of a project, which links those of its runs."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from agentgym.distribution import __version__
from agentgym.report.html.document import Design, Emit, packed, write_document
from agentgym.runs.files.layout import REPORT
from agentgym.runs.files.outlines import KeptRun, Outline
from agentgym.runs.files.updates import read_curve

_SHARED = ("dom", "text", "format", "data", "charts", "overview", "tables")
_OWN = ("lists", "history", "trainings", "run_table", "main")
DESIGN = Design(
    scripts=[
        *(f"script/{name}.js" for name in _SHARED),
        *(f"project/{name}.js" for name in _OWN),
    ],
    styles=["style.css", "project/project.css"],
    skip=("#runs", "Skip to the runs"),
)
MOST_UPDATES = 200
"""Of a learning curve: more are not told apart on a screen."""


def write_project(path: Path, runs: Sequence[KeptRun]) -> None:
    """Writes the page; an old file at `path` is replaced at the end.

    Args:
        path: The file: links to the runs' own pages are relative to it.
        runs: All of the project, in a folder beside the file; the newest last.

    Raises:
        OSError: The file cannot be written.
    """
    names = _Numbered()
    shown = [_run(run, path.parent, names) for run in runs]
    report = {
        "project": path.resolve().parent.parent.name,
        "made": time.time(),
        "version": __version__,
        "scenarios": list(names),
        "runs": shown,
    }
    write_document(
        path,
        f"agentgym: {report['project']}",
        DESIGN,
        lambda emit: _emit(emit, report),
    )


def _emit(emit: Emit, report: Mapping[str, Any]) -> None:
    emit("report", packed(report))


class _Numbered(dict[str, int]):
    """Numbers scenarios, in the order of asking: each name is written once."""

    def __missing__(self, name: str) -> int:
        self[name] = number = len(self)
        return number


def _run(run: KeptRun, beside: Path, names: _Numbered) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": run.id,
        "started": run.started,
        "what": run.what,
        "state": run.state,
        "problem": run.problem,
        "page": _link(run, beside),
    }
    if run.what == "trained":
        shown["updates"] = _curve(run.folder)
    if run.outline is not None:
        shown |= {**run.outline, "scenarios": _rows(run.outline, names)}
    return shown


def _link(run: KeptRun, beside: Path) -> str | None:
    """The relative address of a run's own page."""
    if run.page is None:
        return None
    parts = (*run.folder.relative_to(beside).parts, REPORT)
    return "/".join(quote(part, safe="") for part in parts)


def _curve(folder: Path) -> list[dict[str, Any]]:
    try:
        return read_curve(folder, MOST_UPDATES)
    except OSError:
        return []


def _rows(outline: Outline, names: _Numbered) -> Iterable[list[Any]]:
    """The scenarios' rows; `project/history.js` names their places."""
    rows = []
    for scenario in outline["scenarios"]:
        share = scenario["reliability"]
        ends = (share["value"], share["low"], share["high"])
        rows.append(
            [
                names[scenario["name"]],
                scenario["passed"],
                scenario["counted"],
                *(None if end is None else round(end, 6) for end in ends),
                share["threshold"],
                scenario["met"],
                int(scenario["xfail"]),
            ]
        )
    return rows
