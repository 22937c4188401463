"""Finds and reads what earlier runs left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from agentgym.errors import UsageError
from agentgym.report.summary import FORMAT

SUMMARY = "summary.json"
RUNS = Path(".agentgym", "runs")
_FIELDS = ("episodes", "exit_code", "reliability", "run", "scenarios", "tools")


def find_summary(path: Path | None = None) -> Path:
    """Finds a run's `summary.json`.

    Args:
        path: The file, its run's folder, or a folder of runs, whose latest is meant; by
            default `.agentgym/runs` of the current folder or one above it.

    Raises:
        UsageError: There is none.
    """
    if path is None:
        here = Path.cwd()
        for folder in (here, *here.parents):
            found = _latest(folder / RUNS)
            if found is not None:
                return found
        raise UsageError(
            f"there is no run with a {SUMMARY} in {RUNS} of {here} or a folder above "
            "it: run pytest --agentgym first"
        )
    if path.is_file():
        return path
    if (path / SUMMARY).is_file():
        return path / SUMMARY
    found = _latest(path)
    if found is None:
        what = f"has no {SUMMARY}" if path.is_dir() else "does not exist"
        raise UsageError(f"{path} is no run: it {what}")
    return found


def _latest(runs: Path) -> Path | None:
    # A run's name begins with its time.
    return max(runs.glob(f"*/{SUMMARY}"), default=None)


def read_summary(file: Path) -> dict[str, Any]:
    """Reads a `summary.json`.

    Raises:
        UsageError: It cannot be read; the message says why.
    """
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise TypeError("it is no object")
        newer = found["format"] > FORMAT
        missing = [name for name in _FIELDS if name not in found]
    except OSError as exc:
        raise UsageError(f"{file} cannot be read: {exc.strerror or exc}") from exc
    except KeyError as exc:
        raise UsageError(f"{file} is no summary of a run: it has no {exc}") from exc
    except (ValueError, TypeError) as exc:
        raise UsageError(f"{file} is no summary of a run: {exc}") from exc
    if newer:
        raise UsageError(
            f"{file} has format {found['format']}, which this version of agentgym "
            "cannot read: update agentgym"
        )
    if missing:
        raise UsageError(f"{file} is no summary of a run: it has no {missing[0]!r}")
    return found
