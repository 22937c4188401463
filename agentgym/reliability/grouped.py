"""Verdicts at ten looks that were fixed beforehand: a group-sequential test.

With a largest number of episodes that is known, a look after each tenth of them costs
less than looks at any time: the chance of error is spent at ten times, and computed
exactly. The chance that is spent up to a share t of the episodes is alpha * t^1.5 (K.
Kim and D. DeMets, Design and analysis of group sequential tests based on the type I
error spending rate function, Biometrika 74 (1987) 149-154, after K. Lan and D. DeMets,
Discrete sequential boundaries for clinical trials, Biometrika 70 (1983) 659-663). Of
the powers tried, 0.5 to 3, this one takes the fewest episodes between 97 and 99 %
without a much larger number of episodes at most. The binomial chances go from look to
look as in C. Jennison and B. Turnbull, Group Sequential Methods with Applications to
Clinical Trials, Chapman & Hall 2000, chapter 12.

RELIABLE and UNRELIABLE have boundaries of their own. Each keeps its chance of error
even if nobody stopped at the other one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from agentgym.reliability.intervals import CONFIDENCE
from agentgym.reliability.scenario_stop import ScenarioStop
from agentgym.reliability.sequential import (
    confidence_sequence,
    p_values,
    sequential_bounds,
)
from agentgym.reliability.verdicts import ALPHA, Reliability, Verdict, verdict_of

LOOKS = 10
_POWER = 1.5
_NEGLIGIBLE = 1e-18
_STEPS = 32


class FailureChances(NamedTuple):
    """Chances of numbers of failures, of the runs that go on.

    Attributes:
        least: The least number.
        chances: Of this number, and the following ones.
    """

    least: int
    chances: list[float]

    def after(self, episodes: int, unreliability: float) -> FailureChances:
        """The same after some more episodes.

        Args:
            episodes: How many more.
            unreliability: The chance that one of them fails.
        """
        more = _binomial(episodes, unreliability)
        chances = [0.0] * (len(self.chances) + len(more.chances) - 1)
        for place, own in enumerate(self.chances):
            for i, chance in enumerate(more.chances, place):
                chances[i] += own * chance
        return _trimmed(self.least + more.least, chances)

    def up_to(self, failed: int) -> float:
        """The chance of so many failures, or fewer."""
        return math.fsum(self.chances[: max(0, failed + 1 - self.least)])

    def at_least(self, failed: int) -> float:
        """The chance of so many failures, or more."""
        return math.fsum(self.chances[max(0, failed - self.least) :])

    def above(self, failed: int) -> FailureChances:
        """Without those that have so many failures, or fewer."""
        cut = max(0, failed + 1 - self.least)
        return FailureChances(self.least + cut, self.chances[cut:])

    def below(self, failed: int) -> FailureChances:
        """Without those that have so many failures, or more."""
        return FailureChances(self.least, self.chances[: max(0, failed - self.least)])

    def most_within(self, chance: float) -> int:
        """The greatest number with no more than this chance of it, or fewer; or -1."""
        total, failed = 0.0, self.least - 1
        for one in self.chances:
            total += one
            if total > chance:
                return failed
            failed += 1
        return failed

    def fewest_within(self, chance: float) -> int:
        """The least number with no more than this chance of it, or more."""
        total, failed = 0.0, self.least + len(self.chances)
        for one in reversed(self.chances):
            total += one
            if total > chance:
                return failed
            failed -= 1
        return failed


_START = FailureChances(0, [1.0])


def _trimmed(least: int, chances: list[float]) -> FailureChances:
    """Without both tails, as far as they are less than any rounding."""
    first, last = 0, len(chances)
    while first < last and chances[first] < _NEGLIGIBLE:
        first += 1
    while last > first and chances[last - 1] < _NEGLIGIBLE:
        last -= 1
    return FailureChances(least + first, chances[first:last])


@lru_cache(maxsize=256)
def _binomial(episodes: int, unreliability: float) -> FailureChances:
    if not 0 < unreliability < 1 or not episodes:
        return FailureChances(episodes if unreliability >= 1 else 0, [1.0])
    odds = math.log(unreliability) - math.log1p(-unreliability)
    start = math.lgamma(episodes + 1) + episodes * math.log1p(-unreliability)
    # Beyond ten standard deviations, and some for small numbers, nothing is left.
    mean = episodes * unreliability
    width = 10 * math.sqrt(mean) + 40
    least, most = max(0, int(mean - width)), min(episodes, int(mean + width))
    return _trimmed(
        least,
        [
            math.exp(
                start + k * odds - math.lgamma(k + 1) - math.lgamma(episodes - k + 1)
            )
            for k in range(least, most + 1)
        ],
    )


class _Look(NamedTuple):
    """What one side knows at a look.

    Attributes:
        failures: Of the runs that come so far.
        spent: Chance of error at the looks before.
        bound: Most failures for RELIABLE, or the fewest for UNRELIABLE.
    """

    failures: FailureChances
    spent: float
    bound: int

    def further(self, reliable: bool) -> tuple[FailureChances, float]:
        """The runs that go on, and what is spent by then."""
        if reliable:
            spent = self.failures.up_to(self.bound)
            return self.failures.above(self.bound), self.spent + spent
        spent = self.failures.at_least(self.bound)
        return self.failures.below(self.bound), self.spent + spent


class GroupedChances(NamedTuple):
    """How runs end that are looked at after each tenth of their episodes.

    Attributes:
        reliable: The chance that they are certified RELIABLE.
        unreliable: The same of UNRELIABLE.
        episodes: Their mean number of episodes.
        p_values: The chances that the p-value against "below the threshold" is as small
            as was asked for.
    """

    reliable: float
    unreliable: float
    episodes: float
    p_values: Sequence[float] = ()


class GroupedTest:
    """Looks at an agent's counts ten times; a rule of `ScenarioStop`.

    Args:
        planned: Episodes, if nothing is certain before.
        threshold: Reliability that is asked for.
        alpha: Probability of error of each verdict, at most.

    Attributes:
        looks: Numbers of episodes after which a verdict may be given.
    """

    def __init__(self, planned: int, threshold: float, alpha: float = ALPHA) -> None:
        self.looks = sorted(
            {math.ceil(planned * part / LOOKS) for part in range(1, LOOKS + 1)}
        )
        self.planned = planned
        self.threshold = threshold
        self._alpha = alpha
        self._places = {n: place for place, n in enumerate(self.looks)}
        self._sides: dict[bool, list[_Look]] = {True: [], False: []}

    def verdict(self, passed: int, failed: int) -> Verdict:
        """What these counts certify, if they are looked at.

        Args:
            passed: Of the first episodes that count.
            failed: Of the same episodes.
        """
        place = self._places.get(passed + failed)
        if place is None:
            return Verdict.undecided
        if failed <= self.bound(place, reliable=True):
            return Verdict.reliable
        if failed >= self.bound(place, reliable=False):
            return Verdict.unreliable
        return Verdict.undecided

    def bound(self, place: int, *, reliable: bool) -> float:
        """Most failures for RELIABLE at a look, or the fewest for UNRELIABLE.

        Args:
            place: Of the look, from 0.
            reliable: Which of the two.
        """
        if not 0 < self.threshold < 1:
            always = self.threshold <= 0
            return (math.inf if always else -1) if reliable else 1 + 1e9 * always
        return self._look(place, reliable).bound

    def chances(
        self, reliability: float, alphas: Sequence[float] = ()
    ) -> GroupedChances:
        """How its runs end, exactly.

        Args:
            reliability: The true one.
            alphas: Of which p-values the chances are asked for; no smaller than that
                of the boundaries.
        """
        failures, before = _START, 0
        certain = refuted = mean = 0.0
        late: list[float] = []
        for place, look in enumerate(self.looks):
            more = look - before
            mean += more * math.fsum(failures.chances)
            failures, before = failures.after(more, 1 - reliability), look
            if look == self.planned:
                known = self._look(place, reliable=True)
                last = [known.failures.most_within(a - known.spent) for a in alphas]
                late = [certain + failures.up_to(failed) for failed in last]
            enough = self._look(place, reliable=True).bound
            certain += failures.up_to(enough)
            failures = failures.above(enough)
            many = self._look(place, reliable=False).bound
            refuted += failures.at_least(many)
            failures = failures.below(many)
        return GroupedChances(certain, refuted, mean, late)

    def p_values(self, passed: int, failed: int) -> tuple[float, float]:
        """Against "below the threshold", and "reaches it", at a look or at the end.

        Who is certified at an earlier look has the better result, and of those at the
        same look who has fewer failures (K. Fairbanks and R. Madsen, P values for tests
        using a repeated significance test design, Biometrika 69 (1982) 69-74).

        Args:
            passed: Of the episodes that are judged.
            failed: Of the same episodes.
        """
        n = passed + failed
        if not n:
            return 1.0, 1.0
        if not 0 < self.threshold < 1:
            return p_values(passed, failed, self.threshold)
        better, spent = self._at(n, reliable=True)
        worse, spent_too = self._at(n, reliable=False)
        above = min(1.0, spent + better.up_to(failed))
        return above, min(1.0, spent_too + worse.at_least(failed))

    def one_sided(self, passed: int, failed: int, verdict: Verdict) -> float:
        """What the reliability reaches, or does not exceed, at 95 % confidence.

        The reliability for which so good, or so bad, a result has a chance of 5 %, in
        the order of `p_values`.

        Args:
            passed: Of the episodes at the look that was certain.
            failed: Of the same episodes.
            verdict: What is certain: RELIABLE asks for what is reached.
        """
        reliable = verdict is Verdict.reliable
        low, high = 0.0, 1.0
        for _ in range(_STEPS):
            middle = (low + high) / 2
            chance = self._chance(passed + failed, failed, 1 - middle, reliable)
            # The one rises with the reliability, the other falls.
            higher = (chance <= 1 - CONFIDENCE) is reliable
            low, high = (middle, high) if higher else (low, middle)
        return low if reliable else high

    def _chance(
        self, n: int, failed: int, unreliability: float, reliable: bool
    ) -> float:
        """Of a result as good (or as bad) as this one, at any reliability."""
        failures, before, chance = _START, 0, 0.0
        for place, look in enumerate(self.looks):
            if look >= n:
                break
            failures = failures.after(look - before, unreliability)
            bound, before = self._look(place, reliable).bound, look
            known = _Look(failures, chance, bound)
            failures, chance = known.further(reliable)
        failures = failures.after(n - before, unreliability)
        return chance + (
            failures.up_to(failed) if reliable else failures.at_least(failed)
        )

    def _look(self, place: int, reliable: bool) -> _Look:
        known = self._sides[reliable]
        while len(known) <= place:
            n = self.looks[len(known)]
            failures, spent = self._at(n, reliable)
            # Rounding must not cost a failure where a chance is spent in full.
            may = self._alpha * (n / self.planned) ** _POWER * (1 + 1e-12) - spent
            bound = (
                failures.most_within(may) if reliable else failures.fewest_within(may)
            )
            known.append(_Look(failures, spent, bound))
        return known[place]

    def _at(self, n: int, reliable: bool) -> tuple[FailureChances, float]:
        """At the threshold: failures of the runs that come to n, and what is spent."""
        earlier = [place for place, look in enumerate(self.looks) if look < n]
        if not earlier:
            return _START.after(n, 1 - self.threshold), 0.0
        failures, spent = self._look(earlier[-1], reliable).further(reliable)
        more = n - self.looks[earlier[-1]]
        return failures.after(more, 1 - self.threshold), spent


@lru_cache(maxsize=64)
def grouped_test(planned: int, threshold: float, alpha: float) -> GroupedTest:
    """The test, with what it has looked up before.

    Args:
        planned: Episodes, if nothing is certain before.
        threshold: Reliability that is asked for.
        alpha: Probability of error of each verdict, at most.
    """
    return GroupedTest(planned, threshold, alpha)


def judge_grouped(
    outcomes: Sequence[bool | None],
    threshold: float,
    *,
    planned: int,
    alpha: float = ALPHA,
) -> Reliability:
    """Judges episodes that were played until a look at a tenth of them was certain.

    The verdict is that of the look; all episodes are measured, those that finished
    after it, too. The interval may be taken at any time, and is a little wider than
    need be.

    Args:
        outcomes: Whether each episode passed, in the order of the indices; None where
            it does not count.
        threshold: Reliability that is asked for.
        planned: Episodes, if nothing had been certain before.
        alpha: Of each verdict: smaller than 5 % where several are given together.
    """
    test = grouped_test(max(planned, len(outcomes)), threshold, alpha)
    stop = ScenarioStop(test)
    for index, outcome in enumerate(outcomes):
        stop.add(index, outcome)
    passed, counted = outcomes.count(True), len(outcomes) - outcomes.count(None)
    look, certain = (passed, counted - passed), Verdict.undecided
    if stop.decision is not None:
        certain = stop.decision.verdict
        look = stop.decision.passed, stop.decision.failed
    above, below = test.p_values(*look)
    # Who has stopped at one boundary has not come to the other one.
    above = 1.0 if certain is Verdict.unreliable else above
    below = 1.0 if certain is Verdict.reliable else below
    return Reliability.of(
        (passed, counted),
        threshold,
        value=passed / counted if counted else None,
        interval=confidence_sequence(passed, counted),
        one_sided=_one_sided(test, look, (passed, counted), verdict_of(above, below)),
        p_values=(above, below),
    )


def _one_sided(
    test: GroupedTest, look: tuple[int, int], counts: tuple[int, int], verdict: Verdict
) -> tuple[float, float]:
    """What is reached and not exceeded: of what is certain, at the look."""
    at_least, at_most = sequential_bounds(*counts)
    if 0 < test.threshold < 1:
        if verdict is Verdict.reliable:
            at_least = max(at_least, test.one_sided(*look, verdict))
        elif verdict is Verdict.unreliable:
            at_most = min(at_most, test.one_sided(*look, verdict))
    return at_least, at_most
