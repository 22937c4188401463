"""The main process: takes reports in, and hands them to what shows and stores them."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator
from typing import Any, Protocol

import pytest

from agentgym.report import terminal
from agentgym.runs.files.store import RunStore
from agentgym.runs.gate import Reason, ReasonKind
from agentgym.runs.summary import RunSummary
from agentgym.runs.summary_json import SummaryJson
from pytest_agentgym.play.episode_report import EpisodeReport
from pytest_agentgym.play.not_judged import NotCollected
from pytest_agentgym.show.embedded_tools import EmbeddedTools
from pytest_agentgym.show.few_failures import FewFailures
from pytest_agentgym.show.late_failures import LateFailures
from pytest_agentgym.show.origin import ORIGIN
from pytest_agentgym.show.run_writer import RunWriter
from pytest_agentgym.show.sections import (
    report_width,
    write_empty_report,
    write_report,
)


class Reported(Protocol):
    """What a run is about: a measurement, or a training.

    Attributes:
        summary: What it has come to.
        usage_errors: Mistakes of the user.
    """

    summary: RunSummary
    usage_errors: list[str]

    def add(self, report: EpisodeReport) -> None:
        """Episodes finished; without any, a scenario begins."""

    def scenario_reported(self, report: Any) -> None:
        """A step of a scenario's item is over: set-up, call or tear-down."""

    def other_reported(self, report: Any) -> None:
        """The same of anything else."""

    def say(self, text: str) -> None:
        """Shows a line, also while an item runs."""

    def close(self) -> None:
        """No more episodes come: leaves the terminal to others."""

    def interrupt(self, why: str | None = None) -> None:
        """The run does not come to its end.

        Args:
            why: What ended it, if it was not ended by hand.
        """

    def conclude(self, session: pytest.Session, writer: RunWriter) -> None:
        """Gives the summary the last that it must know to decide the gate.

        Args:
            session: Says why it ended.
            writer: Has the run's folder.
        """

    def to_json(self) -> SummaryJson:
        """The content of `summary.json`."""

    def nothing(self) -> str | None:
        """Why there is nothing to report, if it is not that no scenario was run."""

    def verdict(self, width: int) -> Iterator[terminal.Line]:
        """The last sections of the report."""


def register_reporter(
    config: pytest.Config, reported: Reported, writer: RunWriter
) -> None:
    """Registers what reports a run.

    Args:
        config: Of the main process.
        reported: What the run is about.
        writer: Writes the run's files.
    """
    late = LateFailures(config)
    config.pluginmanager.register(late, "agentgym-late-failures")
    reporter = Reporter(config, reported, writer, late)
    config.pluginmanager.register(reporter, "agentgym-reporter")
    few = FewFailures(config, reported.summary)
    config.pluginmanager.register(few, "agentgym-few-failures")


