"""Counts of one check, one tool, one scenario, added up episode by episode.

Episodes arrive in any order (threads, xdist), and the same ones must give the same
report: examples are chosen by their content, never by who came first.
"""

from __future__ import annotations

import re
import statistics
import sys
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

from agentgym.playing.alone import PlayedAlone
from agentgym.playing.episode import Episode
from agentgym.recording.blame import Outcome
from agentgym.reliability import (
    ALPHA,
    CaseSpread,
    ClusteredRate,
    KEpisodes,
    Reliability,
    Verdict,
    attrition_bounds,
    attrition_exceeded,
    case_spread,
    judge,
)
from agentgym.reliability.verdicts import verdict_of
from agentgym.runs.case_results import CaseResults, of_k, of_k_json
from agentgym.runs.outcome_sequence import OutcomeSequence, Stop
from agentgym.runs.prices import Prices
from agentgym.runs.spending import Spending
from agentgym.runs.summary_json import (
    BoundsJson,
    CasesJson,
    CheckJson,
    LatencyJson,
    ListedJson,
    OutcomesJson,
    ReliabilityJson,
    ScenarioJson,
    ToolJson,
)

MOST_ERRORS = 50
"""Kinds of errors kept apart in one scenario; the memory of a run stays bounded."""

_CHECK_FIELDS = ("id", "text", "file", "line", "weight", "must")
_STATUSES = ("passed", "failed", "errored", "not_reached")
_CALLS = ("calls", "correct", "wrong_arguments", "not_allowed", "missing", "raised")
_VARIABLE_PART = re.compile(r"'[^']*'|\"[^\"]*\"|\w*\d\w*")


Rank = tuple[bool, int, int]


class Example:
    """The shortest of the episodes it was offered, the earliest of these.

    An episode that an error cut off is taken only if there is no other.

    Attributes:
        rank: The less, the better it serves as an example.
    """

    __slots__ = ("episode", "message", "rank")

    def __init__(self) -> None:
        self.episode: Episode | None = None
        self.message: str | None = None
        self.rank: Rank = (True, sys.maxsize, sys.maxsize)

    def offer(self, episode: Episode, message: str | None = None) -> None:
        """Keeps the episode, cut to what a file would hold, if it is shorter.

        Args:
            episode: In any order: what is kept does not depend on it.
            message: What pytest says of the check that failed in it.
        """
        trajectory = episode.trajectory
        calls = sum(len(step.tool_calls) for step in trajectory.steps)
        length = len(trajectory.messages) + calls
        rank = (episode.error is not None, length, episode.index)
        if self.episode is None or rank < self.rank:
            # A tool's result may be 10 MB, and another thread may still write to it.
            self.episode = Episode.from_json(episode.to_json())
            self.message, self.rank = message, rank


@dataclass(slots=True, kw_only=True)
class CheckTally:
    """How a check was judged over all counted episodes of its scenario.

    Attributes:
        example: A short episode in which it did not pass, and what pytest said of it.
        crashes: Episodes in which the user's own code raised in it; they do not count.
        crash: Index of the earliest of them, and what was raised.
    """

    check: dict[str, Any]
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_STATUSES, 0))
    example: Example = field(default_factory=Example)
    crashes: int = 0
    crash: tuple[int, str] | None = None

    @property
    def missed(self) -> int:
        """Episodes in which the check was judged and did not pass."""
        return self.counts["failed"] + self.counts["errored"]

    def add(self, check: dict[str, Any], episode: Episode) -> None:
        """Counts one episode.

        Args:
            check: How the check was judged in it.
            episode: May become the example.
        """
        status = check["status"]
        self.counts[status] += 1
        if status == "failed" or status == "errored":
            self.example.offer(episode, check["message"])

    def add_crash(self, text: str, episode: Episode) -> None:
        """Counts an episode in which nobody knows what the check says.

        Args:
            text: What was raised.
            episode: In any order.
        """
        self.crashes += 1
        self.crash = min(self.crash or (episode.index, text), (episode.index, text))

    def to_json(self) -> CheckJson:
        """The form in `summary.json`."""
        example = self.example.episode
        judged = {
            **{name: self.check[name] for name in _CHECK_FIELDS},
            **self.counts,
            "example": None if example is None else example.id,
            "message": self.example.message,
        }
        if self.crash is not None:
            judged["errored"] = self.counts["errored"] + self.crashes
            judged |= {"crashes": self.crashes, "crash": self.crash[1]}
        return cast("CheckJson", judged)


@dataclass(slots=True, kw_only=True)
class ErrorTally:
    """How often one kind of error of the agent ended an episode."""

    kind: str
    count: int = 0
    example: Example = field(default_factory=Example)


