"""Shows how a training goes: a live panel on a terminal, or else plain lines."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import Any, Protocol, TextIO

from agentgym.runs.lines import count, number, percent, threshold
from pytest_agentgym.training.progress import Progress

REFRESHES = 2
"""Per second."""
MOST_TOOLS = 8
LATE_SECONDS = 2.0
_BAR = 30

MEASURED = ("before", "after")
_PHASES = {
    "before": "measuring held-out cases before training",
    "train": "training",
    "validate": "validating on train cases that are not learnt from",
    "after": "measuring the same held-out cases after training",
}


class Display(Protocol):
    """Shows a training's progress; called in the trainer's and the main thread."""

    def begin(self, phase: str, planned: int) -> None:
        """A phase begins."""

    def end(self) -> None:
        """The present phase is over."""

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
        make_display: How they are shown; called when there is something to show.
    """

    def __init__(self, progress: Progress, make_display: Callable[[], Display]) -> None:
        self.progress = progress
        self._make_display = make_display
        self._lock = threading.RLock()

    @cached_property
    def display(self) -> Display:
        """What shows the numbers."""
        return self._make_display()

    def phase(self, phase: str, planned: int) -> None:
        """A phase begins, of so many episodes."""
        # The last episodes of a phase may still be on their way from a worker.
        self.progress.wait(LATE_SECONDS)
        with self._lock:
            if self.progress.phase is not None:
                self.display.end()
            self.progress.begin(phase, planned)
            self.display.begin(phase, planned)

    def update(self, row: dict[str, Any]) -> None:
        """The policy was updated; `row` has the metrics."""
        with self._lock:
            self.progress.updated(row)
            self.display.update()

    def say(self, text: str) -> None:
        """Shows a line."""
        with self._lock:
            self.display.say(text)

    def close(self) -> None:
        """Ends the last phase."""
        with self._lock:
            if self.progress.phase is None:
                return
            self.display.end()
            self.display.close()
            self.progress.phase = None


class PlainLines:
    """One line when a phase begins, one at its end, and one for each update.

    Args:
        progress: The numbers.
        write: Writes a line to the terminal.
    """

    def __init__(self, progress: Progress, write: Callable[[str], None]) -> None:
        self._progress = progress
        self._write = write
        self._told: set[str] = set()

    def begin(self, phase: str, planned: int) -> None:
        """Says what begins; each batch of training would say the same."""
        if phase in ("train", "validate") and phase in self._told:
            return
        self._told.add(phase)
        episodes = f": {count(planned, 'episode')}" if planned else ""
        self._write(f"{_PHASES.get(phase, phase)}{episodes}")

    def end(self) -> None:
        """Says what the phase measured."""
        progress = self._progress
        if progress.phase not in MEASURED or not progress.done:
            return
        lost = progress.done - progress.counted
        self._write(
            f"{progress.phase}: {percent(progress.reliability, progress.target)} "
            f"({progress.passed}/{count(progress.counted, 'episode')}) in "
            f"{progress.phase_seconds:.0f} s"
            + (f"; {lost} do not count" if lost else "")
        )

    def update(self) -> None:
        """Says what the update was made of."""
        self._write(", ".join(_update_words(self._progress)))

    def say(self, text: str) -> None:
        """Writes the line."""
        self._write(text)

    def close(self) -> None:
        """Nothing to clean up."""


class LivePanel:
    """A panel of rich's at the bottom of the terminal.

    Args:
        progress: The numbers.
        file: Leads to the terminal, also while pytest captures.
        pause: What to be within while something is shown.
    """

    def __init__(
        self,
        progress: Progress,
        file: TextIO,
        pause: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        from rich.console import Console
        from rich.live import Live

        self._progress = progress
        self._console = Console(file=file, force_terminal=True, highlight=False)
        self._pause = pause
        self._live = Live(
            console=self._console,
            get_renderable=self._panel,
            refresh_per_second=REFRESHES,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._started = False

    def begin(self, phase: str, planned: int) -> None:
        """Starts with the first phase."""
        if not self._started:
            self._started = True
            self._live.start()

    def end(self) -> None:
        """Leaves a line about a measurement above the panel."""
        progress = self._progress
        if progress.phase in MEASURED and progress.done:
            self.say(
                f"{progress.phase}: {percent(progress.reliability, progress.target)} "
                f"({progress.passed}/{count(progress.counted, 'episode')})"
            )

    def update(self) -> None:
        """The panel shows it at its next refresh."""

    def say(self, text: str) -> None:
        """Writes a line above the panel."""
        with self._pause():
            self._console.print(text, markup=False)

    def close(self) -> None:
        """Leaves the last state on the terminal."""
        if self._started:
            self._live.stop()
            self._started = False

    def _panel(self) -> Any:
        from rich.panel import Panel
        from rich.table import Table

        table = Table.grid(padding=(0, 2))
        for name, text in panel_rows(self._progress):
            table.add_row(name, text)
        title = f"agentgym training, target {threshold(self._progress.target)}"
        return Panel(table, title=title, title_align="left", expand=False)


def panel_rows(progress: Progress) -> Iterator[tuple[str, str]]:
    """The rows of the live panel."""
    phase = progress.phase
    done, planned = progress.done, progress.planned
    name = _PHASES.get(phase or "", phase or "starting")
    if phase == "train" and done >= planned:
        # Or more episodes are played in place of zero-variance groups.
        name = "training: learning from the batch"
    yield "phase", name
    yield (
        "episodes",
        f"{_bar(done, planned)} {done}/{planned}, {progress.episodes} in all",
    )
    if progress.reliability is not None:
        share = percent(progress.reliability, progress.target)
        yield "reliability", f"{_bar(progress.passed, progress.counted)} {share}"
    if progress.update:
        yield "last update", "\n".join(_update_words(progress))
    for name in ("before", "validate"):
        if name in progress.measured and name != phase:
            yield name, percent(progress.measured[name], progress.target)
    tools = sorted(progress.tools().items(), key=lambda t: (-t[1][1], t[0]))
    if tools:
        yield (
            "tools",
            "\n".join(
                f"{percent(good / calls):>8} {name} ({good}/{calls})"
                for name, (good, calls) in tools[:MOST_TOOLS]
            ),
        )
    if progress.tokens:
        yield "tokens/episode", number(progress.tokens)
    yield "episodes/s", number(progress.rate)
    yield "time left", f"{_minutes(progress.left)} of {_minutes(progress.seconds)}"


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


def _bar(done: int, planned: int) -> str:
    full = min(_BAR, _BAR * done // max(planned, 1))
    return "█" * full + "░" * (_BAR - full)


def _minutes(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02}"
