"""The reports of scenarios at the end of a training: they pass or fail as tests do."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest

from agentgym.reliability import judge
from pytest_agentgym.play.scenario_result import ScenarioResult
from pytest_agentgym.training.catalogue import CatalogueEntry, deserialized


def item_reports(
    config: pytest.Config,
    entry: CatalogueEntry,
    tally: ScenarioResult | None,
    *,
    target: float,
    met: bool,
) -> Iterator[pytest.TestReport]:
    """Reports of set-up, call and tear-down.

    Args:
        config: Of the main process.
        entry: What was collected.
        tally: The scenario's episodes of the last measurement, None if there are none.
        target: What the run must reach.
        met: Whether it does; then only another threshold than that fails one.
    """
    setup = deserialized(config, entry.setup)
    threshold = target if entry.threshold is None else entry.threshold
    about = {"threshold": threshold, "usage_error": None, "below": True}
    setup.agentgym = about  # type: ignore[attr-defined]
    yield setup
    if not setup.passed:
        return
    teardown = _of(setup, "teardown")
    if tally is not None:
        call = _of(setup, "call")
        call.duration = tally.seconds
        # JUnit's plugin reads them at the end.
        call.user_properties = teardown.user_properties = [
            *setup.user_properties,
            *tally.properties(judge(tally.passed, tally.counted, threshold)),
        ]
        # As the gate has it. Without a limit it fails only if it cannot be judged.
        limit = 0.0 if met and threshold == target else threshold
        failure = tally.failure(limit)
        if failure is not None:
            call.outcome = "failed"
            call.longrepr = failure
        yield call
    yield teardown


def _of(setup: pytest.TestReport, when: str) -> pytest.TestReport:
    report = copy.copy(setup)
    report.when = when  # type: ignore[assignment]
    report.duration = 0.0
    report.sections = []
    return report
