"""What lists of runs show of each: read once, and kept beside the runs.

A summary of a large run has hundreds of kilobytes, and a project has hundreds of runs:
reading all of them takes seconds each time.
"""

from __future__ import annotations

import calendar
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from agentgym.distribution import __version__
from agentgym.errors import UsageError
from agentgym.runs.files.earlier import fields_of_later_versions
from agentgym.runs.files.layout import EPISODES, REPORT, SUMMARY, TRAINING
from agentgym.runs.files.shape import check_shape, loads
from agentgym.runs.files.store import write_json
from agentgym.runs.files.stored import LATEST, nearest_id, read_summary
from agentgym.runs.summary_json import (
    ReliabilityJson,
    ScenarioJson,
    SummaryJson,
    TrainingJson,
)

KEPT = ".outlines.json"
_TIME = "%Y%m%d-%H%M%S"


class ScenarioOutline(TypedDict):
    """A scenario of a run."""

    name: str
    passed: int
    counted: int
    reliability: ReliabilityJson
    met: bool | None
    xfail: bool


class Outline(TypedDict):
    """A run that came to an end.

    Attributes:
        episodes: Those that were played, whatever their outcome.
        sentence: What the gate says.
        baseline: The run that it was compared with.
    """

    started: float
    seconds: float
    policy: str | None
    episodes: int
    interrupted: bool
    reliability: ReliabilityJson
    met: bool | None
    sentence: str
    qualifier: str | None
    baseline: str | None
    training: TrainingJson | None
    scenarios: list[ScenarioOutline]


class _Kept(TypedDict):
    """Outlines by the folders' names, each with what its file was like."""

    version: str
    files: dict[str, list[int]]
    outlines: dict[str, Outline]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptRun:
    """A folder among those of runs.

    Attributes:
        folder: Where it is; its name is the run's id.
        started: Seconds since 1970.
        outline: None if it has no summary that can be read.
        problem: Why that is so.
        what: What was done: "measured", "compared" or "trained"; "-" if nobody knows.
        state: "finished", "interrupted", "not over", "damaged", or "no run".
    """

    folder: Path
    started: float
    outline: Outline | None
    problem: str | None
    what: str
    state: str

    @property
    def id(self) -> str:
        """The run's id."""
        return self.folder.name

    @property
    def page(self) -> Path | None:
        """Its own HTML report, if it is there."""
        page = self.folder / REPORT
        # A folder that may not be read is no error here.
        return page if os.path.isfile(page) else None


def kept_runs(folder: Path) -> list[KeptRun]:
    """All runs in a folder, the newest last, those that are damaged, too.

    Args:
        folder: A folder of runs, or none.

    Raises:
        OSError: The folder cannot be read.
    """
    if not folder.is_dir():
        return []
    outlines = _Outlines(folder)
    found = [_kept_run(path, outlines) for path in folder.iterdir() if path.is_dir()]
    outlines.keep()
    runs = [run for run in found if run is not None]
    return sorted(runs, key=lambda run: (run.started, run.id))


def find_kept(given: str, runs: list[KeptRun], folder: Path) -> KeptRun:
    """The run that is meant, damaged or not.

    Args:
        given: An id, the beginning of one, or `latest`, which is one that is over.
        runs: All of them, the newest last.
        folder: Where they are.

    Raises:
        UsageError: There is none, or there are several.
    """
    over = [run for run in runs if run.outline is not None]
    if given == LATEST and over:
        return over[-1]
    named = [run for run in runs if run.id == given]
    named = named or [run for run in runs if given and run.id.startswith(given)]
    if len(named) == 1:
        return named[0]
    if named:
        raise UsageError(
            f"{given} begins the ids of {len(named)} runs: write one whole"
        )
    raise UsageError(
        f"{given} is no run in {folder} ({nearest_id(given, folder)})"
        if runs
        else f"there is no run in {folder}: run pytest --agentgym first"
    )


def _kept_run(folder: Path, outlines: _Outlines) -> KeptRun | None:
    """What is in a folder; None if it was deleted in the meantime."""
    try:
        return _read_run(folder, outlines)
    except FileNotFoundError:
        return None
    except OSError as error:
        return KeptRun(
            folder=folder,
            started=_started(folder),
            outline=None,
            problem=f"it cannot be read: {error.strerror or error}",
            what="-",
            state="damaged",
        )


