"""The main process: live progress, the run's files, the report, the exit code."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, TextIO

import pytest

from agentgym.exit_code import ExitCode
from agentgym.playing.episode import Episode
from agentgym.recording.blame import Outcome
from agentgym.reliability import RunStop, Verdict
from agentgym.report import terminal
from agentgym.runs.gate import ReasonKind
from agentgym.runs.store import RunStore, write_json
from agentgym.runs.summary import RunSummary
from agentgym.runs.summary_json import SummaryJson
from pytest_agentgym.play.episode_report import EpisodeReport
from pytest_agentgym.play.run_context import RUN
from pytest_agentgym.show.baseline import baseline_section, open_baseline
from pytest_agentgym.show.html_report import HtmlReport
from pytest_agentgym.show.live import Failures, Live, LivePanel, PlainLines
from pytest_agentgym.show.live_numbers import LiveNumbers
from pytest_agentgym.show.rootdir import misled_rootdir

_ENDED = {
    "setup": "set-up failed",
    "call": "ended early",
    "teardown": "tear-down failed",
}
_LETTERS = {
    Outcome.passed: (".", {"green": True}),
    Outcome.failed: ("F", {"red": True}),
    Outcome.infra_error: ("i", {"yellow": True}),
    Outcome.harness_error: ("h", {"yellow": True}),
    Outcome.simulator_error: ("s", {"yellow": True}),
}


class Reporter:
    """Collects the episodes of a run and tells what they say."""

    def __init__(self, config: pytest.Config) -> None:
        options = config.stash[RUN].options
        self.config = config
        self.options = options
        self.store: RunStore | None = None
        self.summary = RunSummary(
            threshold=options.threshold,
            seed=options.seed,
            prices=config.stash[RUN].prices,
            gate=options.gate,
            stop=options.stop,
        )
        misled = misled_rootdir(config)
        if misled is not None:
            self.summary.warnings.append(misled)
        self.usage_errors: list[str] = []
        self._skipped: set[str] = set()
        self._html = HtmlReport(config, options.report_path)
        self._limit: str | None = None
        self._run_stop: RunStop | None = None
        if options.stop == "sequential":
            self._run_stop = RunStop(options.threshold)
        self.baseline = open_baseline(options, config)
        self._done = 0
        self._planned = 0
        # While an item runs, pytest captures the file descriptor it reports to itself:
        # this copy of it still leads to the terminal.
        self._screen = _copy_of_stdout()
        self._numbers = LiveNumbers(threshold=options.threshold)
        self._failures = Failures()

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Takes in the episodes that just finished, and each scenario's end."""
        if isinstance(report, EpisodeReport):
            self._add(report)
            return
        about = getattr(report, "agentgym", None)
        if about is None:
            self._lost_worker(report)
            return
        self._outside_of_episodes(report, about)
        early = self._numbers.ended(report.nodeid)
        if early is not None and early.done and self._live is not None:
            self._live.update(early)
        if report.nodeid in self.summary.scenarios:
            scenario = self.summary.scenario(report.nodeid, about["threshold"])
            scenario.xfail |= hasattr(report, "wasxfail") and report.skipped
        if about["usage_error"]:
            self.usage_errors.append(about["usage_error"])
        if self._run_stop is not None:
            self._ended(self._run_stop, report)

    def _outside_of_episodes(self, report: Any, about: dict[str, Any]) -> None:
        """Notes what keeps a scenario from being judged, whatever its episodes say."""
        if report.skipped:
            self._skipped.add(report.nodeid)
        error = about["usage_error"]
        if about.get("error") is not None:
            error = f"{_ENDED[report.when]}: {about['error']}"
        if report.failed and error is not None:
            self.summary.not_judged(report.nodeid, error)

    def _lost_worker(self, report: Any) -> None:
        """Notes the scenario that an xdist worker was playing when it died."""
        run = self.config.stash[RUN]
        if getattr(report, "failed", False) and report.nodeid in run.selected:
            text = str(report.longrepr).strip().partition("\n")[0]
            self.summary.not_judged(report.nodeid, f"ended early: {text}")

    def _note_unplayed(self, session: pytest.Session) -> None:
        """Notes the scenarios of which nothing was seen, as after `-x`."""
        option = self.config.option
        # `--setup-plan` and `--setup-only` play nothing, as they should.
        if self.summary.interrupted or option.collectonly or option.setuponly:
            return
        seen = {reason.scenario for reason in self.summary.besides}
        seen |= self._skipped | self.summary.scenarios.keys()
        # `-x` or `--maxfail`; with xdist it is an interruption.
        why = f": {session.shouldfail}" if session.shouldfail else ""
        for name in self.config.stash[RUN].selected:
            if name not in seen:
                text = f"was not played{why}"
                self.summary.not_judged(name, text, ReasonKind.not_played)

    def _ended(self, stop: RunStop, report: Any) -> None:
        """Stops the run if, after a scenario's end, no other one can save it."""
        name, about = report.nodeid, report.agentgym
        if about["left_out"] and self.summary.settled is not None:
            self.summary.not_played[name] = about["planned"]
        if report.when != "teardown" or about["place"] is None:
            return
        played = [s for s in self.summary.gated if s.name == name]
        counts = (played[0].passed, played[0].counted) if played else None
        stop.ended(about["place"], about["scenarios"], counts)
        if (
            stop.enough
            and self._limit is None
            and self.summary.settled is None
            # Whether it can be judged at all comes first.
            and self.summary.judgeable
        ):
            self.summary.settled = stop.decision
            self.config.stash[RUN].finish_early(
                f"whatever this one does, the run is {Verdict.unreliable.value}"
            )

    def _add(self, report: EpisodeReport) -> None:
        self._planned = self.summary.planned = report.planned
        # Without episodes it says that a scenario begins.
        if report.lines:
            if self.store is None:
                self.store = RunStore(self.config.rootpath)
                self.summary.run_id = self.store.id
            self.store.append(report.lines)
        self._count(report)
        if report.nodeid in self.summary.scenarios:
            self.summary.scenarios[report.nodeid].planned = report.of_scenario
        finished = self.config.hook.pytest_agentgym_episode_finished
        for episode in report.episodes:
            finished(episode=episode)

    def _count(self, report: EpisodeReport) -> None:
        for episode in report.episodes:
            self._take(episode)
        scenario = self._numbers.take(report, self.summary.spent)
        live = self._live
        if live is None:
            self._show_letters([episode.outcome for episode in report.episodes])
            return
        self._done += len(report.episodes)
        for text, agents in self._failures.lines(report.episodes):
            live.say(text, **{"red" if agents else "yellow": True})
        live.update(scenario)

    def _take(self, episode: Episode) -> None:
        """Adds an episode to what the report says."""
        self.summary.add(episode)
        if self.baseline is not None:
            self.baseline.add(episode)

    @cached_property
    def _live(self) -> Live | None:
        """What shows the run while it goes on; None with `-q`."""
        writer, screen = self._terminal(), self._screen
        if writer is None or self.config.get_verbosity() < 0:
            return None
        tw = writer._tw
        if (
            screen is not None
            and tw._file is sys.__stdout__
            and tw.hasmarkup
            and screen.isatty()
            and os.environ.get("TERM") != "dumb"
            # Episodes then write to the terminal themselves.
            and self.config.getoption("capture") != "no"
            and not self.config.getoption("usepdb")
            and not self.config.getoption("trace")
            and has_rich()
        ):
            return LivePanel(self._numbers, writer, screen)
        return PlainLines(self._numbers, writer, lambda: self._uncaptured(tw))

    def say(self, text: str) -> None:
        """Shows a line, also while an item runs."""
        writer = self._terminal()
        if self._live is not None:
            self._live.say(text)
        elif writer is not None and self.config.get_verbosity() >= -1:
            with self._uncaptured(writer._tw):
                writer.ensure_newline()
                writer.write_line(text)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self) -> Generator[None, object, object]:
        """Ends the live view with the run, however it ends."""
        try:
            return (yield)
        finally:
            live = self.__dict__.get("_live")
            if live is not None:
                live.close()

    def _show_letters(self, outcomes: list[Outcome]) -> None:
        """One letter per episode, and at the line's end how much is done."""
        writer = self._terminal()
        if writer is None or self.config.get_verbosity() < -1:
            self._done += len(outcomes)
            return
        with self._uncaptured(writer._tw):
            width = writer._tw.fullwidth
            for outcome, group in itertools.groupby(outcomes):
                letter, markup = _LETTERS[outcome]
                left = len(list(group))
                while left:
                    room = width - 8 - writer._tw.width_of_current_line
                    count = min(left, max(room, 1))
                    writer.write(letter * count, **markup)
                    left -= count
                    self._done += count
                    if count >= room:
                        self._end_line(writer, width)
            writer.flush()

    def _end_line(self, writer: pytest.TerminalReporter, width: int) -> None:
        share = f"[{self._done * 100 // max(self._planned, 1):>3}%]"
        gap = width - 1 - writer._tw.width_of_current_line - len(share)
        writer.write(" " * max(gap, 1) + share + "\n", cyan=True)

    @contextmanager
    def _uncaptured(self, screen: Any) -> Iterator[None]:
        """Lets a terminal writer reach the terminal while an item runs."""
        file = screen._file
        if self._screen is None or file is not sys.__stdout__:
            yield
            return
        screen.flush()
        screen._file = self._screen
        try:
            yield
        finally:
            screen._file = file

    def pytest_unconfigure(self) -> None:
        """Closes the copy of the terminal."""
        if self._screen is not None:
            self._screen.close()

    def nothing(self) -> str:
        """Why there is nothing to report."""
        return "no scenario was run"

    def stop(self, why: str) -> None:
        """Has no further episode started, because of a limit of the run."""
        if self.summary.settled is not None:
            return
        self._limit = why
        self.config.stash[RUN].finish_early(why)

    def pytest_keyboard_interrupt(self) -> None:
        """Notes that the report is not of the whole run."""
        self.summary.interrupted = (self._done, self._planned)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(
        self, session: pytest.Session
    ) -> Generator[None, object, object]:
        """Lets the summary decide before others show it; writes it after them."""
        self._conclude(session)
        result = yield
        self._write(session)
        return result

    def _conclude(self, session: pytest.Session) -> None:
        """Gives the summary the last that it must know to decide the gate."""
        if self._limit is not None and self.summary.interrupted is None:
            if self._done < self._planned:
                self.summary.stopped = self._limit
                self.summary.interrupted = (self._done, self._planned)
            else:
                # The run is whole, and judged as any other.
                self.summary.warnings.append(f"{self._limit}, by the last episodes")
        self._note_unplayed(session)
        if self.baseline is not None and self.summary.scenarios:
            self.baseline.compare(self.summary, self.store)

    def _write(self, session: pytest.Session) -> None:
        """Writes the run's files, and sets the exit code that was decided."""
        data = self._to_json()
        data["usage_errors"] = list(dict.fromkeys(self.usage_errors))
        data["folder"] = None if self.store is None else str(self.store.folder)
        if self.store is not None:
            self.store.write_summary(data)
            if self.store.warning is not None:
                self.summary.warnings.append(self.store.warning)
            self.store.close()
            folder = None if self.store.warning else self.store.folder
            now: SummaryJson = {**data, "warnings": self.summary.warnings}
            self.summary.warnings += self._html.write(folder, now)
        if self.options.json_path is not None:
            self._write_json(Path(self.options.json_path), data)
        judged = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
        if session.exitstatus not in judged:
            return
        if self.usage_errors:
            session.exitstatus = ExitCode.USAGE
        elif self.summary.scenarios or self.summary.decision.of_scenarios:
            code = data["exit_code"]
            # An ordinary test that failed beside reliable scenarios still counts.
            session.exitstatus = code or session.exitstatus

    def _to_json(self) -> SummaryJson:
        """The content of `summary.json`."""
        return self.summary.to_json()

    def _write_json(self, path: Path, data: SummaryJson) -> None:
        path = self.config.invocation_params.dir / path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, data)
        except OSError as exc:
            self.summary.warnings.append(
                f"--agentgym-json: {path} cannot be written: {exc.strerror or exc}"
            )

    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter
    ) -> None:
        """Prints the report."""
        writer = terminalreporter
        if self.config.getoption("collectonly"):
            return
        width = min(writer._tw.fullwidth - 1, 120)
        if not self.summary.scenarios:
            text = "; ".join(dict.fromkeys(self.usage_errors)) or self.nothing()
            writer.section("agentgym", "=")
            writer.write_line(f"agentgym: {text}")
            if self.summary.decision.of_scenarios and not self.usage_errors:
                for line in terminal.verdict(self.summary, width):
                    write_line(writer, line)
            return
        writer.section("agentgym", "=", bold=True)
        for line in terminal.report(self.summary, width):
            write_line(writer, line)
        extra = self.config.hook.pytest_agentgym_report_section(summary=self.summary)
        for text in itertools.chain.from_iterable(extra):
            writer.write_line(text)
        for line in baseline_section(self.summary, width):
            write_line(writer, line)
        for line in self._verdict(width):
            write_line(writer, line)
        for text in dict.fromkeys(self.usage_errors + self.summary.warnings):
            writer.write_line(text, yellow=True)
        if self.store is not None and self.store.warning is None:
            writer.write_line(f"stored in {relative(self.store.folder)}")
        if self._html.files:
            writer.write_line(f"report: {relative(self._html.files[-1])}")

    def _verdict(self, width: int) -> Iterator[terminal.Line]:
        """The last section."""
        yield terminal.Heading("verdict")
        yield from terminal.verdict(self.summary, width)

    def _terminal(self) -> Any:
        return self.config.pluginmanager.get_plugin("terminalreporter")


def write_line(writer: pytest.TerminalReporter, line: terminal.Line) -> None:
    """Writes a line of a report."""
    if isinstance(line, terminal.Heading):
        writer.section(line.text, "-")
    else:
        writer.write_line(line.text, **line.markup)


def _copy_of_stdout() -> TextIO | None:
    """A second way to the terminal; None where standard output is no file."""
    stdout = sys.__stdout__
    try:
        number = os.dup(stdout.fileno()) if stdout is not None else None
    except (OSError, ValueError):
        return None
    if stdout is None or number is None:
        return None
    return os.fdopen(number, "w", encoding=stdout.encoding, errors="replace")


def has_rich() -> bool:
    """Whether rich is installed; asked without importing it."""
    from importlib.util import find_spec

    return find_spec("rich") is not None


def relative(path: Path) -> Path:
    """The path as seen from the current folder, if it is in it."""
    try:
        return path.relative_to(Path.cwd())
    except ValueError:
        return path
