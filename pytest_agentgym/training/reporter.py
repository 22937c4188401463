"""The reporter of a training: its phases, the live display, the last sections."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from agentgym.errors import UsageError
from agentgym.playing.episode import Episode
from agentgym.policy.trained.agent_folder import add_to_card
from agentgym.report import terminal
from agentgym.report.training import training_section
from agentgym.runs.files.measured import drop_unstored, measured_ids
from agentgym.runs.files.store import read_episodes
from agentgym.runs.gate import Reason, ReasonKind, reason_of_training
from agentgym.runs.lines import Heading, Line
from agentgym.runs.spending import per_passed
from agentgym.runs.summary import RunSummary
from pytest_agentgym.play.episode_report import EpisodeReport
from pytest_agentgym.play.not_judged import NotJudged
from pytest_agentgym.play.run_context import RUN
from pytest_agentgym.play.scenario_result import ScenarioResult
from pytest_agentgym.show.baseline import open_baseline
from pytest_agentgym.show.live.screen import Screen
from pytest_agentgym.show.options import K_OPTION
from pytest_agentgym.show.run_writer import RunWriter, relative
from pytest_agentgym.training.catalogue import CatalogueEntry
from pytest_agentgym.training.dashboard import (
    MEASURED,
    Dashboard,
    TrainingLines,
    TrainingPanel,
    TrainingView,
)
from pytest_agentgym.training.progress import Progress

if TYPE_CHECKING:
    from agentgym.runs.summary_json import MeasuredPhase, PerPassedJson, SummaryJson
    from agentgym.training.job.training_result import TrainingResult


class TrainingReporter:
    """Reports the last measurement, and what the training did: see `Reported`.

    Args:
        config: Of the main process.
        screen: Where its progress is shown.
        writer: Has the run's folder.
        target: The reliability to reach.
        minutes: The budget.
        certified: Whether the target must be certain.

    Attributes:
        summary: Of the last measurement.
        usage_errors: Mistakes of the user.
        entries: What the runners collected.
        observer: Follows the trainer.
        dry: Whether it was only said what would be done.
    """

    def __init__(
        self,
        config: pytest.Config,
        screen: Screen,
        writer: RunWriter,
        target: float,
        minutes: float,
        *,
        certified: bool = False,
    ) -> None:
        self._run = config.stash[RUN]
        self._screen = screen
        self._writer = writer
        self._baseline = open_baseline(config)
        self._ks = config.stash[K_OPTION]
        self.dry = False
        self.target = target
        self._certified = certified
        self.usage_errors: list[str] = []
        self.entries: list[CatalogueEntry] = []
        self.progress = Progress(target, minutes)
        self.observer = Dashboard(self.progress, self._view)
        self.summary = self._new_summary()
        self._result: TrainingResult | None = None
        self._interrupted = False
        self._kept: dict[str, Episode] = {}
        self._one_case: dict[str, bool] = {}
        self._measured: dict[MeasuredPhase, list[Episode]] = {}

    def collected(self, entries: list[CatalogueEntry]) -> None:
        """Notes what the runners collected."""
        self.entries = entries

    def open_store(self, resumed: Path | None) -> Path:
        """Opens the run's folder, and takes in what an earlier process measured.

        Raises:
            UsageError: The folder cannot be written.
        """
        store = self._writer.open(resumed)
        if store.warning is not None:
            raise UsageError(f"a training needs its files: {store.warning}")
        if resumed is not None and store.episodes_path.exists():
            for episode in read_episodes(store.episodes_path)[0]:
                self._keep(episode)
            drop_unstored(store.folder, self._kept)
        return store.folder

    @property
    def written(self) -> bool:
        """Whether the run's folder has its report."""
        return self._writer.finished

    def closing(self, over: bool) -> None:
        """No more episodes come; the trainer may still have to save."""
        self.observer.close()
        if not over and self._writer.store is not None:
            self._screen.write_line("stopping the training; what was learned is saved")

    def ended(self, result: TrainingResult | None) -> None:
        """Takes in what came of the training."""
        self._result = result
        self.observer.close()
        version = 0 if result is None else result.version
        self._measured = self._read_measured({"before": 0, "after": version})
        if result is not None:
            self._result = self._with_costs(result)
        self.summary = self._new_summary()
        if self._writer.store is not None:
            self.summary.run_id = self._writer.store.id
        for episode in self._last:
            self.summary.add(episode)
            if self._baseline is not None:
                self._baseline.add(episode)
        for name, scenario in self.summary.scenarios.items():
            scenario.cases.one_case = self._one_case.get(name, False)
        if self._interrupted or (result is not None and result.interrupted):
            self.interrupt()
        elif result is not None:
            # Without a result something else has ended it, and has a reason of its own.
            self._add_reason(result)

    def _with_costs(self, result: TrainingResult) -> TrainingResult:
        """The result with what a passed episode takes, which its agent's card has, too.

        Only the episodes here know it.
        """
        measured, prices = self._measured, self._run.prices
        costs: PerPassedJson = {
            "before": per_passed(measured["before"], prices),
            "after": per_passed(measured["after"], prices),
        }
        if result.agent is not None:
            judged = result.episodes + sum(map(len, measured.values()))
            facts = {"per_passed": costs, "judged_episodes": judged}
            add_to_card(result.agent, facts)
        return replace(result, per_passed=costs)

    def tally(self, entry: CatalogueEntry) -> ScenarioResult | None:
        """A scenario's episodes of the last measurement."""
        tally = ScenarioResult(self._run.prices)
        for episode in self._last:
            if entry.info is not None and episode.scenario == entry.info.scenario:
                tally.add(episode)
        return tally if tally.outcomes else None

    def nothing(self) -> str | None:
        """Why there is nothing to report: with a second Ctrl-C it stops at once."""
        if self.dry:
            return "a dry run: nothing was played"
        if not self._interrupted or self._writer.store is None:
            return None
        return (
            "interrupted again while it saved: go on with pytest --agentgym --train "
            "and --agentgym-resume"
        )

    def interrupt(self, why: str | None = None) -> None:
        """Notes that the training did not come to its end.

        Args:
            why: What ended it, if it was not ended by hand.
        """
        self._interrupted = True
        played = len(self._last)
        self.summary.interrupted = (played, max(played, self.progress.planned))
        sentence = why or (
            "what was learned is saved; go on with pytest --agentgym --train and "
            "--agentgym-resume"
        )
        self.summary.note(Reason(kind=ReasonKind.interrupted, sentence=sentence))

    def _add_reason(self, result: TrainingResult) -> None:
        """Has the summary decide by what the trainer says, too."""
        reason = reason_of_training(
            judgeable=result.judgeable, met=result.met, certified=self._certified
        )
        if reason is not None:
            self.summary.note(reason)

    def scenario_reported(self, report: Any) -> None:
        """Notes an error outside of any episode, as of a set-up or a tear-down."""
        NotJudged(self.summary, self._run).scenario_reported(report)

    def other_reported(self, report: Any) -> None:
        """Nothing: a runner that died has its episodes played again."""

    def say(self, text: str) -> None:
        """Shows a line."""
        self.observer.say(text)

    def close(self) -> None:
        """Nothing: `closing` has left the terminal to others."""

    def conclude(self, session: pytest.Session, writer: RunWriter) -> None:
        """Compares the last measurement with the baseline.

        Args:
            session: The trainer has the scenarios played that it measures.
            writer: Has the run's folder.
        """
        if self._baseline is not None and self.summary.scenarios:
            self._baseline.compare(self.summary, writer.store)

    @property
    def _last(self) -> list[Episode]:
        """The episodes of the last measurement."""
        measured = self._measured
        return measured.get("after") or measured.get("before") or []

    def _read_measured(
        self, versions: dict[MeasuredPhase, int]
    ) -> dict[MeasuredPhase, list[Episode]]:
        """The episodes that the trainer measured these policy versions by."""
        measured: dict[MeasuredPhase, list[Episode]] = {p: [] for p in versions}
        store = self._writer.store
        if store is None:
            return measured
        for phase, version in versions.items():
            ids = measured_ids(store.folder, phase, version)
            measured[phase] = [self._kept[name] for name in ids if name in self._kept]
        return measured

    def _new_summary(self) -> RunSummary:
        return RunSummary(
            threshold=self.target,
            seed=self._run.options.seed,
            prices=self._run.prices,
            whole=True,
            gate="certified" if self._certified else "point",
            ks=self._ks,
        )

    def add(self, report: EpisodeReport) -> None:
        """Keeps the measurements; of training episodes only numbers are kept."""
        # Any runner may be the one in which the scenario asked for its case.
        alike = self._one_case.get(report.nodeid, True) and report.one_case
        self._one_case[report.nodeid] = alike
        for line, episode in zip(report.lines, report.episodes, strict=True):
            self.progress.add(episode)
            if episode.phase in MEASURED:
                # As the file has it: a tool's result may be large.
                self._keep(Episode.from_json(json.loads(line)))

    def _keep(self, episode: Episode) -> None:
        if episode.phase in MEASURED:
            self._kept[episode.id] = episode

    def to_json(self) -> SummaryJson:
        """The content of `summary.json`."""
        data = self.summary.to_json()
        if self._result is not None:
            data["training"] = self._result.to_json()
        return data

    def verdict(self, width: int) -> Iterator[Line]:
        """The last sections of the report."""
        if self._result is not None:
            yield Heading("training")
            result = self._result.to_json()
            if result["agent"]:
                result["agent"] = str(relative(Path(result["agent"])))
            yield from training_section(result, width)
        yield Heading("verdict")
        if self._interrupted:
            yield from terminal.gate_lines(self.summary.decision, width)
        else:
            yield from terminal.verdict(self.summary, width)

    def _view(self) -> TrainingView:
        writer, file = self._screen.writer, self._screen.panel_file
        if writer is not None and file is not None:
            return TrainingPanel(self.progress, writer, file)
        return TrainingLines(self.progress, self._screen.write_line)
