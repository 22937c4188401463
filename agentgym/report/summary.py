"""Adds a run's episodes up, one at a time, to what `summary.json` says."""

from __future__ import annotations

import platform
import statistics
import time
from array import array
from collections import Counter
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

import agentgym
from agentgym.episode import Episode
from agentgym.errors import Outcome
from agentgym.reliability import Reliability, attrition_exceeded, judge

FORMAT = 1
EXIT_RELIABLE, EXIT_BELOW, EXIT_CANNOT_JUDGE = 0, 1, 6
_VERSIONS = ("pytest", "langchain", "torch", "transformers")


@dataclass(slots=True, kw_only=True)
class CheckTally:
    """How a check was judged over all counted episodes of its scenario.

    Attributes:
        example: An episode in which it did not pass, the shortest one seen.
        example_message: What pytest said of it there.
    """

    check: dict[str, Any]
    counts: Counter[str] = field(default_factory=Counter)
    example: Episode | None = None
    example_message: str | None = None

    @property
    def missed(self) -> int:
        """Episodes in which the check was judged and did not pass."""
        return self.counts["failed"] + self.counts["errored"]

    def add(self, check: dict[str, Any], episode: Episode) -> None:
        """Counts one episode."""
        status = check["status"]
        self.counts[status] += 1
        if status not in ("failed", "errored"):
            return
        if self.example is None or _length(episode) < _length(self.example):
            self.example, self.example_message = episode, check["message"]

    def to_json(self) -> dict[str, Any]:
        """The form in `summary.json`."""
        about = {k: self.check[k] for k in ("text", "file", "line", "weight", "must")}
        names = ("passed", "failed", "errored", "not_reached")
        return about | {name: self.counts[name] for name in names}


@dataclass(slots=True, kw_only=True)
class ScenarioTally:
    """One scenario's episodes.

    Attributes:
        reward: Sum over the counted episodes.
        smallest: The failing case with the shortest value, where cases have values.
        uncounted: The first error of each outcome that does not count.
    """

    name: str
    threshold: float
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    reward: float = 0.0
    tokens: int = 0
    seconds: float = 0.0
    checks: dict[Any, CheckTally] = field(default_factory=dict)
    errors: Counter[str] = field(default_factory=Counter)
    error_examples: dict[str, Episode] = field(default_factory=dict)
    uncounted: dict[Outcome, str] = field(default_factory=dict)
    smallest: str | None = None

    @property
    def passed(self) -> int:
        """Episodes that passed."""
        return self.outcomes[Outcome.passed]

    @property
    def counted(self) -> int:
        """Episodes that measure the agent."""
        return self.passed + self.outcomes[Outcome.failed]

    @property
    def total(self) -> int:
        """All episodes."""
        return sum(self.outcomes.values())

    @property
    def reliability(self) -> Reliability:
        """Reliability against the scenario's own threshold."""
        return judge(self.passed, self.counted, self.threshold)

    @property
    def judgeable(self) -> bool:
        """Whether enough of the episodes count."""
        return not attrition_exceeded(self.counted, self.total)

    def mean(self, total: float) -> float | None:
        """A sum over the counted episodes as a mean."""
        return total / self.counted if self.counted else None

    def add(self, episode: Episode) -> None:
        """Counts one episode."""
        self.outcomes[episode.outcome] += 1
        if not episode.counted:
            self.uncounted.setdefault(episode.outcome, episode.error or "")
            return
        self.reward += episode.reward
        self.tokens += episode.tokens
        self.seconds += episode.duration
        for check in episode.checks:
            key = (check["file"], check["line"], check["id"])
            tally = self.checks.get(key)
            if tally is None:
                tally = self.checks[key] = CheckTally(check=check)
            tally.add(check, episode)
        if episode.outcome is Outcome.failed:
            self._add_failure(episode)

    def _add_failure(self, episode: Episode) -> None:
        if episode.error is not None:
            self.errors[episode.error] += 1
            self.error_examples.setdefault(episode.error, episode)
        value = episode.case.get("value")
        if value is not None and (
            self.smallest is None
            or (len(value), value) < (len(self.smallest), self.smallest)
        ):
            self.smallest = value

    def to_json(self) -> dict[str, Any]:
        """The form in `summary.json`."""
        return {
            "name": self.name,
            "episodes": self.total,
            "passed": self.passed,
            "reliability": self.reliability.to_json(),
            "mean_reward": _rounded(self.mean(self.reward)),
            "tokens": _rounded(self.mean(self.tokens)),
            "seconds": _rounded(self.mean(self.seconds)),
            "outcomes": {outcome.value: self.outcomes[outcome] for outcome in Outcome},
            "smallest_failing_case": self.smallest,
            "checks": [tally.to_json() for tally in self.checks.values()],
        }


