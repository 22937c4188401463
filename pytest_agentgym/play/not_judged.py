"""What keeps a scenario from being judged though none of its episodes says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agentgym.runs.gate import Reason, ReasonKind
from agentgym.runs.summary import RunSummary
from pytest_agentgym.collect.scenario_code import mentions_scenarios
from pytest_agentgym.play.run_context import RunContext

_ENDED = {
    "setup": "set-up failed",
    "call": "ended early",
    "teardown": "tear-down failed",
}
_UNEXPECTED = ReasonKind.passed_unexpectedly


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
        """Notes an error outside of any episode, and a strict xfail that passed."""
        about = report.agentgym
        if report.skipped:
            self._skipped.add(report.nodeid)
        mistake, error = about["usage_error"], about.get("error")
        if mistake is not None:
            # Also of one that is expected to fail: that is no failure of the agent.
            # Most say which scenario has it; a reason does, too.
            mistake = mistake.removeprefix(f"{report.nodeid}: ")
            self._summary.not_judged(report.nodeid, mistake, ReasonKind.usage)
        elif not report.failed:
            return
        elif error is not None:
            text = f"{_ENDED[report.when]}: {error}"
            self._summary.not_judged(report.nodeid, text)
        elif not about["below"]:
            self._failed_by_a_plugin(report)

    def _failed_by_a_plugin(self, report: Any) -> None:
        """Notes why an item failed in which nothing was raised."""
        text = str(report.longrepr).strip().partition("\n")[0]
        if text.startswith("[XPASS(strict)]"):
            text, kind = "passed, though it was expected to fail", _UNEXPECTED
        else:
            text, kind = f"{_ENDED[report.when]}: {text}", ReasonKind.errored
        self._summary.not_judged(report.nodeid, text, kind)

    def other_reported(self, report: Any) -> None:
        """Notes the scenario that an xdist worker was playing when it died."""
        if getattr(report, "failed", False) and report.nodeid in self._run.selected:
            text = str(report.longrepr).strip().partition("\n")[0]
            self._summary.not_judged(report.nodeid, f"ended early: {text}")

    def conclude(self, session: pytest.Session) -> None:
        """Notes the scenarios of which nothing was seen, as after `-x`."""
        if self._summary.interrupted or _plays_nothing(session.config):
            return
        seen = {reason.scenario for reason in self._summary.outside_reasons}
        seen |= self._skipped | self._summary.scenarios.keys()
        # `-x` or `--maxfail`; with xdist it is an interruption.
        why = f": {session.shouldfail}" if session.shouldfail else ""
        for name in self._run.selected:
            if name not in seen:
                text = f"was not played{why}"
                self._summary.not_judged(name, text, ReasonKind.not_played)


class NotCollected:
    """Notes the files whose scenarios are missing, since they cannot be collected.

    Without `--continue-on-collection-errors` such a file ends the run.

    Args:
        config: Of the main process.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._names: list[str] = []

    def reported(self, report: pytest.CollectReport) -> None:
        """Takes in what came of the collection of a file or folder."""
        if not report.failed:
            return
        pack = self._config.pluginmanager.get_plugin("agentgym-pack")
        place = self._config.rootpath / report.nodeid.partition("::")[0]
        if pack is not None:
            place = pack.file_of(report.nodeid)
        files = [place] if place.is_file() else place.rglob("*.py")
        if any(map(_has_scenarios, files)):
            self._names.append(report.nodeid)

    def conclude(self, summary: RunSummary) -> None:
        """Has the gate know them, if it judges what was played."""
        if summary.interrupted or _plays_nothing(self._config):
            return
        for name in self._names:
            sentence = f"{name} cannot be collected"
            summary.note(Reason(kind=ReasonKind.errored, sentence=sentence))


def _plays_nothing(config: pytest.Config) -> bool:
    """As it should: `--setup-plan` and `--setup-only` play nothing either."""
    return bool(config.option.collectonly or config.getoption("setuponly", False))


def _has_scenarios(file: Path) -> bool:
    try:
        return mentions_scenarios(file.read_bytes())
    except OSError:
        return False
