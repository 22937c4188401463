"""Finds and reads what earlier runs left."""

from __future__ import annotations

import difflib
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentgym.distribution import DISTRIBUTION
from agentgym.errors import UsageError
from agentgym.recording.plain import shorten
from agentgym.runs.files.earlier import fields_of_later_versions, upgraded
from agentgym.runs.files.layout import EPISODES, RUNS, SUMMARY, SUMMARY_FORMAT
from agentgym.runs.files.shape import check_shape, loads
from agentgym.runs.summary_json import SummaryJson

LATEST = "latest"
_FIELDS = (
    "format",
    "episodes",
    "exit_code",
    "reliability",
    "run",
    "scenarios",
    "tools",
)


_OF_BASELINE = ("scenarios", "tools", "newly_failing", "newly_fixed", "prompts")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRun:
    """What there is of a run.

    Attributes:
        name: Its id, or the name of the file.
        summary: Its `summary.json`, under whatever name.
        episodes: Its `episodes.jsonl`.
    """

    name: str
    summary: Path | None
    episodes: Path | None


def find_run(given: str, folder: Path) -> StoredRun:
    """Finds the files of one run.

    Args:
        given: A run's folder or one of its files, a folder of runs, whose latest is
            meant, a run's id or the beginning of one, or `latest`.
        folder: Where to look for ids: a folder of runs.

    Raises:
        UsageError: There is no such run.
    """
    path = Path(given)
    # What is too long for a path may be asked for only there.
    if os.path.isfile(path):
        return _beside(path)
    if os.path.isdir(path):
        found = _in_folder(path) or next(finished_runs(path), None)
        if found is not None:
            return found
        raise UsageError(f"{path} is no run: it has no {SUMMARY} and no {EPISODES}")
    if given == LATEST:
        found = next(finished_runs(folder), None)
        if found is not None:
            return found
        raise UsageError(
            f"there is no run with a {SUMMARY} in {folder}: run pytest --agentgym first"
        )
    # A part of a path is no part of an id, and would be a pattern of its own.
    named = [p for p in _folders(folder) if p.name.startswith(given)] if given else []
    runs = [run for run in map(_in_folder, named) if run is not None]
    if len(runs) == 1:
        return runs[0]
    if runs:
        raise UsageError(f"{given} begins the ids of {len(runs)} runs: write one whole")
    raise UsageError(
        f"{shorten(given, 100)} is no run: it is no file, no folder and no id of a run "
        f"in {folder} ({nearest_id(given, folder)})"
    )


def nearest_id(given: str, folder: Path) -> str:
    """Who may have been meant by what is no id, or where the ids are.

    Args:
        given: By the user.
        folder: A folder of runs.
    """
    ids = [path.name for path in _folders(folder)]
    # All ids begin alike, with a date.
    near = difflib.get_close_matches(given, ids, 1, 0.8)
    return f"did you mean {near[0]}?" if near else "agentgym runs lists them"


def finished_runs(folder: Path) -> Iterator[StoredRun]:
    """The runs in a folder that came to an end, the latest first."""
    files = [path for path in folder.glob(f"*/{SUMMARY}") if path.is_file()]
    for path in sorted(files, key=_age, reverse=True):
        yield _beside(path)


def _age(summary: Path) -> tuple[str, int]:
    # A run's name begins with its time, in seconds: two may have the same.
    return summary.parent.name[: len("20260801-120000")], summary.stat().st_mtime_ns


def runs_folder(start: Path | None = None) -> Path:
    """The `.agentgym/runs` of a folder (the current one) or of one above it."""
    here = Path.cwd() if start is None else start
    found = (folder / RUNS for folder in (here, *here.parents))
    return next((folder for folder in found if folder.is_dir()), here / RUNS)


def _folders(runs: Path) -> list[Path]:
    return [path for path in runs.glob("*") if path.is_dir()]


