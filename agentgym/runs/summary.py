"""Adds a run's episodes up, one at a time, to what `summary.json` says."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from importlib import metadata
from typing import TYPE_CHECKING, Literal

from agentgym.distribution import __version__
from agentgym.exit_code import ExitCode
from agentgym.playing.alone import better_alone
from agentgym.playing.episode import Episode
from agentgym.recording.blame import Outcome
from agentgym.reliability import (
    ALPHA,
    ATTRITION_LIMIT,
    CONFIDENCE,
    KEpisodes,
    Reliability,
    Verdict,
    attrition_bounds,
    certified_by_scenarios,
    holm,
    judge,
    judge_mean,
)
from agentgym.reliability.gate_odds import tolerant_alpha
from agentgym.runs.case_results import Skips, families, of_k, of_k_json
from agentgym.runs.files.layout import SUMMARY_FORMAT
from agentgym.runs.gate import GateDecision, Reason, ReasonKind, decide
from agentgym.runs.gate_facts import (
    GateFacts,
    ScenarioFacts,
    odds,
)
from agentgym.runs.lines import count, listed, short_name
from agentgym.runs.outcome_sequence import Stop
from agentgym.runs.prices import Prices
from agentgym.runs.simulator_tally import SimulatorTally
from agentgym.runs.spending import Spending
from agentgym.runs.summary_json import FamilyJson, SummaryJson
from agentgym.runs.tallies import (
    CheckTally,
    ErrorTally,
    ScenarioTally,
    ToolTally,
    attrition_json,
    outcomes_json,
    reliability_json,
    rounded,
)

if TYPE_CHECKING:
    from agentgym.runs.comparison import Comparison

Gate = Literal["point", "tolerant", "certified"]
"""What the exit code asks for: a measured share that reaches the threshold, one that is
not certain to be below it, or one that is certain to reach it."""


_VERSIONS = (
    "pytest",
    "langchain",
    "langchain-openai",
    "crewai",
    "autogen-agentchat",
    "openai",
    "torch",
    "transformers",
)


@dataclass(slots=True, kw_only=True)
class RunSummary:
    """A run, added up; no episode is kept but a few short examples.

    Attributes:
        threshold: The run's gate.
        policy: What was measured, as far as it is known.
        started: Seconds since 1970.
        warnings: Sentences about the run itself.
        interrupted: Episodes played and planned, if it was stopped before its end.
        stopped: What stopped it, if that was a limit of the run's.
        prices: Where prices come from.
        spent: What all episodes took.
        baseline: How it compares with an earlier run, once it is over.
        whole: Whether the run alone is judged against its threshold: a scenario then
            fails a run that reaches it only by a threshold of its own.
        gate: What the exit code asks for.
        stop: When the scenarios ended.
        planned: Episodes that would have been played had none been stopped.
        settled: What was certain of the run before all of its scenarios had ended: that
            it is below its threshold, whatever the others do.
        not_played: Scenarios that were therefore not played to their end, and the
            episodes that they were to have.
        ks: Which k of pass^k and pass@k were asked for; None for the usual ones.
        collected: The place of each scenario among what was collected, as far as known.
        skipped: Of scenarios that left out some of their cases.
        outside_reasons: What the gate must know and no episode says, see `note`.
    """

    threshold: float
    seed: int = 0
    policy: str | None = None
    run_id: str = ""
    started: float = field(default_factory=time.time)
    scenarios: dict[str, ScenarioTally] = field(default_factory=dict)
    tools: dict[str, ToolTally] = field(default_factory=dict)
    simulators: SimulatorTally = field(default_factory=SimulatorTally)
    warnings: list[str] = field(default_factory=list)
    interrupted: tuple[int, int] | None = None
    stopped: str | None = None
    prices: Prices = field(default_factory=Prices)
    spent: Spending = field(default_factory=Spending)
    baseline: Comparison | None = None
    whole: bool = False
    gate: Gate = "point"
    stop: Stop = "fixed"
    planned: int = 0
    settled: Reliability | None = None
    not_played: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, Skips] = field(default_factory=dict)
    ks: Sequence[int] | None = None
    collected: dict[str, int] = field(default_factory=dict)
    outside_reasons: list[Reason] = field(default_factory=list)
    _began: float = field(default_factory=time.monotonic, init=False, repr=False)
    _concluded: GateDecision | None = field(default=None, init=False, repr=False)

    def scenario(self, name: str, threshold: float | None = None) -> ScenarioTally:
        """The tally of a scenario.

        Args:
            name: Its node id; one that is new gets a tally.
            threshold: Its own, which replaces the run's.
        """
        tally = self.scenarios.get(name)
        if tally is None:
            tally = ScenarioTally(name=name, threshold=self.threshold, stop=self.stop)
            tally.cases.ks = self.ks
            self.scenarios[name] = tally
        if threshold is not None:
            tally.threshold = threshold
        return tally

    def add(self, episode: Episode) -> None:
        """Counts one episode."""
        self.spent.add(episode, self.prices)
        scenario = self.scenario(episode.scenario)
        if episode.alone:
            scenario.add_alone(episode, self.prices)
            return
        scenario.add(episode, self.prices)
        self.simulators.add(episode)
        if self.policy is None:
            self.policy = episode.policy
        if episode.counted:
            for row in episode.tools:
                tally = self.tools.get(row["name"])
                if tally is None:
                    tally = self.tools[row["name"]] = ToolTally(name=row["name"])
                tally.add(row)

    @property
    def ordered(self) -> list[ScenarioTally]:
        """The scenarios as they were collected, else by name, whichever came first."""
        last = len(self.collected)
        names = sorted(self.scenarios, key=lambda n: (self.collected.get(n, last), n))
        return [self.scenarios[name] for name in names]

    @property
    def gated(self) -> list[ScenarioTally]:
        """The scenarios that the run is judged by: not those expected to fail."""
        return [scenario for scenario in self.ordered if not scenario.xfail]

    @property
    def outcomes(self) -> dict[Outcome, int]:
        """Episodes of all scenarios by outcome."""
        return {
            outcome: sum(s.outcomes[outcome] for s in self.scenarios.values())
            for outcome in Outcome
        }

    @property
    def passed(self) -> int:
        """Episodes that passed."""
        return sum(s.passed for s in self.gated)

    @property
    def counted(self) -> int:
        """Episodes that measure the agent."""
        return sum(s.counted for s in self.gated)

    @property
    def total(self) -> int:
        """All episodes that the run is judged by."""
        return sum(s.total for s in self.gated)

    @property
    def mean_reward(self) -> float | None:
        """Over the counted episodes."""
        reward = sum(s.reward for s in self.gated)
        return reward / self.counted if self.counted else None

    @property
    def reliability(self) -> Reliability:
        """Against the run's threshold: of all counted episodes.

        Where scenarios ended when a verdict was certain, it is the mean of theirs: one
        that fails is given up early, and its few episodes would weigh too little.
        """
        if self.stop == "fixed":
            # The tolerant gate's verdicts, of the run and its scenarios, share the 5 %.
            gates = round(ALPHA / self._alpha)
            return judge(self.passed, self.counted, self.threshold, gates=gates)
        gated = self.gated
        if self.settled is None and len(gated) == 1:
            only = gated[0]
            return only.results.judge(self.threshold, self.stop, planned=only.planned)
        counts = [(s.passed, s.counted) for s in gated]
        played = judge_mean(counts, self.threshold)
        if self.settled is None and self.stop == "grouped":
            # A look at each tenth needs less evidence than the mean's wager.
            gates = len(gated)
            return certified_by_scenarios(played, [s.judged(gates) for s in gated])
        if self.settled is None:
            return played
        # What was certain then is certain; the numbers are those of what was played.
        numbers = ("passed", "counted", "value", "low", "high")
        return replace(
            self.settled, **{name: getattr(played, name) for name in numbers}
        )

    @property
    def k_episodes(self) -> list[KEpisodes]:
        """pass^k and pass@k over all cases that the run is judged by."""
        cases = [case for scenario in self.gated for case in scenario.cases.cases]
        return of_k(cases, self.ks)

    @property
    def families(self) -> list[FamilyJson]:
        """The scenarios that are one function with several parameter sets."""
        return families({s.name: s.cases for s in self.gated}, self.ks)

    @property
    def unseen(self) -> int:
        """Scenarios of which no episode was played, because the run was settled."""
        return len(self.not_played.keys() - self.scenarios.keys())

    @property
    def _alpha(self) -> float:
        """The chance of error of the run's verdict, and of its scenarios' together."""
        judged = len(self.gated) + self.unseen
        return tolerant_alpha(judged) if self.gate == "tolerant" else ALPHA

    @property
    def verdicts(self) -> dict[str, Verdict]:
        """Of the scenarios that the run is judged by, all right together (Holm)."""
        gated = self.gated
        gates = len(gated) + self.unseen
        judged = [scenario.judged(gates) for scenario in gated]
        names = [scenario.name for scenario in gated]
        given = holm(judged, self._alpha, self.unseen)
        return dict(zip(names, given, strict=True))

    @property
    def met(self) -> bool:
        """Whether the run alone passes its gate."""
        if self.settled is not None:
            return False
        if self.gate == "certified":
            return self.reliability.verdict is Verdict.reliable
        if self.gate == "tolerant":
            return self.reliability.verdict is not Verdict.unreliable
        return self.reliability.met

    @property
    def judgeable(self) -> bool:
        """Whether enough episodes count, in the run and in every scenario."""
        return self._facts().judgeable

    @property
    def certifiable(self) -> bool:
        """Whether anything is certain of the run.

        Not if someone has ended it: who sees the numbers may choose the moment.
        """
        by_hand = self.interrupted is not None and self.stopped is None
        return self.judgeable and not by_hand

    def skip(self, name: str, reasons: Sequence[str], *, planned: int) -> None:
        """Counts cases that a scenario skipped.

        Args:
            name: The scenario's node id.
            reasons: Why each of them was left out.
            planned: Episodes that it was to have.
        """
        if reasons:
            skips = self.skipped.setdefault(name, Skips(planned=planned))
            skips.planned = planned
            skips.reasons.update(reasons)

    def not_judged(
        self, name: str, why: str, kind: ReasonKind = ReasonKind.errored
    ) -> None:
        """Notes that a scenario cannot be judged, whatever its episodes say.

        Args:
            name: The scenario's node id; it need not have an episode.
            why: What happened, as a sentence without the name and a full stop.
            kind: `errored` outside of any episode, `usage`, `not_played`, or
                `passed_unexpectedly`.
        """
        self.note(Reason(kind=kind, sentence=why, scenario=name))

    def note(self, reason: Reason) -> None:
        """Notes a reason of the gate that no episode knows of, once."""
        if reason not in self.outside_reasons:
            self.outside_reasons.append(reason)

    def conclude(self) -> None:
        """Decides the gate for good: nothing comes that it would have to know."""
        self._concluded = decide(self._facts(), self.outside_reasons)
        self.warnings += self._unseen_agents()
        self.warnings += self._better_alone()

    def _better_alone(self) -> Iterator[str]:
        """Scenarios whose episodes seem to get in each other's way."""
        for each in self.ordered:
            if better_alone(each.alone, each.passed, each.counted):
                passed, again = each.alone.passed, each.alone.played
                yield (
                    f"{short_name(each.name)}: {each.passed} of "
                    f"{count(each.counted, 'episode')} passed side by side, and "
                    f"{passed} of {again} that had failed passed when they were played "
                    "again one at a time: do the agent's tools "
                    "share something, such as a module's global or a database, or is a "
                    "server too slow for so many? Give each episode its own "
                    "(docs/how-to/shared-worlds.md), or measure with "
                    "--agentgym-concurrency 1"
                )

    def _unseen_agents(self) -> Iterator[str]:
        """That checks of calls say nothing, if no call was ever seen of an agent."""
        blind = [s for s in self.ordered if s.unseen and not s.seen]
        if blind:
            replies = sum(scenario.unseen for scenario in blind)
            played = count(sum(scenario.counted for scenario in blind), "episode")
            names = listed([short_name(scenario.name) for scenario in blind], 3)
            yield (
                f"no model or tool call was seen in {replies} of {played} of {names}: "
                "if it makes any, use @agentgym.tool and record_openai "
                "(docs/how-to/frameworks/functions.md)"
            )

    @property
    def decision(self) -> GateDecision:
        """The gate's decision; whatever shows it takes it from here.

        Before the run is concluded, it is what the gate would say now.
        """
        if self._concluded is not None:
            return self._concluded
        return decide(self._facts(), self.outside_reasons)

    def _facts(self) -> GateFacts:
        verdicts = self.verdicts
        return GateFacts(
            threshold=self.threshold,
            certified=self.gate == "certified",
            tolerant=self.gate == "tolerant",
            fixed=self.stop == "fixed",
            met=self.met,
            whole=self.whole,
            settled=self.settled is not None,
            scenarios=[
                ScenarioFacts(
                    name=scenario.name,
                    passed=scenario.passed,
                    counted=scenario.counted,
                    total=scenario.total,
                    threshold=scenario.threshold,
                    verdict=verdicts[scenario.name],
                    ended=scenario.name not in self.not_played,
                )
                for scenario in self.gated
            ],
            expected_to_fail=bool(self.scenarios) and not self.gated,
            allowed=None if self.baseline is None else self.baseline.allowed,
            interrupted=self.interrupted,
            stopped=self.stopped,
        )

    @property
    def gate_odds(self) -> str | None:
        """What a gate of this size does by chance, where that has to be said."""
        return odds(self._facts())

    @property
    def exit_code(self) -> ExitCode:
        """What the scenarios alone say, see `agentgym.runs.gate.decide`."""
        return self.decision.exit_code

    def missed_checks(self) -> list[tuple[ScenarioTally, CheckTally]]:
        """Checks that did not always pass, the commonest failure first."""
        missed = [
            (scenario, scenario.checks[key])
            for scenario in self.ordered
            for key in sorted(scenario.checks)
            if scenario.checks[key].missed
        ]
        return sorted(missed, key=lambda pair: -pair[1].missed)

    def crashed_checks(self) -> list[tuple[ScenarioTally, CheckTally]]:
        """Checks in which the user's own code raised, the commonest first."""
        crashed = [
            (scenario, scenario.checks[key])
            for scenario in self.ordered
            for key in sorted(scenario.checks)
            if scenario.checks[key].crashes
        ]
        return sorted(crashed, key=lambda pair: -pair[1].crashes)

    def agent_errors(self) -> list[tuple[ScenarioTally, ErrorTally]]:
        """Errors of the agent that ended episodes, the commonest first."""
        found = [
            (scenario, scenario.errors[kind])
            for scenario in self.ordered
            for kind in sorted(scenario.errors)
        ]
        return sorted(found, key=lambda pair: -pair[1].count)

    def to_json(self) -> SummaryJson:
        """The content of `summary.json`."""
        gates = max(1, len(self.gated) + self.unseen)
        verdicts = self.verdicts
        decision = self.decision
        attrition = None
        if self.total:
            attrition = attrition_bounds(self.passed, self.counted, self.total)
        data: SummaryJson = {
            "format": SUMMARY_FORMAT,
            "run": self.run_id,
            "started": round(self.started, 3),
            "seconds": round(time.monotonic() - self._began, 3),
            "exit_code": int(decision.exit_code),
            "decision": decision.to_json(),
            "reliability": reliability_json(self.reliability, self.certifiable),
            "confidence": CONFIDENCE,
            "judgeable": self.judgeable,
            "interrupted": self.interrupted is not None,
            "stopped": self.stopped,
            "gate": self.gate,
            "gate_odds": self.gate_odds,
            "stop": self.stop,
            "planned": self.planned,
            "not_played": [
                {"name": name, "played": self._total(name), "planned": planned}
                for name, planned in sorted(self.not_played.items())
            ],
            "skipped": [
                self.skipped[name].to_json(name) for name in sorted(self.skipped)
            ],
            "attrition_limit": ATTRITION_LIMIT,
            "attrition": attrition_json(attrition),
            "mean_reward": rounded(self.mean_reward),
            "episodes": outcomes_json(self.outcomes),
            "scenarios": [
                s.to_json(gates, verdicts.get(s.name), decision.scenarios.get(s.name))
                for s in self.ordered
            ],
            "families": self.families,
            "k_episodes": of_k_json(self.k_episodes),
            "tools": [self.tools[name].to_json() for name in sorted(self.tools)],
            "cost": {**self.spent.to_json(), "prices": self.prices.source},
            "simulators": self.simulators.to_json(),
            "policy": self.policy,
            "seed": self.seed,
            "versions": versions(),
            "warnings": list(self.warnings),
        }
        if self.baseline is not None:
            data["baseline"] = self.baseline.to_json()
        return data

    def _total(self, name: str) -> int:
        scenario = self.scenarios.get(name)
        return 0 if scenario is None else scenario.total


def versions() -> dict[str, str]:
    """Versions of what a result may depend on, as far as installed."""
    found = {"python": platform.python_version(), "agentgym": __version__}
    for name in _VERSIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