@dataclass(slots=True, kw_only=True)
class ToolTally:
    """The calls of one tool over the counted episodes; latencies in seconds."""

    name: str
    counts: Counter[str] = field(default_factory=Counter)
    latencies: array[float] = field(default_factory=lambda: array("d"))

    def add(self, row: dict[str, Any]) -> None:
        """Counts one episode's row (see `agentgym.tool_table`)."""
        for key, value in row.items():
            if key == "latencies":
                self.latencies.extend(value)
            elif key != "name" and value:
                self.counts[key] += value

    def latency(self) -> dict[str, float | None]:
        """Median and 95th percentile."""
        if len(self.latencies) < 2:
            only = self.latencies[0] if self.latencies else None
            return {"median": only, "p95": only}
        cuts = statistics.quantiles(self.latencies, n=20, method="inclusive")
        return {"median": _rounded(cuts[9]), "p95": _rounded(cuts[18])}

    def to_json(self) -> dict[str, Any]:
        """The form in `summary.json`."""
        names = ("calls", "correct", "wrong_arguments", "not_allowed", "missing")
        names += ("raised", "unjudged")
        counts = {name: self.counts[name] for name in names}
        return {"name": self.name, **counts, "latency": self.latency()}


@dataclass(slots=True, kw_only=True)
class RunSummary:
    """A run, added up.

    Attributes:
        threshold: The run's gate.
        policy: What was measured, as far as it is known.
        warnings: Sentences about the run itself.
    """

    threshold: float
    seed: int = 0
    policy: str | None = None
    run_id: str = ""
    started: float = field(default_factory=time.time)
    scenarios: dict[str, ScenarioTally] = field(default_factory=dict)
    tools: dict[str, ToolTally] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def scenario(self, name: str, threshold: float | None = None) -> ScenarioTally:
        """The tally of a scenario; its own threshold replaces the run's."""
        tally = self.scenarios.get(name)
        if tally is None:
            tally = ScenarioTally(name=name, threshold=self.threshold)
            self.scenarios[name] = tally
        if threshold is not None:
            tally.threshold = threshold
        return tally

    def add(self, episode: Episode) -> None:
        """Counts one episode."""
        self.scenario(episode.scenario).add(episode)
        self.policy = self.policy or episode.policy
        if episode.counted:
            for row in episode.tools:
                tally = self.tools.get(row["name"])
                if tally is None:
                    tally = self.tools[row["name"]] = ToolTally(name=row["name"])
                tally.add(row)

    @property
    def outcomes(self) -> Counter[Outcome]:
        """Episodes of all scenarios by outcome."""
        return sum((s.outcomes for s in self.scenarios.values()), Counter[Outcome]())

    @property
    def passed(self) -> int:
        """Episodes that passed."""
        return sum(s.passed for s in self.scenarios.values())

    @property
    def counted(self) -> int:
        """Episodes that measure the agent."""
        return sum(s.counted for s in self.scenarios.values())

    @property
    def total(self) -> int:
        """All episodes."""
        return sum(s.total for s in self.scenarios.values())

    @property
    def mean_reward(self) -> float | None:
        """Over the counted episodes."""
        reward = sum(s.reward for s in self.scenarios.values())
        return reward / self.counted if self.counted else None

    @property
    def reliability(self) -> Reliability:
        """Of all counted episodes, against the run's threshold."""
        return judge(self.passed, self.counted, self.threshold)

    @property
    def judgeable(self) -> bool:
        """Whether enough episodes count, in the run and in every scenario."""
        return not attrition_exceeded(self.counted, self.total) and all(
            s.judgeable for s in self.scenarios.values()
        )

    @property
    def below(self) -> list[ScenarioTally]:
        """Scenarios that do not reach their thresholds."""
        return [s for s in self.scenarios.values() if not s.reliability.met]

    @property
    def exit_code(self) -> int:
        """0 reliable, 1 below a threshold, 6 not to be judged."""
        if not self.judgeable:
            return EXIT_CANNOT_JUDGE
        met = self.reliability.met and not self.below
        return EXIT_RELIABLE if met else EXIT_BELOW

    def missed_checks(self) -> list[tuple[ScenarioTally, CheckTally]]:
        """Checks that did not always pass, the commonest failure first."""
        missed = [
            (scenario, check)
            for scenario in self.scenarios.values()
            for check in scenario.checks.values()
            if check.missed
        ]
        return sorted(missed, key=lambda pair: -pair[1].missed)

    def to_json(self) -> dict[str, Any]:
        """The content of `summary.json`."""
        outcomes = self.outcomes
        return {
            "format": FORMAT,
            "run": self.run_id,
            "started": round(self.started, 3),
            "seconds": round(time.time() - self.started, 3),
            "reliability": self.reliability.to_json(),
            "judgeable": self.judgeable,
            "mean_reward": _rounded(self.mean_reward),
            "episodes": {outcome.value: outcomes[outcome] for outcome in Outcome},
            "scenarios": [s.to_json() for s in self.scenarios.values()],
            "tools": [t.to_json() for t in self.tools.values()],
            "policy": self.policy,
            "seed": self.seed,
            "versions": versions(),
            "warnings": self.warnings,
        }


def versions() -> dict[str, str]:
    """Versions of what a result may depend on, as far as installed."""
    found = {"python": platform.python_version(), "agentgym": agentgym.__version__}
    for name in _VERSIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _length(episode: Episode) -> int:
    return len(episode.trajectory.messages) + len(episode.trajectory.tool_calls)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