def _read_run(folder: Path, outlines: _Outlines) -> KeptRun:
    trains = (folder / TRAINING).is_file()
    what = "trained" if trains else "measured"
    summary, outline = folder / SUMMARY, None
    problem: str | None = None
    if summary.is_file():
        try:
            outline = outlines.read(summary)
            what = _what(outline)
            state = "interrupted" if outline["interrupted"] else "finished"
        except UsageError as error:
            problem, state = str(error).replace(str(summary), SUMMARY), "damaged"
    elif trains or (folder / EPISODES).is_file():
        problem, state = _not_over(folder), "not over"
    else:
        what, state = "-", "no run"
        problem = f"it has no {SUMMARY} and no {EPISODES}"
    return KeptRun(
        folder=folder,
        started=_started(folder) if outline is None else outline["started"],
        outline=outline,
        problem=problem,
        what=what,
        state=state,
    )


def _what(outline: Outline) -> str:
    if outline["training"] is not None:
        return "trained"
    return "measured" if outline["baseline"] is None else "compared"


def _not_over(folder: Path) -> str:
    files = [folder / TRAINING, folder / EPISODES]
    latest = max(path.stat().st_mtime for path in files if path.is_file())
    written = time.strftime("%Y-%m-%d %H:%M", time.localtime(latest))
    return f"killed, or not over: it has no {SUMMARY}; last written {written}"


def _started(folder: Path) -> float:
    """When a run without a summary began, as its name says."""
    try:
        # What an id begins with is UTC.
        return float(calendar.timegm(time.strptime(folder.name[:15], _TIME)))
    except ValueError:
        return folder.stat().st_mtime


class _Outlines:
    """Reads outlines, most of them from a file of before."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / KEPT
        self._before = _read_kept(self._file)
        self._now: _Kept = {"version": __version__, "files": {}, "outlines": {}}

    def read(self, summary: Path) -> Outline:
        """Reads a run's outline; raises a UsageError if that cannot be done."""
        status = summary.stat()
        state, name = [status.st_mtime_ns, status.st_size], summary.parent.name
        if self._before["files"].get(name) == state:
            outline = self._before["outlines"][name]
        else:
            outline = _outline(read_summary(summary, outline=True))
        self._now["files"][name] = state
        self._now["outlines"][name] = outline
        return outline

    def keep(self) -> None:
        """Writes the file anew if something is new; no matter if it cannot."""
        if self._now == self._before:
            return
        with suppress(OSError):
            write_json(self._file, self._now)


def _read_kept(file: Path) -> _Kept:
    """What was kept; nothing, if another version has kept it, or somebody cut it."""
    try:
        found = loads(file.read_text(encoding="utf-8"), finite=True)
        check_shape(found, _Kept, fields_of_later_versions)
        if found["version"] == __version__ and found["files"].keys() == (
            found["outlines"].keys()
        ):
            kept: _Kept = found
            return kept
    except (OSError, ValueError):
        pass
    return {"version": "", "files": {}, "outlines": {}}


def _outline(summary: SummaryJson) -> Outline:
    decision = summary["decision"]
    baseline = summary.get("baseline")
    return {
        "started": summary["started"],
        "seconds": summary["seconds"],
        "policy": summary.get("policy"),
        "episodes": sum(one["episodes"] for one in summary["scenarios"]),
        "interrupted": summary["interrupted"],
        "reliability": summary["reliability"],
        "met": decision["met"],
        "sentence": decision["sentence"],
        "qualifier": decision["qualifier"],
        "baseline": None if baseline is None else baseline["before"]["run"],
        "training": summary.get("training"),
        "scenarios": list(map(_scenario_outline, summary["scenarios"])),
    }


def _scenario_outline(scenario: ScenarioJson) -> ScenarioOutline:
    outcomes = scenario["outcomes"]
    return {
        "name": scenario["name"],
        "passed": outcomes["passed"],
        "counted": outcomes["passed"] + outcomes["failed"],
        "reliability": scenario["reliability"],
        "met": scenario["met"],
        "xfail": scenario["xfail"],
    }