def _in_folder(path: Path) -> StoredRun | None:
    summary, episodes = path / SUMMARY, path / EPISODES
    if not summary.is_file() and not episodes.is_file():
        return None
    return StoredRun(
        name=path.resolve().name,
        summary=summary if summary.is_file() else None,
        episodes=episodes if episodes.is_file() else None,
    )


def _beside(file: Path) -> StoredRun:
    """A file of a run, and the other one if both have their own names."""
    whole = _in_folder(file.parent)
    if whole is not None and file.name in (SUMMARY, EPISODES):
        return whole
    lines = file.suffix == ".jsonl"
    return StoredRun(
        name=file.name,
        summary=None if lines else file,
        episodes=file if lines else None,
    )


def find_summary(given: str, folder: Path) -> Path:
    """Finds a run's `summary.json`.

    Args:
        given: See `find_run`.
        folder: Where to look for ids: a folder of runs.

    Raises:
        UsageError: There is none.
    """
    run = find_run(given, folder)
    if run.summary is None:
        raise UsageError(f"{run.name} has no {SUMMARY}: it was killed, or is not over")
    return run.summary


def read_summary(file: Path, *, outline: bool = False) -> SummaryJson:
    """Reads a `summary.json`.

    Args:
        file: Of this version, or of an earlier one of the same format.
        outline: Whether what grows with checks, tools and cases is left out, which
            takes a third of the time.

    Returns:
        What this version would have written, whichever wrote it.

    Raises:
        UsageError: It cannot be read; the message says why.
    """
    try:
        found = loads(file.read_text(encoding="utf-8"))
    except OSError as exc:
        raise UsageError(f"{file} cannot be read: {exc.strerror or exc}") from exc
    except ValueError as exc:
        raise UsageError(f"{file} is no summary of a run: {exc}") from exc
    _check_is_summary(file, found)
    if outline:
        _leave_out_details(found)
    try:
        check_shape(found, SummaryJson, fields_of_later_versions)
        time.localtime(found["started"])
        _check_counts(found)
        return upgraded(found)
    except (ValueError, OverflowError, OSError) as exc:
        # Some systems know no time after the year 2038, or before 1970.
        what = exc if type(exc) is ValueError else "started is no time"
        raise UsageError(
            f"{file}: {what}; mend the file, or leave this run out"
        ) from exc


def _leave_out_details(summary: dict[str, Any]) -> None:
    """Makes long lists empty; whatever else is there, is checked later."""
    parts: list[tuple[Any, tuple[str, ...]]] = [
        (summary, ("tools",)),
        (summary.get("baseline"), _OF_BASELINE),
    ]
    if isinstance(summary["scenarios"], list):
        parts += [(one, ("checks", "case_results")) for one in summary["scenarios"]]
    for part, names in parts:
        if isinstance(part, dict):
            part.update({name: [] for name in names if name in part})


def _check_counts(summary: Mapping[str, Any]) -> None:
    """Raises a ValueError for counts that no run has: reports calculate with them."""
    for number, scenario in enumerate(summary["scenarios"]):
        outcomes, played = scenario["outcomes"], scenario["episodes"]
        if min(outcomes.values()) < 0 or sum(outcomes.values()) != played:
            raise ValueError(
                f"scenarios[{number}].outcomes are not of {played} episodes"
            )


def _check_is_summary(file: Path, found: Any) -> None:
    """Raises a UsageError for what is no summary, or one of a newer version."""
    if not isinstance(found, dict):
        raise UsageError(f"{file} is no summary of a run: it is no object")
    missing = [name for name in _FIELDS if name not in found]
    if missing:
        raise UsageError(f"{file} is no summary of a run: it has no {missing[0]!r}")
    version = found["format"]
    if type(version) is not int or version < 1:
        raise UsageError(
            f"{file} is no summary of a run: its format is no whole number from 1"
        )
    if version > SUMMARY_FORMAT:
        raise UsageError(
            f"{file} has format {version}, which this version of agentgym "
            f"cannot read: update {DISTRIBUTION}"
        )
