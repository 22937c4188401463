"""`--agentgym-baseline`: the run that is compared with the one that is going on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from agentgym.errors import UsageError
from agentgym.playing.episode import Episode
from pytest_agentgym.show.options import BASELINE_OPTIONS

if TYPE_CHECKING:
    from agentgym.runs.files.store import RunStore
    from agentgym.runs.lines import Line
    from agentgym.runs.summary import RunSummary


class Baseline:
    """An earlier run, and what is kept of the episodes of this one.

    Args:
        given: A run's id, folder or file, or `latest`.
        max_drop: How much reliability may be lost, in [0, 1].
        config: Of the main process.

    Raises:
        UsageError: There is no such run, or it cannot be read.
    """

    def __init__(
        self, given: str, max_drop: float | None, config: pytest.Config
    ) -> None:
        from agentgym.runs.comparison import compare
        from agentgym.runs.files.layout import RUNS
        from agentgym.runs.side import Side, open_side

        here = config.invocation_params.dir / given
        run = str(here) if os.path.exists(here) else given
        self._before = open_side(run, config.rootpath / RUNS)
        # What cannot be compared must be known before an episode is paid for.
        compare(self._before, Side(name="this run"), max_drop)
        self._after = Side(name="this run")
        self._max_drop = max_drop

    def add(self, episode: Episode) -> None:
        """Takes in an episode of this run."""
        self._after.add(episode)

    def compare(self, summary: RunSummary, store: RunStore | None) -> None:
        """Adds the comparison to the summary, when all episodes are there.

        Args:
            summary: Of this run.
            store: Where this run's episodes are; None if there is no folder.
        """
        from agentgym.runs.comparison import compare

        self._after.seed, self._after.policy = summary.seed, summary.policy
        self._after.xfail = {s.name for s in summary.ordered if s.xfail}
        if store is not None:
            self._after.name = store.id
            self._after.file = store.episodes_path
        summary.baseline = compare(self._before, self._after, self._max_drop)


def open_baseline(config: pytest.Config) -> Baseline | None:
    """The baseline, if there is one.

    Raises:
        pytest.UsageError: It cannot be read; says why and what to do.
    """
    options = config.stash[BASELINE_OPTIONS]
    if options is None:
        return None
    try:
        return Baseline(options.run, options.max_drop, config)
    except UsageError as exc:
        raise pytest.UsageError(f"--agentgym-baseline: {exc}") from None


def baseline_section(summary: RunSummary, width: int) -> Iterator[Line]:
    """What changed since the baseline; nothing without one.

    Args:
        summary: The run, added up.
        width: Characters that a line may have.
    """
    if summary.baseline is None:
        return
    from agentgym.report.comparison_terminal import comparison_lines, drop_verdict
    from agentgym.runs.lines import Heading

    yield Heading("against the baseline")
    yield from comparison_lines(summary.baseline, width, shown=1)
    if summary.baseline.allowed is not None:
        yield from drop_verdict(summary.baseline.allowed, width)
