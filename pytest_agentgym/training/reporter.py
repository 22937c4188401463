"""The reporter of a training: its phases, the live display, the last sections."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from agentgym.errors import UsageError
from agentgym.playing.episode import Episode
from agentgym.report import terminal
from agentgym.report.training import training_section
from agentgym.runs.gate import Reason, ReasonKind, reason_of_training
from agentgym.runs.lines import Heading, Line
from agentgym.runs.store import RunStore, read_episodes
from agentgym.runs.summary import (
    RunSummary,
)
from agentgym.training.batch.measurement import Measured
from pytest_agentgym.play.episode_report import EpisodeReport
from pytest_agentgym.play.run_context import RUN
from pytest_agentgym.play.scenario_result import Tally
from pytest_agentgym.show.reporter import Reporter, has_rich, relative
from pytest_agentgym.training.catalogue import Entry
from pytest_agentgym.training.dashboard import (
    MEASURED,
    Dashboard,
    Display,
    LivePanel,
    PlainLines,
)
from pytest_agentgym.training.progress import Progress

if TYPE_CHECKING:
    from agentgym.runs.summary_json import SummaryJson, TrainingJson
    from agentgym.training.loop.loop import TrainingResult


class TrainingReporter(Reporter):
    """Reports the last measurement, and what the training did.

    Args:
        config: Of the main process.
        target: The reliability to reach.
        minutes: The budget.

    Attributes:
        entries: What the runners collected.
        observer: What the trainer tells its progress.
    """

    def __init__(self, config: pytest.Config, target: float, minutes: float) -> None:
        super().__init__(config)
        self.target = target
        self.entries: list[Entry] = []
        self.progress = Progress(target, minutes)
        self.observer = Dashboard(self.progress, self._display)
        self.summary = self._new_summary()
        self._result: TrainingResult | None = None
        self._interrupted = False
        self._kept: dict[str, Episode] = {}
        self._measured: dict[str, list[Episode]] = {phase: [] for phase in MEASURED}
        self._terminal_lock = threading.RLock()

    def collected(self, entries: list[Entry]) -> None:
        """Notes what the runners collected."""
        self.entries = entries

    def open_store(self, resumed: Path | None) -> Path:
        """Opens the run's folder, and takes in what an earlier process measured.

        Raises:
            UsageError: The folder cannot be written.
        """
        self.store = RunStore(self.config.rootpath, resumed)
        if self.store.warning is not None:
            raise UsageError(f"a training needs its files: {self.store.warning}")
        if resumed is not None and self.store.episodes_path.exists():
            for episode in read_episodes(self.store.episodes_path)[0]:
                self._keep(episode)
        return self.store.folder

    def closing(self, over: bool) -> None:
        """No more episodes come; the trainer may still have to save."""
        self.observer.close()
        if not over:
            self._write_line("stopping the training; what was learned is saved")

    def ended(self, result: TrainingResult | None) -> None:
        """Takes in what came of the training."""
        self._result = result
        self.observer.close()
        version = 0 if result is None else result.version
        self._measured = self._read_measured({"before": 0, "after": version})
        self.summary = self._new_summary()
        if self.store is not None:
            self.summary.run_id = self.store.id
        for episode in self._last:
            self._take(episode)
        if self._interrupted or (result is not None and result.interrupted):
            self._interrupt()
        else:
            self._add_reason(result)

    def tally(self, entry: Entry) -> Tally | None:
        """A scenario's episodes of the last measurement."""
        tally = Tally(self.config.stash[RUN].prices)
        for episode in self._last:
            if entry.info is not None and episode.scenario == entry.info.scenario:
                tally.add(episode)
        return tally if tally.outcomes else None

    def pytest_keyboard_interrupt(self) -> None:
        """Notes that the training did not come to its end."""
        self._interrupt()

    def nothing(self) -> str:
        """Why there is nothing to report: with a second Ctrl-C it stops at once."""
        if not self._interrupted or self.store is None:
            return super().nothing()
        return (
            "interrupted again while it saved: go on with pytest --agentgym --train "
            "and --agentgym-resume"
        )

    def _interrupt(self) -> None:
        self._interrupted = True
        played = len(self._last)
        self.summary.interrupted = (played, max(played, self.progress.planned))
        sentence = (
            "what was learned is saved; go on with pytest --agentgym --train and "
            "--agentgym-resume"
        )
        reason = Reason(kind=ReasonKind.interrupted, sentence=sentence)
        if reason not in self.summary.besides:
            self.summary.besides.append(reason)

    def _add_reason(self, result: TrainingResult | None) -> None:
        """Has the summary decide by what the trainer says, where it does not know."""
        decision = self.summary.decision
        judgeable = result is None or result.judgeable
        reason = reason_of_training(
            judgeable=judgeable, met=result is not None and result.met
        )
        known = decision.holds(ReasonKind.lost) if not judgeable else not decision.met
        if reason is not None and not known:
            self.summary.besides.append(reason)

    def _outside_of_episodes(self, report: Any, about: dict[str, Any]) -> None:
        """Nothing: what cannot be set up ends a training, before it is measured."""

    def _note_unplayed(self, session: pytest.Session) -> None:
        """Nothing: the trainer has the scenarios played that it measures."""

    @property
    def _last(self) -> list[Episode]:
        """The episodes of the last measurement."""
        return self._measured["after"] or self._measured["before"]

    def _read_measured(self, versions: dict[str, int]) -> dict[str, list[Episode]]:
        """The episodes that the trainer measured these policy versions by."""
        found: dict[str, list[Episode]] = {phase: [] for phase in versions}
        if self.store is None:
            return found
        for phase, version in versions.items():
            file = Measured(self.store.folder / "measured.jsonl")
            ids = file.episodes(phase, version)  # type: ignore[arg-type]
            found[phase] = [self._kept[name] for name in ids if name in self._kept]
        return found

    def _new_summary(self) -> RunSummary:
        return RunSummary(
            threshold=self.target,
            seed=self.options.seed,
            prices=self.config.stash[RUN].prices,
            whole=True,
        )

    def _count(self, report: EpisodeReport) -> None:
        """Keeps the measurements; of training episodes only numbers are kept."""
        for line, episode in zip(report.lines, report.episodes, strict=True):
            self.progress.add(episode)
            if episode.phase in MEASURED:
                # As the file has it: a tool's result may be large.
                self._keep(Episode.from_json(json.loads(line)))

    def _keep(self, episode: Episode) -> None:
        if episode.phase in MEASURED:
            self._kept[episode.id] = episode

    def _to_json(self) -> SummaryJson:
        data = self.summary.to_json()
        if self._result is not None:
            data["training"] = cast("TrainingJson", self._result.to_json())
        return data

    def _verdict(self, width: int) -> Iterator[Line]:
        if self._result is not None:
            yield Heading("training")
            result = self._result.to_json()
            if result["agent"]:
                result["agent"] = str(relative(Path(result["agent"])))
            yield from training_section(result, self._measured, width)
        if self._interrupted:
            yield Heading("verdict")
            yield from terminal.gate_lines(self.summary.decision, width)
            return
        yield Heading("verdict")
        yield from terminal.verdict(self.summary, width)

    def _display(self) -> Display:
        writer = self._terminal()
        file = self._screen
        if (
            writer is not None
            and file is not None
            and writer._tw._file is sys.__stdout__
            and writer._tw.hasmarkup
            and file.isatty()
            and self.config.get_verbosity() >= 0
            and has_rich()
        ):
            return LivePanel(self.progress, file)
        return PlainLines(self.progress, self._write_line)

    def _write_line(self, text: str) -> None:
        writer = self._terminal()
        if writer is None or self.config.get_verbosity() < -1:
            return
        # The trainer's thread writes, too.
        with self._terminal_lock, self._uncaptured(writer._tw):
            writer.ensure_newline()
            writer.write_line(text)
            writer.flush()
