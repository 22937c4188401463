"""What keeps a scenario from being judged though none of its episodes says so."""

from __future__ import annotations

from typing import Any

import pytest

from agentgym.runs.gate import ReasonKind
from agentgym.runs.summary import RunSummary
from pytest_agentgym.play.run_context import RunContext

_ENDED = {
    "setup": "set-up failed",
    "call": "ended early",
    "teardown": "tear-down failed",
}


class NotJudged:
    """Notes in the summary which scenarios cannot be judged, and why.

    Args:
        summary: Decides the gate.
        run: Knows which scenarios were to be played.
    """

    def __init__(self, summary: RunSummary, run: RunContext) -> None:
        self._summary = summary
        self._run = run
        self._skipped: set[str] = set()

    def scenario_reported(self, report: Any) -> None:
        """Notes an error outside of any episode."""
        about = report.agentgym
        if report.skipped:
            self._skipped.add(report.nodeid)
        error = about["usage_error"]
        if about.get("error") is not None:
            error = f"{_ENDED[report.when]}: {about['error']}"
        if report.failed and error is not None:
            self._summary.not_judged(report.nodeid, error)

    def other_reported(self, report: Any) -> None:
        """Notes the scenario that an xdist worker was playing when it died."""
        if getattr(report, "failed", False) and report.nodeid in self._run.selected:
            text = str(report.longrepr).strip().partition("\n")[0]
            self._summary.not_judged(report.nodeid, f"ended early: {text}")

    def conclude(self, session: pytest.Session) -> None:
        """Notes the scenarios of which nothing was seen, as after `-x`."""
        option = session.config.option
        # `--setup-plan` and `--setup-only` play nothing, as they should.
        if self._summary.interrupted or option.collectonly or option.setuponly:
            return
        seen = {reason.scenario for reason in self._summary.besides}
        seen |= self._skipped | self._summary.scenarios.keys()
        # `-x` or `--maxfail`; with xdist it is an interruption.
        why = f": {session.shouldfail}" if session.shouldfail else ""
        for name in self._run.selected:
            if name not in seen:
                text = f"was not played{why}"
                self._summary.not_judged(name, text, ReasonKind.not_played)
