"""The reporter of a measurement: its numbers, its live view, its end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from agentgym.report import terminal
from agentgym.runs.gate import Reason, ReasonKind
from agentgym.runs.lines import count
from agentgym.runs.summary import RunSummary
from agentgym.runs.summary_json import SummaryJson
from pytest_agentgym.collect.policy import POLICY
from pytest_agentgym.play.episode_report import EpisodeReport
from pytest_agentgym.play.limits.budget import Budget
from pytest_agentgym.play.limits.cost_options import COST_OPTIONS
from pytest_agentgym.play.limits.early_end import RunEnd
from pytest_agentgym.play.not_judged import NotJudged
from pytest_agentgym.play.run_context import RUN
from pytest_agentgym.show.baseline import open_baseline
from pytest_agentgym.show.live.display import LiveDisplay
from pytest_agentgym.show.live.screen import Screen
from pytest_agentgym.show.options import K_OPTION
from pytest_agentgym.show.reporter import register_reporter
from pytest_agentgym.show.run_writer import RunWriter


def register_measurement(config: pytest.Config) -> None:
    """Registers what reports a measurement, and what keeps it within its limits.

    Raises:
        pytest.UsageError: The baseline cannot be read, or the page not be written.
    """
    measurement = MeasurementReporter(config, Screen(config))
    register_reporter(config, measurement, RunWriter(config))
    limits = config.stash[COST_OPTIONS]
    if limits.max_usd is None and limits.max_tokens is None:
        return
    budget = Budget(
        limits,
        lambda: measurement.summary.spent,
        measurement.end.at_limit,
        measurement.usage_errors.append,
    )
    config.pluginmanager.register(budget, "agentgym-budget")


class MeasurementReporter:
    """Reports a run that measures: see `Reported`.

    Args:
        config: Of the main process.
        screen: Where episodes are shown as they come.

    Attributes:
        end: Ends the run early.
    """

    def __init__(self, config: pytest.Config, screen: Screen) -> None:
        run = config.stash[RUN]
        options = run.options
        self.usage_errors: list[str] = []
        self.summary = RunSummary(
            threshold=options.threshold,
            seed=options.seed,
            prices=run.prices,
            gate=options.gate,
            stop=options.stop,
            ks=config.stash[K_OPTION],
        )
        self.end = RunEnd(
            self.summary,
            run.early_end,
            lambda: config.pluginmanager.has_plugin("dsession"),
            sequential=options.stop != "fixed",
        )
        self._not_judged = NotJudged(self.summary, run)
        self._baseline = open_baseline(config)
        self._policy = config.stash[POLICY]
        self._display = LiveDisplay(screen, options.threshold, lambda: run.many)

    def add(self, report: EpisodeReport) -> None:
        """Adds up and shows the episodes that just finished."""
        self.summary.planned = report.planned
        self.summary.skip(report.nodeid, report.skips, planned=report.of_scenario)
        for episode in report.episodes:
            self.summary.add(episode)
            if self._baseline is not None and not episode.alone:
                self._baseline.add(episode)
        if report.nodeid in self.summary.scenarios:
            scenario = self.summary.scenarios[report.nodeid]
            scenario.planned = report.of_scenario
            scenario.cases.one_case = report.one_case
            scenario.listed = report.listed
        self._display.add(report, self.summary.spent)

    def scenario_reported(self, report: Any) -> None:
        """Notes how far a scenario came, and whether the run is decided by it."""
        self._not_judged.scenario_reported(report)
        self._display.scenario_ended(report.nodeid)
        self.end.scenario_ended(report)

    def other_reported(self, report: Any) -> None:
        """Notes a worker's death: pytest-xdist reports it as any test's failure."""
        self._not_judged.other_reported(report)

    def say(self, text: str) -> None:
        """Shows a line, also while an item runs."""
        self._display.say(text)

    def close(self) -> None:
        """Ends the live view."""
        self._display.close()

    def interrupt(self, why: str | None = None) -> None:
        """Notes that the report is not of the whole run.

        Args:
            why: What ended it, if it was not ended by hand.
        """
        numbers = self._display.numbers
        self.summary.interrupted = (numbers.done, numbers.planned)
        if why is not None:
            self.summary.note(Reason(kind=ReasonKind.interrupted, sentence=why))

    def conclude(self, session: pytest.Session, writer: RunWriter) -> None:
        """Gives the summary the last that it must know to decide the gate.

        Args:
            session: Says why it ended.
            writer: Has the run's folder.
        """
        numbers = self._display.numbers
        self.end.conclude(numbers.done, numbers.planned)
        self._not_judged.conclude(session)
        restarts = self._policy.restarts
        if restarts:
            self.summary.warnings.append(
                "the policy server died, and was started again "
                f"{count(restarts, 'time')}; episodes in flight had another attempt"
            )
        if self._baseline is not None and self.summary.scenarios:
            self._baseline.compare(self.summary, writer.store)

    def to_json(self) -> SummaryJson:
        """The content of `summary.json`."""
        return self.summary.to_json()

    def nothing(self) -> None:
        """Nothing to add."""

    def verdict(self, width: int) -> Iterator[terminal.Line]:
        """The last section of the report."""
        yield terminal.Heading("verdict")
        yield from terminal.verdict(self.summary, width)
