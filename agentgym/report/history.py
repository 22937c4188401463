"""How reliability went from run to run."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePath
from typing import Any

from agentgym.errors import UsageError
from agentgym.reliability import CONFIDENCE
from agentgym.runs.files.stored import finished_runs, read_summary
from agentgym.runs.lines import (
    Heading,
    Line,
    TableRow,
    count,
    duration,
    interval,
    left,
    number,
    percent,
    table,
    threshold,
    wrapped,
)
from agentgym.runs.summary_json import (
    ReliabilityJson,
    ScenarioJson,
    SummaryJson,
    TrainingJson,
)

WIDE = 110
"""Characters of a terminal that has room for the date, which an id begins with."""

_COLOURS = {True: "green", False: "red", None: "yellow"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A run, or one scenario of it.

    Attributes:
        run: Its id.
        started: Seconds since 1970.
        scenario: The scenario, if it is one.
        scenarios: How many the run has.
        reliability: As in `summary.json`: value, low, high, threshold, verdict.
        state: "finished", "interrupted", or "not judged" if too few episodes count.
        met: Whether the run passes its gate, or the scenario its part of it; None if
            that is not judged.
        exit_code: Of the run's scenarios alone; None of a scenario.
        qualifier: What the verdict is about, if not the whole run.
        passed: Episodes that passed, of those that the gate judges.
        counted: Those that passed or failed.
        tokens_per_pass: Of all counted episodes; None where tokens are not known or
            nothing passed.
        training: The `training` object of `summary.json`.
    """

    run: str
    started: float
    scenario: str | None
    scenarios: int
    policy: str | None
    reliability: ReliabilityJson
    state: str
    met: bool | None
    exit_code: int | None
    qualifier: str | None
    passed: int
    counted: int
    tokens_per_pass: float | None
    training: TrainingJson | None

    def to_json(self) -> dict[str, Any]:
        """The form that `agentgym history --json` prints."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """The runs of a project.

    Attributes:
        entries: The newest last.
        notes: Sentences about runs that are not among them.
    """

    entries: tuple[Entry, ...]
    notes: tuple[str, ...]


def read_history(folder: Path, scenario: str | None = None) -> History:
    """Reads the runs in a folder.

    Args:
        folder: A folder of runs.
        scenario: Only scenarios of this name: a node id, or a part of one.

    Raises:
        UsageError: There are none.
    """
    entries: list[Entry] = []
    notes: list[str] = []
    runs = 0
    for run in finished_runs(folder):
        assert run.summary is not None
        try:
            summary = read_summary(run.summary, outline=True)
        except UsageError as exc:
            notes.append(str(exc))
            continue
        runs += 1
        if scenario is None:
            entries.append(_entry(summary))
        else:
            entries += [
                _entry(summary, found)
                for found in summary["scenarios"]
                if scenario in found["name"]
            ]
    unfinished = sum(path.is_dir() for path in folder.glob("*")) - runs - len(notes)
    if unfinished:
        notes.append(
            f"{count(unfinished, 'run')} without a summary.json: killed or not over"
        )
    if not runs:
        raise UsageError(
            f"there is no run with a summary.json in {folder}: run pytest --agentgym "
            "first"
        )
    if not entries:
        raise UsageError(
            f"--scenario {scenario}: none of the {count(runs, 'run')} in {folder} has "
            "a scenario with this in its name"
        )
    entries.sort(key=lambda e: (e.started, e.run))
    return History(entries=tuple(entries), notes=tuple(notes))


def _entry(summary: SummaryJson, scenario: ScenarioJson | None = None) -> Entry:
    chosen = (
        [s for s in summary["scenarios"] if not s.get("xfail")]
        if scenario is None
        else [scenario]
    )
    passed = sum(s["outcomes"]["passed"] for s in chosen)
    failed = [s["outcomes"]["failed"] for s in chosen]
    counts = [s["outcomes"]["passed"] + n for s, n in zip(chosen, failed, strict=True)]
    # A scenario's tokens are a mean over its counted episodes.
    tokens = sum((s["tokens"] or 0) * n for s, n in zip(chosen, counts, strict=True))
    whole = summary["reliability"] if scenario is None else scenario["reliability"]
    decision = summary["decision"]
    state = "finished"
    if summary.get("interrupted"):
        state = "interrupted"
    elif whole["verdict"] is None:
        state = "not judged"
    return Entry(
        run=summary["run"],
        started=summary["started"],
        scenario=None if scenario is None else scenario["name"],
        scenarios=len(summary["scenarios"]),
        policy=summary.get("policy"),
        reliability=whole,
        state=state,
        met=decision["met"] if scenario is None else scenario["met"],
        exit_code=decision["exit_code"] if scenario is None else None,
        qualifier=decision["qualifier"] if scenario is None else None,
        passed=passed,
        counted=sum(counts),
        tokens_per_pass=round(tokens / passed, 1) if passed and tokens else None,
        training=summary.get("training"),
    )


def history_lines(history: History, width: int = 80) -> Iterator[Line]:
    """A table of the runs, or one of each scenario.

    Args:
        history: What was read.
        width: Characters that a line may have; a wide one has room for the dates.
    """
    names = dict.fromkeys(entry.scenario for entry in history.entries)
    for name in names:
        if name is not None:
            yield Heading(name)
        entries = [entry for entry in history.entries if entry.scenario == name]
        yield from _table(entries, width)
    for note in history.notes:
        yield from wrapped(note, width, markup={"yellow": True}, hanging="  ")


def _table(entries: Sequence[Entry], width: int) -> Iterator[Line]:
    columns = ["scenarios", "policy", f"reliability ({threshold(CONFIDENCE)})"]
    columns += ["verdict", "tokens/pass"]
    wide = width >= WIDE
    if wide:
        columns.insert(0, "date")
    else:
        columns[0], columns[-1] = "scen.", "tok/pass"
    longest = max(len(entry.policy or "-") for entry in entries)
    # What the other columns leave of a line.
    policy = max(9, min(longest, width - (102 if wide else 71)))
    rows = list(_rows(entries, policy, wide))
    yield from table(columns, rows, width)


def _rows(entries: Sequence[Entry], policy: int, wide: bool) -> Iterator[TableRow]:
    # A verdict says little without its threshold, where not all have the same.
    several = len({entry.reliability["threshold"] for entry in entries}) > 1
    for entry in entries:
        verdict, limit = entry.reliability["verdict"], entry.reliability["threshold"]
        finished = entry.state == "finished"
        shown = (verdict if finished else None) or entry.state
        cells = [
            str(entry.scenarios),
            # The end of a path, or of an endpoint, is the model's name.
            left(entry.policy or "-", policy),
            _reliability(entry),
            f"{shown} {threshold(limit)}" if several and finished else shown,
            number(entry.tokens_per_pass),
        ]
        if wide:
            date = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.started))
            cells.insert(0, date)
        yield TableRow(entry.run, cells, {_COLOURS[entry.met]: True})
        if entry.qualifier is not None and finished:
            # It has a line of its own, as no table has room for it.
            text = f"    {entry.qualifier}; exit code {entry.exit_code}"
            yield TableRow(text)
        if entry.training is not None and entry.scenario is None:
            yield TableRow(f"    {_training(entry.training)}")


def _reliability(entry: Entry) -> str:
    share = entry.reliability
    if share["value"] is None:
        return "-"
    return f"{percent(share['value'])} ({interval(share['low'], share['high'])})"


def _training(training: TrainingJson) -> str:
    text = f"trained {duration(training.get('seconds', 0.0))}"
    before = training.get("before")
    if before is not None and before["value"] is not None:
        text += f" from {percent(before['value'])}"
    agent = training.get("agent")
    if not agent:
        return text
    folder = PurePath(agent)
    return f"{text}: {folder.parent.name}_{folder.name}"
