"""Scenarios that are certain by themselves, and not together with the others."""

from __future__ import annotations

from typing import Any

import pytest

from agentgym.runs.gate import GateDecision, ReasonKind


class LateFailures:
    """Main process: fails the items that only the gate fails, once it is decided.

    A certified gate corrects each scenario's verdict for the number of scenarios, so
    an item that was over passed on what was known of it alone.

    Args:
        config: Of the main process.

    Attributes:
        failed: Why, by node id.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._passed: dict[str, Any] = {}
        self.failed: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Keeps the report of a scenario that passed."""
        ours = getattr(report, "agentgym", None) is not None
        if ours and report.when == "call" and report.passed:
            self._passed[report.nodeid] = report

    def fail(self, session: pytest.Session, decision: GateDecision) -> None:
        """Fails them for pytest's counts, its summary, and the next `--lf`.

        Args:
            session: Counts its failed items.
            decision: The gate's.
        """
        for reason in decision.of_scenarios:
            report = self._passed.get(reason.scenario or "")
            if report is None or reason.kind is not ReasonKind.not_certified:
                continue
            report.outcome = "failed"
            report.longrepr = text = (
                "certified by itself, but not together with the run's other "
                f"scenarios: {reason.sentence}"
            )
            self.failed[report.nodeid] = text
            session.testsfailed += 1
            self._tell(report)

    def _tell(self, report: Any) -> None:
        plugins = self._config.pluginmanager
        shown = plugins.get_plugin("terminalreporter")
        if shown is not None and report in shown.stats.get("passed", ()):
            shown.stats["passed"].remove(report)
            shown.stats.setdefault("failed", []).append(report)
        last_failed = plugins.get_plugin("lfplugin")
        if last_failed is not None:
            last_failed.pytest_runtest_logreport(report)
