"""One side of a comparison: a run's episodes without what happened in them."""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentgym.errors import UsageError
from agentgym.playing.episode import Episode
from agentgym.recording.blame import Outcome
from agentgym.recording.trajectory import Step, Trajectory
from agentgym.reliability import attrition_exceeded
from agentgym.runs.differences import EpisodeKey
from agentgym.runs.files.measured import measured_ids
from agentgym.runs.files.prompt_changes import PromptUse
from agentgym.runs.files.prompts import PromptLine, read_prompts
from agentgym.runs.files.store import each_episode
from agentgym.runs.files.stored import StoredRun, find_run, read_summary
from agentgym.runs.summary_json import SummaryJson

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_WRONG = ("wrong_arguments", "not_allowed", "missing", "raised")

BEFORE = "@before"
"""What follows a training's id where its measurement before it is meant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """An episode.

    Attributes:
        case_key: The same in two runs only if the case is.
        order: Its place among the episodes of its case.
        passed: None if it does not measure the agent.
        tools: Whether all calls of a tool were right, of each tool that a check or the
            outcome judged.
    """

    id: str
    scenario: str
    case: dict[str, Any]
    case_key: str
    order: tuple[int, int]
    passed: bool | None
    tools: dict[str, bool]

    @classmethod
    def of(cls, episode: Episode) -> Played:
        """What is kept of an episode."""
        tools = {
            row["name"]: not any(row[name] for name in _WRONG)
            for row in episode.tools
            if row["correct"] or any(row[name] for name in _WRONG)
        }
        return cls(
            id=episode.id,
            scenario=episode.scenario,
            case=episode.case,
            case_key=_case_key(episode.case),
            order=(episode.repeat, episode.index),
            passed=episode.outcome is Outcome.passed if episode.counted else None,
            tools=tools,
        )


def _case_key(case: dict[str, Any]) -> str:
    value = _ADDRESS.sub("", str(case.get("value")))
    # Files of early versions do not have the split.
    parts = [case.get(name) for name in ("split", "index", "seed")]
    return json.dumps([*parts, value])


@dataclass(slots=True, kw_only=True)
class Side:
    """A run, as far as it is compared.

    Attributes:
        name: Its id or file.
        file: Where its trajectories are, if that is known.
        counts: Passed and counted episodes per scenario, where no single episodes are
            known.
        checks: The texts of each scenario's checks.
        xfail: Scenarios that failed as they were expected to.
        asked: By what models were asked.
        notes: Sentences about it.
    """

    name: str
    file: Path | None = None
    policy: str | None = None
    seed: int | None = None
    episodes: list[Played] = field(default_factory=list)
    counts: dict[str, tuple[int, int]] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    checks: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    xfail: set[str] = field(default_factory=set)
    asked: PromptUse = field(default_factory=PromptUse)
    notes: list[str] = field(default_factory=list)

    def add(self, episode: Episode) -> None:
        """Takes in an episode, in any order."""
        self.asked.add(episode.scenario, episode.trajectory)
        self.episodes.append(Played.of(episode))
        self.lost[episode.scenario] += not episode.counted
        self.checks[episode.scenario].update(c["text"] for c in episode.checks)
        if self.policy is None:
            self.policy = episode.policy

    def prompts(self) -> dict[str, PromptLine]:
        """The texts of the prompts, by digest."""
        return {} if self.file is None else read_prompts(self.file.parent)

    @property
    def scenarios(self) -> set[str]:
        """Names of what was played."""
        return {episode.scenario for episode in self.episodes} | self.counts.keys()

    def judgeable(self, scenarios: set[str]) -> bool:
        """Whether enough of the episodes of these scenarios count."""
        counted = sum(
            e.passed is not None for e in self.episodes if e.scenario in scenarios
        )
        counted += sum(n for name, (_, n) in self.counts.items() if name in scenarios)
        lost = sum(n for name, n in self.lost.items() if name in scenarios)
        return not attrition_exceeded(counted, counted + lost)

    def keyed(self) -> Iterator[tuple[EpisodeKey, Played]]:
        """The counted episodes, and which ones they are."""
        numbers: dict[tuple[str, str], int] = defaultdict(int)
        for episode in sorted(self.episodes, key=lambda e: e.order):
            case = episode.case_key
            key = EpisodeKey(episode.scenario, case, numbers[episode.scenario, case])
            numbers[episode.scenario, case] += 1
            if episode.passed is not None:
                yield key, episode

    def outcomes(self) -> dict[EpisodeKey, bool]:
        """Whether each counted episode passed."""
        found = {key: bool(episode.passed) for key, episode in self.keyed()}
        for name, (passed, counted) in self.counts.items():
            for number in range(counted):
                found[EpisodeKey(name, None, number)] = number < passed
        return found

    def tools(self) -> dict[str, dict[EpisodeKey, bool]]:
        """Of each tool: whether its calls were right in the episodes that judge it."""
        found: dict[str, dict[EpisodeKey, bool]] = defaultdict(dict)
        for key, episode in self.keyed():
            for name, right in episode.tools.items():
                found[name][key] = right
        return found


def open_side(given: str, folder: Path) -> Side:
    """Finds and reads a run; `RUN@before` is a training's measurement before it.

    Args:
        given: See `find_run`.
        folder: Where to look for ids: a folder of runs.

    Raises:
        UsageError: There is no such run, or a file cannot be read.
    """
    run, at, _ = given.rpartition(BEFORE)
    before = bool(at) and given.endswith(BEFORE) and not os.path.exists(given)
    return read_side(find_run(run if before else given, folder), before_training=before)


def read_side(files: StoredRun, *, before_training: bool = False) -> Side:
    """Reads a run.

    Args:
        files: Where it is.
        before_training: Of a training, the measurement before it instead of the last.

    Raises:
        UsageError: A file cannot be read; the message says why.
    """
    summary = None if files.summary is None else read_summary(files.summary)
    side = Side(name=files.name)
    if summary is not None:
        side.name = summary["run"] or files.name
        side.policy, side.seed = summary.get("policy"), summary.get("seed")
        side.xfail = {s["name"] for s in summary["scenarios"] if s.get("xfail")}
    if before_training:
        if summary is None or "training" not in summary:
            raise UsageError(
                f"{files.name} is no training: it has no measurement before"
            )
        side.name += " before the training"
    if files.episodes is not None:
        _add_episodes(side, files.episodes, summary, before_training)
    elif before_training:
        raise UsageError(f"{files.summary}: its episodes.jsonl is not beside it")
    elif summary is not None:
        _add_counts(side, summary)
        side.notes.append(
            f"{files.summary} has no episodes.jsonl beside it: its tools and cases are "
            "not compared"
        )
    if summary is None:
        side.notes.append(
            f"{files.name} has no summary.json: it did not come to its end"
        )
    elif summary.get("interrupted"):
        side.notes.append(f"{side.name} was interrupted")
    return side


def _add_episodes(
    side: Side, path: Path, summary: SummaryJson | None, before_training: bool
) -> None:
    side.file = path
    measured = _measured(path.parent, summary, before_training)
    latest: dict[str, Episode] = {}
    for episode in each_episode(path, side.notes):
        if episode.phase is None:
            side.add(episode)
        elif episode.id in measured:
            # A rollout that was played again has the same id.
            steps = [Step(model=call) for call in episode.trajectory.model_calls]
            episode.trajectory = Trajectory(steps=steps)
            latest[episode.id] = episode
    for episode in latest.values():
        side.add(episode)
    if not side.episodes and not side.notes:
        raise UsageError(f"{path} has no episode to compare")


def _measured(
    folder: Path, summary: SummaryJson | None, before_training: bool
) -> set[str]:
    """Ids of the episodes that a training was last measured by."""
    training = None if summary is None else summary.get("training")
    version = 0 if training is None else training.get("version", 0)
    after = [] if before_training else measured_ids(folder, "after", version)
    return set(after or measured_ids(folder, "before", 0))


def _add_counts(side: Side, summary: SummaryJson) -> None:
    for scenario in summary["scenarios"]:
        name, outcomes = scenario["name"], scenario["outcomes"]
        counted = outcomes["passed"] + outcomes["failed"]
        side.counts[name] = outcomes["passed"], counted
        side.lost[name] = scenario["episodes"] - counted
        side.checks[name] = {check["text"] for check in scenario["checks"]}
