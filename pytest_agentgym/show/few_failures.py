"""The worst of many scenarios that failed; all of them with `-v`, or as `-r` asks."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from agentgym.runs.summary import RunSummary
from pytest_agentgym.play.run_context import MANY_SCENARIOS

MOST = 10
"""Scenarios in FAILURES and in the short summary."""
_KINDS = ("failed", "error")
_USUAL = "fE"
"""What pytest's `-r` is unless it is given."""


class FewFailures:
    """Main process: leaves most scenarios out where hundreds failed.

    Args:
        config: Of the main process.
        summary: What the run has come to.
    """

    def __init__(self, config: pytest.Config, summary: RunSummary) -> None:
        self._summary = summary
        # Without pytest's terminal plugin there is no such option, and nothing shown.
        asked = config.getoption("reportchars", _USUAL)
        self._all = config.get_verbosity() > 0 or (
            asked != _USUAL and not {"f", "F", "E", "a", "A"}.isdisjoint(asked)
        )

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter
    ) -> Generator[None, object, object]:
        """Takes them from what pytest is going to show, and gives them back after."""
        stats = terminalreporter.stats
        kept = {kind: stats[kind] for kind in _KINDS if kind in stats}
        shown = {kind: self._worst(reports) for kind, reports in kept.items()}
        hidden = sum(len(kept[kind]) - len(shown[kind]) for kind in kept)
        few = len(self._summary.scenarios) <= MANY_SCENARIOS
        if self._all or few or not hidden:
            return (yield)
        stats.update(shown)
        try:
            return (yield)
        finally:
            # The last line counts them.
            stats.update(kept)
            terminalreporter.write_line(
                f"... and {hidden} more: the table of scenarios has them all, "
                "-v shows each as these",
                yellow=True,
            )

    def _worst(self, reports: list[Any]) -> list[Any]:
        ours = [report for report in reports if hasattr(report, "agentgym")]
        worst = {id(report) for report in sorted(ours, key=self._reliability)[:MOST]}
        return [
            report
            for report in reports
            if not hasattr(report, "agentgym") or id(report) in worst
        ]

    def _reliability(self, report: Any) -> float:
        scenario = self._summary.scenarios.get(report.nodeid)
        # One that cannot be judged, or errored, is worse than any share.
        if scenario is None or not scenario.judgeable:
            return -1.0
        return scenario.reliability.value or 0.0
