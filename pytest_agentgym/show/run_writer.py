"""Writes the files of a run: its folder, the page, and what options name besides."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agentgym.runs.files.layout import EPISODES, RUNS, TRAINING
from agentgym.runs.files.store import RunStore, ended_early, write_json
from agentgym.runs.summary_json import SummaryJson
from pytest_agentgym.show.html_report import HtmlReport
from pytest_agentgym.show.options import FILE_OPTIONS


class RunWriter:
    """Main process: the run's folder, `--agentgym-json` and `--agentgym-report`.

    Args:
        config: Of the main process.

    Attributes:
        store: The run's folder; None before there is an episode to store.
        finished: Whether all is in the run's folder that belongs there.

    Raises:
        pytest.UsageError: The page cannot be written where it is wanted.
    """

    def __init__(self, config: pytest.Config) -> None:
        options = config.stash[FILE_OPTIONS]
        self._root = config.rootpath
        self._html = HtmlReport(config, options.report)
        self._json: Path | None = None
        if options.summary is not None:
            self._json = config.invocation_params.dir / options.summary
        self.store: RunStore | None = None
        self._resumed = False
        self.finished = False

    def open(self, resumed: Path | None = None) -> RunStore:
        """Opens the run's folder, or one of an earlier run to go on with."""
        if self.store is None:
            self.store = RunStore(self._root, resumed)
            self._resumed = resumed is not None
        return self.store

    def killed_before(self) -> Iterator[str]:
        """What is left of the last run, if that was killed: one line, or none."""
        folder = ended_early(self._root / RUNS)
        if folder is None:
            return
        line = (
            f"agentgym: the last run was killed before its report: what had finished "
            f"is in {relative(folder / EPISODES)}"
        )
        if (folder / TRAINING).exists():
            line += "; --agentgym-resume goes on with it"
        yield line

    def write(self, summary: SummaryJson, warnings: list[str]) -> None:
        """Writes what a run leaves at its end.

        Args:
            summary: The content of `summary.json`.
            warnings: Those of the run; a sentence is added for each file that cannot
                be written.
        """
        store = self.store
        summary["folder"] = None if store is None else str(store.folder)
        folder = None
        # A training that could not go on leaves what its earlier session wrote.
        refused = self._resumed and summary.get("training") is None
        if store is not None and not refused:
            store.write_summary(summary)
            if store.warning is not None:
                warnings.append(store.warning)
            store.close()
            self.finished = store.warning is None
            folder = store.folder if self.finished else None
        content: SummaryJson = {**summary, "warnings": list(warnings)}
        warnings += self._html.write(folder, content, own=not self._resumed)
        if self._json is not None:
            try:
                self._json.parent.mkdir(parents=True, exist_ok=True)
                write_json(self._json, summary)
            except OSError as exc:
                why = exc.strerror or exc
                warnings.append(
                    f"--agentgym-json: {self._json} cannot be written: {why}"
                )

    def places(self) -> Iterator[str]:
        """Where the files are, a line each."""
        if self.store is not None and self.store.warning is None:
            yield f"stored in {relative(self.store.folder)}"
        if self._html.files:
            yield f"report: {relative(self._html.files[-1])}"


def relative(path: Path) -> Path:
    """The path as seen from the current folder, if it is in it."""
    try:
        return path.relative_to(Path.cwd())
    except ValueError:
        return path
