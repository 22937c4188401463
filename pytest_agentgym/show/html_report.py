"""Writes the HTML report at the end of a run: into its folder, and where wanted."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agentgym.errors import UsageError
from agentgym.runs.files.layout import REPORT

if TYPE_CHECKING:
    from agentgym.runs.summary_json import SummaryJson


class HtmlReport:
    """The report of a run, of which one copy is always in the run's folder.

    Args:
        config: Of the main process.
        wanted: The value of `--agentgym-report`.

    Attributes:
        files: Where it was written.

    Raises:
        pytest.UsageError: It could not be written where it is wanted.
    """

    def __init__(self, config: pytest.Config, wanted: str | None) -> None:
        self.files: list[Path] = []
        self._wanted = None
        if wanted is not None:
            from agentgym.report.html import check_writable

            self._wanted = config.invocation_params.dir / wanted
            try:
                check_writable(self._wanted)
            except UsageError as exc:
                raise pytest.UsageError(f"--agentgym-report: {exc}") from exc

    def write(
        self, folder: Path | None, summary: SummaryJson, *, own: bool
    ) -> Iterator[str]:
        """Writes it; yields a sentence for each file that could not be written.

        Args:
            folder: The run's folder, None if nothing is stored there.
            summary: The content of `summary.json`.
            own: Whether all of its episodes were written by this run.
        """
        from agentgym.report.html import write_html

        place = None if folder is None else folder / REPORT
        for path in (place, self._wanted):
            if path is None:
                continue
            try:
                if self.files:
                    self._copy(self.files[0], path)
                else:
                    write_html(folder, path, summary, own=own)
            except OSError as exc:
                yield f"{path} cannot be written: {exc.strerror or exc}"
            else:
                self.files.append(path)

    def _copy(self, source: Path, path: Path) -> None:
        with suppress(shutil.SameFileError):
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, path)
