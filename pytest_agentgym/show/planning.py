"""`--agentgym-plan`: says what a verdict takes, and plays nothing."""

from __future__ import annotations

import pytest

from agentgym.report.episode_plan import known_costs, plan
from pytest_agentgym.collect.collection import ScenarioItem
from pytest_agentgym.play.run_context import RUN
from pytest_agentgym.show.sections import report_width, write_lines


class Planner:
    """Takes the place of playing and reporting."""

    def __init__(self, config: pytest.Config) -> None:
        self._run = config.stash[RUN]
        self._root = config.rootpath
        self._thresholds: dict[str, float] = {}
        # xdist has nothing to distribute; it looks at these in its own configuration.
        for name, value in (("dist", "no"), ("tx", []), ("numprocesses", None)):
            if hasattr(config.option, name):
                setattr(config.option, name, value)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """Notes the scenarios; what cannot be collected is pytest's to report."""
        if session.testsfailed:
            return None
        self._thresholds = {
            item.nodeid: self._run.threshold_of(item)
            for item in session.items
            if isinstance(item, ScenarioItem)
        }
        return True

    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter
    ) -> None:
        """Prints the plan."""
        writer = terminalreporter
        writer.section("agentgym plan", "=", bold=True)
        if not self._thresholds:
            writer.write_line("agentgym: there is no scenario to plan for")
            return
        costs = known_costs(self._root, list(self._thresholds))
        lines = plan(self._thresholds, costs, report_width(writer))
        write_lines(writer, lines)
