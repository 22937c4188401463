"""What a run has measured, as far as its gate asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agentgym.reliability import (
    ALPHA,
    Verdict,
    attrition_exceeded,
    noticed,
    point_alarm,
)
from agentgym.reliability.gate_odds import POWER, tolerant_alpha
from agentgym.runs.drop import Allowance
from agentgym.runs.lines import percent, threshold


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioFacts:
    """A scenario that the gate judges.

    Attributes:
        passed: Episodes that passed.
        counted: Episodes that passed or failed.
        total: All episodes.
        threshold: Its own, or the run's.
        verdict: Given together with those of the others; None if there is none.
        ended: Whether it was played until it was over; one that was cut short because
            the run was settled is not blamed.
    """

    name: str
    passed: int
    counted: int
    total: int
    threshold: float
    verdict: Verdict | None
    ended: bool = True

    @property
    def lost(self) -> bool:
        """Whether too few of its episodes count to judge it."""
        return attrition_exceeded(self.counted, self.total)

    @property
    def value(self) -> float | None:
        """The passed share of the counted episodes."""
        return self.passed / self.counted if self.counted else None

    def passes(self, *, certified: bool, tolerant: bool = False) -> bool:
        """Whether it passes its own gate.

        Args:
            certified: Whether a share is not enough, but must be certain.
            tolerant: Whether it fails only if it is certain to be below.
        """
        if certified:
            return self.verdict is Verdict.reliable
        if tolerant:
            return self.verdict is not Verdict.unreliable
        return self.value is not None and self.value >= self.threshold


@dataclass(frozen=True, slots=True, kw_only=True)
class GateFacts:
    """What a run has measured, as far as its gate asks.

    Attributes:
        threshold: The run's.
        certified: Whether the gate asks for certainty.
        tolerant: Whether it fails only what is certain to be below.
        met: Whether the run alone reaches the threshold, in that sense.
        whole: Whether a run that does is failed only by scenarios with thresholds of
            their own.
        settled: Whether the run was certain to be below its threshold before its end.
        scenarios: Those that the gate judges.
        expected_to_fail: Whether there are scenarios, and all failed as expected.
        fixed: Whether the numbers of episodes were fixed beforehand.
        allowed: The drop since the baseline against the largest one that is allowed.
        interrupted: Episodes played and planned, if the run did not come to its end.
        stopped: The limit that ended it, if one did.
    """

    threshold: float
    certified: bool
    met: bool
    whole: bool = False
    settled: bool = False
    scenarios: Sequence[ScenarioFacts]
    expected_to_fail: bool = False
    tolerant: bool = False
    fixed: bool = False
    allowed: Allowance | None = None
    interrupted: tuple[int, int] | None = None
    stopped: str | None = None

    @property
    def counted(self) -> int:
        """Episodes that measure the agent."""
        return sum(scenario.counted for scenario in self.scenarios)

    @property
    def total(self) -> int:
        """All episodes."""
        return sum(scenario.total for scenario in self.scenarios)

    @property
    def lost(self) -> bool:
        """Whether too few episodes of the run count to judge it."""
        return attrition_exceeded(self.counted, self.total)

    @property
    def judgeable(self) -> bool:
        """Whether enough episodes count, in the run and in every scenario.

        A run that is settled had enough; what was cut short need not have.
        """
        lost = self.lost or any(scenario.lost for scenario in self.scenarios)
        return self.settled or not lost

    @property
    def below(self) -> list[ScenarioFacts]:
        """Scenarios that do not pass their gates, the least reliable first."""
        missed = [
            scenario
            for scenario in self.scenarios
            if scenario.ended
            and not scenario.lost
            and not scenario.passes(certified=self.certified, tolerant=self.tolerant)
        ]
        if self.whole and self.met:
            missed = [s for s in missed if s.threshold != self.threshold]
        return sorted(missed, key=lambda scenario: scenario.value or 0.0)


def odds(facts: GateFacts) -> str | None:
    """What a gate of this size does by chance, where that has to be said.

    Args:
        facts: What was measured.

    Returns:
        A sentence without a full stop.
    """
    if not facts.fixed or facts.interrupted is not None or not facts.judgeable:
        return None
    if facts.tolerant:
        return _what_is_noticed(facts) if facts.met and not facts.below else None
    maybe = [s for s in facts.below if s.verdict is not Verdict.unreliable]
    if facts.certified or facts.whole or not maybe:
        return None
    # A fifth of the failures that are allowed.
    good = 1 - (1 - facts.threshold) / 5
    alarm = point_alarm([(s.counted, s.threshold) for s in facts.scenarios], good)
    if alarm < ALPHA:
        return None
    who = f"an agent of {threshold(good)}"
    if len(facts.scenarios) > 1:
        who += " in every scenario"
    return (
        f"that may be chance: {who} misses a gate of this size in {100 * alarm:.0f} % "
        "of runs; --agentgym-gate tolerant fails only what is certain to be below, by "
        f"chance in at most {threshold(ALPHA)} of runs"
    )


def _what_is_noticed(facts: GateFacts) -> str:
    """The tolerant gate lets through what it cannot tell from the threshold."""
    number = len(facts.scenarios)
    alpha = tolerant_alpha(number)
    worst = min(facts.scenarios, key=lambda s: s.counted)
    seen = noticed(worst.counted, worst.threshold, alpha / number)
    parts = []
    if seen is not None:
        one = "an agent" if number == 1 else "a scenario"
        parts.append(f"{one} of {percent(seen)} or less")
    run = noticed(facts.counted, facts.threshold, alpha)
    if number > 1 and run is not None:
        parts.append(f"a run of {percent(run)} or less")
    if not parts:
        return "so few episodes are never certain to be below, whatever the agent does"
    which = " and ".join(parts)
    return f"a gate of this size sees {which} in {threshold(POWER)} of runs"