@dataclass(slots=True, kw_only=True)
class ScenarioTally:
    """One scenario's episodes.

    Attributes:
        reward: Sum over the counted episodes.
        spent: Of all episodes.
        errors: Errors of the agent by kind: the text without its numbers and names.
        uncounted: The earliest error of each outcome that does not count.
        smallest: The failing case with the shortest value, where cases have values.
        xfail: Whether it failed as it was expected to; the run's gate leaves it out.
        stop: When it ended.
        cases: What came of each case.
        planned: Episodes that it would have had, had nothing stopped it.
        listed: Cases that it lists; 0 where they are generated.
        seen: Counted episodes in which a call of a model or tool was seen.
        unseen: Those in which the agent replied, and none was.
        alone: Failed episodes that were played again, one at a time.
    """

    name: str
    threshold: float
    stop: Stop = "fixed"
    xfail: bool = False
    outcomes: dict[Outcome, int] = field(
        default_factory=lambda: dict.fromkeys(Outcome, 0)
    )
    reward: float = 0.0
    tokens: int = 0
    spent: Spending = field(default_factory=Spending)
    seconds: float = 0.0
    checks: dict[Any, CheckTally] = field(default_factory=dict)
    errors: dict[str, ErrorTally] = field(default_factory=dict)
    uncounted: dict[Outcome, tuple[int, str]] = field(default_factory=dict)
    smallest: str | None = None
    cases: CaseResults = field(default_factory=CaseResults)
    results: OutcomeSequence = field(default_factory=OutcomeSequence)
    planned: int = 0
    listed: int = 0
    waiting: int = 0
    seen: int = 0
    unseen: int = 0
    alone: PlayedAlone = field(default_factory=PlayedAlone)

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
        return self.judged()

    def judged(self, gates: int = 1) -> Reliability:
        """Reliability of one of so many scenarios, with the verdict it has alone."""
        if self.stop == "fixed":
            return judge(self.passed, self.counted, self.threshold)
        return self.results.judge(self.threshold, self.stop, gates, self.planned)

    @property
    def spread(self) -> CaseSpread | None:
        """What its repeated cases say of other cases."""
        return case_spread(self.cases.drawn)

    @property
    def k_episodes(self) -> list[KEpisodes]:
        """pass^k and pass@k, as the means over its cases."""
        return of_k(self.cases.cases, self.cases.ks)

    @property
    def attrition(self) -> tuple[float, float] | None:
        """The share if what does not count had failed, and if it had passed."""
        if not self.total:
            return None
        return attrition_bounds(self.passed, self.counted, self.total)

    @property
    def judgeable(self) -> bool:
        """Whether enough of the episodes count."""
        return not attrition_exceeded(self.counted, self.total)

    def mean(self, total: float) -> float | None:
        """A sum over the counted episodes as a mean."""
        return total / self.counted if self.counted else None

    def add_alone(self, episode: Episode, prices: Prices) -> None:
        """Counts an episode that was played alone; what it took is paid, too.

        Args:
            episode: In any order.
            prices: Where prices come from.
        """
        self.spent.add(episode, prices)
        self.alone = self.alone.and_one(episode)

    def add(self, episode: Episode, prices: Prices) -> None:
        """Counts one episode.

        Args:
            episode: In any order.
            prices: Where prices come from.
        """
        self.outcomes[episode.outcome] += 1
        self.spent.add(episode, prices)
        self.results.add(episode)
        self.cases.add(episode)
        self.waiting += episode.trajectory.interrupted
        if not episode.counted:
            earliest = (episode.index, episode.error or "")
            kept = self.uncounted.get(episode.outcome, earliest)
            self.uncounted[episode.outcome] = min(kept, earliest)
            self._add_crashes(episode)
            return
        self.reward += episode.reward
        self.tokens += episode.tokens
        self.seconds += episode.duration
        if episode.trajectory.steps:
            self.seen += 1
        elif episode.trajectory.reply:
            self.unseen += 1
        for check in episode.checks:
            self._check(check).add(check, episode)
        if episode.outcome is Outcome.failed:
            self._add_failure(episode)

    def _add_crashes(self, episode: Episode) -> None:
        for check in episode.checks:
            if check.get("crash"):
                self._check(check).add_crash(check["crash"], episode)

    def _check(self, check: dict[str, Any]) -> CheckTally:
        key = (check["file"], check["line"], check["id"])
        tally = self.checks.get(key)
        if tally is None:
            tally = self.checks[key] = CheckTally(check=check)
        return tally

    def _add_failure(self, episode: Episode) -> None:
        if episode.error is not None:
            tally = self._error(episode.error)
            tally.count += 1
            tally.example.offer(episode)
        value = episode.case.get("value")
        if value is not None and (
            self.smallest is None
            or (len(value), value) < (len(self.smallest), self.smallest)
        ):
            self.smallest = value

    def _error(self, error: str) -> ErrorTally:
        kind = _VARIABLE_PART.sub("*", error)
        if kind not in self.errors and len(self.errors) >= MOST_ERRORS:
            kind = "other errors"
        return self.errors.setdefault(kind, ErrorTally(kind=kind))

    def to_json(
        self, gates: int = 1, verdict: Verdict | None = None, met: bool | None = None
    ) -> ScenarioJson:
        """The form in `summary.json`.

        Args:
            gates: Scenarios of the run; their verdicts are given together.
            verdict: Of this one among them; by default its own chance of error is
                divided by their number.
            met: What the gate says of it; None if it is not judged.
        """
        judged = self.judged(gates)
        if verdict is None:
            verdict = verdict_of(judged.p_above, judged.p_below, ALPHA / gates)
        judged = replace(judged, verdict=verdict)
        spread = self.spread
        results, left_out = self.cases.to_json()
        return {
            "name": self.name,
            "episodes": self.total,
            "planned": max(self.planned, self.total),
            "passed": self.passed,
            "reliability": reliability_json(judged, self.judgeable),
            "xfail": self.xfail,
            "met": met,
            **of_k_json(self.k_episodes),
            "case_results": results,
            "case_results_left_out": left_out,
            "cases": None if spread is None else spread_json(spread),
            "listed": self.listed_cases,
            "attrition": attrition_json(self.attrition),
            "mean_reward": rounded(self.mean(self.reward)),
            "tokens": rounded(self.mean(self.tokens)),
            "seconds": rounded(self.mean(self.seconds)),
            "cost": self.spent.to_json(),
            "outcomes": outcomes_json(self.outcomes),
            "waiting": self.waiting,
            "smallest_failing_case": self.smallest,
            "checks": [self.checks[key].to_json() for key in sorted(self.checks)],
        }

    @property
    def listed_cases(self) -> ListedJson | None:
        """How many of the cases that it lists were played."""
        if not self.listed:
            return None
        return {"cases": self.listed, "played": len(self.cases.drawn)}


