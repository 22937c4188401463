"""When a scenario has had enough episodes, whatever is still in flight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from agentgym.reliability.verdicts import Verdict, attrition_exceeded

_LONG = 64
_GROWTH = 16
_IN_FLIGHT = object()


class StopRule(Protocol):
    """At which counts a verdict is certain."""

    def verdict(self, passed: int, failed: int) -> Verdict:
        """What these counts certify, if they are looked at.

        Args:
            passed: Of the first episodes that count.
            failed: Of the same episodes.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """When a verdict was certain.

    Attributes:
        episodes: Episodes in the order of their indices up to then.
        passed: How many of them passed.
        failed: How many failed.
    """

    verdict: Verdict
    episodes: int
    passed: int
    failed: int


class ScenarioStop:
    """Says when enough episodes were played.

    Episodes finish in any order, and an agent's failures may take longer than its
    successes. So the rule looks at the first episodes in the order of their indices,
    and those of them that are in flight are taken for failed where a verdict would be
    RELIABLE, and for passed where it would be UNRELIABLE. What is certain then is
    certain once they have landed, too: more passed episodes never speak against the
    one, nor more failed ones against the other. The episodes could therefore end only
    where the rule, which may look at each beginning of the sequence, errs as seldom as
    it says.

    Args:
        rule: Looks at the counts.

    Attributes:
        decision: The first verdict that was certain, of episodes that have all landed.
    """

    def __init__(self, rule: StopRule) -> None:
        self.decision: Decision | None = None
        self._rule = rule
        self._waiting: dict[int, bool | None] = {}
        self._next = self._passed = self._failed = 0
        self._landed = self._counted = 0
        self._looked = 0
        self._last = -1
        self._foreseen = False

    def add(self, index: int, passed: bool | None) -> None:
        """Takes in a finished episode; `passed` is None where it does not count.

        Args:
            index: Of the episode; each index comes once.
            passed: None where the episode does not count.
        """
        self._landed += 1
        self._counted += passed is not None
        self._waiting[index] = passed
        self._last = max(self._last, index)
        while self._next in self._waiting:
            outcome = self._waiting.pop(self._next)
            self._next += 1
            if outcome is None:
                continue
            self._passed += outcome
            self._failed += not outcome
            if self.decision is None:
                self._decide()

    def skip(self, index: int) -> None:
        """Passes over an episode that was not to be played; none is lost by it."""
        self._landed -= 1
        self.add(index, None)

    @property
    def enough(self) -> bool:
        """Whether no further episode is needed: a verdict that may be given."""
        if self.decision is None and not self._foreseen and self._waiting:
            self._foresee()
        certain = self.decision is not None or self._foreseen
        return certain and not attrition_exceeded(self._counted, self._landed)

    def _decide(self) -> None:
        verdict = self._rule.verdict(self._passed, self._failed)
        if verdict is not Verdict.undecided:
            self.decision = Decision(
                verdict=verdict,
                episodes=self._next,
                passed=self._passed,
                failed=self._failed,
            )

    def _foresee(self) -> None:
        """Looks beyond the first episode that is in flight."""
        # One that hangs for minutes would have thousands looked at again and again.
        if self._landed < self._looked + (len(self._waiting) - _LONG) / _GROWTH:
            return
        self._looked = self._landed
        passed, failed, in_flight = self._passed, self._failed, 0
        for index in range(self._next, self._last + 1):
            outcome = self._waiting.get(index, _IN_FLIGHT)
            if outcome is None:
                continue
            passed += outcome is True
            failed += outcome is False
            in_flight += outcome is _IN_FLIGHT
            worst = self._rule.verdict(passed, failed + in_flight)
            best = self._rule.verdict(passed + in_flight, failed)
            if worst is Verdict.reliable or best is Verdict.unreliable:
                self._foreseen = True
                return