class Reporter:
    """Reports a run: other parts of the plugin find it as `agentgym-reporter`.

    Args:
        config: Of the main process.
        reported: What the run is about.
        writer: Writes the run's files.
        late: Fails what only the gate fails.
    """

    def __init__(
        self,
        config: pytest.Config,
        reported: Reported,
        writer: RunWriter,
        late: LateFailures,
    ) -> None:
        self._config = config
        self._reported = reported
        self._writer = writer
        self._late = late
        self._not_collected = NotCollected(config)
        self._embedded_tools = EmbeddedTools()

    @property
    def summary(self) -> RunSummary:
        """What the run has come to so far."""
        return self._reported.summary

    @property
    def store(self) -> RunStore | None:
        """The run's folder, if there is one yet."""
        return self._writer.store

    def say(self, text: str) -> None:
        """Shows a line, also while an item runs."""
        self._reported.say(text)

    def pytest_report_header(self) -> list[str]:
        """Says what became of the last run, where its own process no longer could."""
        option = self._config.getoption
        if option("collectonly") or option("agentgym_resume") is not None:
            return []
        return list(self._writer.killed_before())

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Notes a file whose scenarios are missing in a run that goes on without it."""
        self._not_collected.reported(report)

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Takes in the episodes that just finished, and each scenario's steps."""
        if isinstance(report, EpisodeReport):
            self._add(report)
        elif getattr(report, "agentgym", None) is None:
            self._reported.other_reported(report)
        else:
            self._scenario_reported(report)

    def _add(self, report: EpisodeReport) -> None:
        # Without episodes it says that a scenario begins.
        if report.lines:
            store = self._writer.open()
            self.summary.run_id = store.id
            store.add_prompts(report.prompts)
            store.append(report.lines)
        self._reported.add(report)
        unknown = self._embedded_tools.look(report)
        if unknown is not None:
            # At once: what is measured or trained after that is waste.
            self.say(unknown)
            self.summary.warnings.append(unknown)
        finished = self._config.hook.pytest_agentgym_episode_finished
        for episode in report.episodes:
            finished(episode=episode)

    def _scenario_reported(self, report: Any) -> None:
        about = report.agentgym
        # A training's reports come in the order of the collection, and have no number.
        places = self.summary.collected
        places.setdefault(report.nodeid, about.get("collected", len(places)))
        if report.nodeid in self.summary.scenarios:
            scenario = self.summary.scenario(report.nodeid, about["threshold"])
            scenario.xfail |= hasattr(report, "wasxfail") and report.skipped
        if about["usage_error"]:
            self._reported.usage_errors.append(about["usage_error"])
        self._reported.scenario_reported(report)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self) -> Generator[None, object, object]:
        """Ends the live view with the run, however it ends."""
        try:
            return (yield)
        finally:
            self._reported.close()

    def pytest_keyboard_interrupt(
        self, excinfo: pytest.ExceptionInfo[BaseException]
    ) -> None:
        """Notes that the report is not of the whole run."""
        # pytest ends runs so, too: after an error of collection, or as -x asks for.
        ended = isinstance(excinfo.value, pytest.Session.Interrupted)
        why = f"{excinfo.value}; only complete runs are judged" if ended else None
        self._reported.interrupt(why)

    def pytest_internalerror(self) -> None:
        """Notes the same of a run that an error of pytest or of a plugin ended."""
        self._reported.interrupt(
            "an internal error ended the run; only complete runs are judged"
        )

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(
        self, session: pytest.Session
    ) -> Generator[None, object, object]:
        """Lets the summary decide before others show it; writes it after them."""
        self._reported.conclude(session, self._writer)
        self._refuse()
        self._not_collected.conclude(self.summary)
        self.summary.conclude()
        self._late.fail(session, self.summary.decision)
        self._keep_what_errored()
        result = yield
        data = self._reported.to_json()
        data["usage_errors"] = list(dict.fromkeys(self._reported.usage_errors))
        data["origin"] = self._config.stash[ORIGIN].to_json(data["policy"])
        if not self._config.getoption("collectonly"):
            self._writer.write(data, self.summary.warnings)
        self._set_exit_code(session, data["exit_code"])
        return result

    def _keep_what_errored(self) -> None:
        """Opens the folder of a run that errored before its first episode.

        Who looks for its `summary.json` later shall find why nothing was played.
        """
        errored = self.summary.decision.holds(ReasonKind.errored, ReasonKind.not_played)
        training = self._config.getoption("agentgym_train")
        if errored and not training and self._writer.store is None:
            self.summary.run_id = self._writer.open().id

    def _refuse(self) -> None:
        """Has the gate know the user's mistakes that no scenario's reason tells."""
        told = {
            text
            for reason in self.summary.outside_reasons
            for text in (reason.sentence, str(reason))
        }
        for text in self._reported.usage_errors:
            if text not in told:
                self.summary.note(Reason(kind=ReasonKind.usage, sentence=text))

    def _set_exit_code(self, session: pytest.Session, decided: int) -> None:
        judged = (
            pytest.ExitCode.OK,
            pytest.ExitCode.TESTS_FAILED,
            # A mistake of the user comes first, also of a run that was interrupted.
            pytest.ExitCode.INTERRUPTED,
        )
        if session.exitstatus in judged:
            # An ordinary test that failed beside reliable scenarios still counts.
            session.exitstatus = decided or session.exitstatus

    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter
    ) -> None:
        """Prints the report."""
        if self._config.getoption("collectonly"):
            return
        summary, errors = self.summary, self._reported.usage_errors
        width = report_width(terminalreporter)
        if not summary.scenarios:
            mistakes = "; ".join(dict.fromkeys(errors))
            why = mistakes or self._reported.nothing() or "no scenario was run"
            decision = summary.decision
            known = decision.of_scenarios or decision.holds(ReasonKind.errored)
            lines = terminal.verdict(summary, width) if known and not errors else ()
            write_empty_report(terminalreporter, why, lines)
            return
        extra = self._config.hook.pytest_agentgym_report_section(summary=summary)
        write_report(
            terminalreporter,
            summary,
            extra=itertools.chain.from_iterable(extra),
            verdict=self._reported.verdict(width),
            mistakes=self._mistakes_of_scenarios(),
            warnings=summary.warnings,
            places=self._writer.places(),
        )

    def _mistakes_of_scenarios(self) -> list[str]:
        """The user's mistakes that the gate's sentence counts, but does not tell."""
        reasons = self.summary.decision.of_scenarios
        usage = [str(reason) for reason in reasons if reason.kind is ReasonKind.usage]
        return list(dict.fromkeys(usage))