@dataclass(slots=True, kw_only=True)
class ToolTally:
    """The calls of one tool over the counted episodes; latencies in seconds."""

    name: str
    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys((*_CALLS, "unjudged", "waiting"), 0)
    )
    latencies: array[float] = field(default_factory=lambda: array("d"))
    correct: ClusteredRate = field(default_factory=ClusteredRate)

    def add(self, row: dict[str, Any]) -> None:
        """Counts one episode's row (see `agentgym.playing.tool_table`)."""
        for name in self.counts:
            # Early versions did not know of calls that wait.
            self.counts[name] += row.get(name, 0)
        self.latencies.extend(row["latencies"])
        # The calls of an episode resemble each other.
        unjudged = row["unjudged"] + row.get("waiting", 0)
        self.correct.add(row["correct"], row["calls"] - unjudged)

    def latency(self) -> LatencyJson:
        """Median and 95th percentile, interpolated between the calls next to them."""
        if len(self.latencies) < 2:
            only = self.latencies[0] if self.latencies else None
            return {"median": rounded(only), "p95": rounded(only)}
        cuts = statistics.quantiles(self.latencies, n=20, method="inclusive")
        return {"median": rounded(cuts[9]), "p95": rounded(cuts[18])}

    def to_json(self) -> ToolJson:
        """The form in `summary.json`."""
        low, high = self.correct.interval()
        used = {
            "name": self.name,
            **self.counts,
            "correct_rate": {
                "value": rounded(self.correct.value),
                "low": rounded(low),
                "high": rounded(high),
            },
            "latency": self.latency(),
        }
        return cast("ToolJson", used)


def spread_json(spread: CaseSpread) -> CasesJson:
    """The form in `summary.json`."""
    return {
        "played": spread.cases,
        "repeats": rounded(spread.repeats),
        "low": rounded(spread.low),
        "high": rounded(spread.high),
        "correlation": rounded(spread.correlation),
        "more_cases": spread.more_cases,
    }


def attrition_json(shares: tuple[float, float] | None) -> BoundsJson:
    """The form in `summary.json`."""
    worst, best = shares or (None, None)
    return {"worst": rounded(worst), "best": rounded(best)}


def reliability_json(reliability: Reliability, judgeable: bool) -> ReliabilityJson:
    """The form in `summary.json`.

    Args:
        reliability: Of the run, or of a scenario.
        judgeable: Whether enough episodes count; if not, there is no verdict.
    """
    data = cast("ReliabilityJson", reliability.to_json())
    if not judgeable:
        data["verdict"] = None
    return data


def outcomes_json(outcomes: Mapping[Outcome, int]) -> OutcomesJson:
    """The form in `summary.json`."""
    named = {outcome.value: number for outcome, number in outcomes.items()}
    return cast("OutcomesJson", named)


def rounded(value: float | None) -> float | None:
    """To six digits: sums depend on the episodes' order in the last ones."""
    return None if value is None else round(value, 6)
