"""Shows how a training goes: a live panel on a terminal, or else plain lines."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any, Protocol, TextIO

import pytest

from agentgym.runs.files.updates import UpdateLine
from agentgym.runs.lines import count, number, percent, short_name, threshold
from agentgym.runs.summary_json import MeasuredPhase, SignJson
from pytest_agentgym.show.live.panel import (
    EDGES,
    NARROW,
    BottomPanel,
    bar,
    clock,
    framed,
)
from pytest_agentgym.training.progress import Progress

REFRESHES = 2
"""Per second."""
LATE_SECONDS = 2.0
_BAR = 30

MEASURED: tuple[MeasuredPhase, ...] = ("before", "after")
_PHASES = {
    "before": "measuring held-out cases before training",
    "train": "training",
    "validate": "validating on train cases that are not learned from",
    "after": "measuring the same held-out cases after training",
}


class TrainingView(Protocol):
    """Shows a training's progress; called in the trainer's and the main thread."""

    def begin(self, phase: str, planned: int) -> None:
        """A phase begins.

        Args:
            phase: What its episodes are played for.
            planned: How many they are.
        """

    def update(self) -> None:
        """The policy was updated."""

    def say(self, text: str) -> None:
        """Shows a line."""

    def close(self) -> None:
        """Leaves the terminal to others."""


class Dashboard:
    """The trainer's observer: keeps the numbers and shows them.

    Args:
        progress: The numbers.
        make_view: How they are shown; called when there is something to show.
    """

    def __init__(
        self, progress: Progress, make_view: Callable[[], TrainingView]
    ) -> None:
        self.progress = progress
        self._make_view = make_view
        self._lock = threading.RLock()

    @cached_property
    def view(self) -> TrainingView:
        """What shows the numbers."""
        return self._make_view()

    def phase(self, phase: str, planned: int) -> None:
        """A phase begins.

        Args:
            phase: What its episodes are played for.
            planned: How many they are.
        """
        # The last episodes of a phase may still be on their way from a worker.
        self.progress.wait(LATE_SECONDS)
        with self._lock:
            self._end()
            self.progress.begin(phase, planned)
            self.view.begin(phase, planned)

    def update(self, row: UpdateLine) -> None:
        """The policy was updated; `row` has the metrics."""
        with self._lock:
            self.progress.updated(row)
            self.view.update()

    def say(self, text: str) -> None:
        """Shows a line."""
        with self._lock:
            self.view.say(text)

    def close(self) -> None:
        """Ends the last phase."""
        with self._lock:
            if self.progress.phase is None:
                return
            self._end()
            self.view.close()
            self.progress.phase = None

    def _end(self) -> None:
        """Shows what the present phase measured."""
        progress = self.progress
        if progress.phase not in MEASURED or not progress.done:
            return
        lost = progress.done - progress.counted
        self.view.say(
            f"{progress.phase}: {percent(progress.reliability, progress.target)} "
            f"({progress.passed}/{count(progress.counted, 'episode')}) in "
            f"{progress.phase_seconds:.0f} s"
            + (f"; {lost} do not count" if lost else "")
        )


class TrainingLines:
    """One line when a phase begins, and one for each update.

    Args:
        progress: The numbers.
        write: Writes a line to the terminal.
    """

    def __init__(self, progress: Progress, write: Callable[[str], None]) -> None:
        self._progress = progress
        self._write = write
        self._begun: set[str] = set()

    def begin(self, phase: str, planned: int) -> None:
        """Says what begins; each batch of training would say the same.

        Args:
            phase: What its episodes are played for.
            planned: How many they are.
        """
        if phase in ("train", "validate") and phase in self._begun:
            return
        self._begun.add(phase)
        episodes = f": {count(planned, 'episode')}" if planned else ""
        self._write(f"{_PHASES.get(phase, phase)}{episodes}")

    def update(self) -> None:
        """Says what the update was made of."""
        self._write(", ".join(_update_words(self._progress)))

    def say(self, text: str) -> None:
        """Writes the line."""
        self._write(text)

    def close(self) -> None:
        """Nothing to clean up."""


class TrainingPanel:
    """All numbers; their last state stays on the terminal.

    Args:
        progress: The numbers.
        writer: pytest's.
        terminal: Leads to the terminal, also while pytest captures.
    """

    def __init__(
        self, progress: Progress, writer: pytest.TerminalReporter, terminal: TextIO
    ) -> None:
        self._progress = progress
        self._panel = BottomPanel(
            self.draw, writer, terminal, refreshes=REFRESHES, stays=True
        )

    def begin(self, phase: str, planned: int) -> None:
        """Starts with the first phase.

        Args:
            phase: The panel takes it from the numbers.
            planned: As well.
        """
        self._panel.start()

    def update(self) -> None:
        """The panel shows it at its next refresh."""

    def say(self, text: str) -> None:
        """Writes a line above the panel."""
        self._panel.print(text)

    def close(self) -> None:
        """Leaves the last state on the terminal."""
        self._panel.close()

    def draw(self, width: int, height: int) -> Any:
        """The panel for a terminal.

        Args:
            width: Its columns.
            height: Its lines.
        """
        from rich.table import Table

        table = Table.grid(padding=(0, 2))
        rows = panel_rows(self._progress, height - EDGES, bars=width >= NARROW)
        for name, text in rows:
            table.add_row(name, text)
        target = threshold(self._progress.target)
        return framed(table, f"agentgym training, target {target}")


def panel_rows(
    progress: Progress, most: int, *, bars: bool = True
) -> list[tuple[str, str]]:
    """The rows of the live panel.

    Args:
        progress: The numbers.
        most: Lines that there is room for: those that matter less are left out.
        bars: Whether there is room for bars beside the numbers.
    """
    rows, pace = list(_how_far(progress, bars=bars)), list(_pace(progress))
    learned = list(_update_words(progress)) if progress.update else []
    if signs := progress.update.get("signs"):
        rows.append(("reward hacking?", _signs(signs)))
    room = most - len(rows) - len(pace)
    if learned and room > 0:
        rows.append(("last update", "\n".join(learned[:room])))
        room -= len(learned)
    if tools := list(_tools(progress))[: max(room, 0)]:
        rows.append(("tools", "\n".join(tools)))
    return rows + pace


def _how_far(progress: Progress, *, bars: bool) -> Iterator[tuple[str, str]]:
    def filled(done: int, planned: int) -> str:
        return f"{bar(done, planned, _BAR)} " if bars else ""

    phase = progress.phase
    done, planned = progress.done, progress.planned
    name = _PHASES.get(phase or "", phase or "starting")
    if phase == "train" and done >= planned:
        # Or more episodes are played in place of zero-variance groups.
        name = "training: learning from the batch"
    yield "phase", name
    yield (
        "episodes",
        f"{filled(done, planned)}{done}/{planned}, {progress.episodes} in all",
    )
    if progress.reliability is not None:
        share = percent(progress.reliability, progress.target)
        yield "reliability", f"{filled(progress.passed, progress.counted)}{share}"
    for name in ("before", "validate"):
        if name in progress.measured and name != phase:
            yield name, percent(progress.measured[name], progress.target)


def _signs(signs: Sequence[SignJson]) -> str:
    """How many signs there are, and what the latest is about."""
    last = max(signs, key=lambda sign: sign["since"])
    where = short_name(last["scenario"] or "all scenarios together")
    return f"{count(len(signs), 'sign')}, the latest: {where}, {last['title']}"


def _tools(progress: Progress) -> Iterator[str]:
    """A line for each tool, that which is called most first."""
    tools = sorted(progress.tools().items(), key=lambda t: (-t[1][1], t[0]))
    for name, (good, calls) in tools:
        yield f"{percent(good / calls):>8} {name} ({good}/{calls})"


def _pace(progress: Progress) -> Iterator[tuple[str, str]]:
    if progress.tokens:
        yield "tokens/episode", number(progress.tokens)
    yield "episodes/s", number(progress.rate)
    yield "time left", f"{clock(progress.left)} of {clock(progress.seconds)}"


_WORDS = {
    "reward": "reward",
    "passed": "passed",
    "reliability": "running reliability",
    "entropy": "entropy",
    "kl": "KL",
    "grad_norm": "gradient",
    "zero_variance_groups": "zero-variance groups",
}


def _update_words(progress: Progress) -> Iterator[str]:
    """The metrics of the last update that a reader follows."""
    row = progress.update
    yield f"update {row.get('update', '?')}"
    for key, word in _WORDS.items():
        value = row.get(key)
        if value is None:
            continue
        yield f"{word} {value:.3g}" if isinstance(value, float) else f"{word} {value}"
    yield f"{progress.elapsed:.0f} s"
