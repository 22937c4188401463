"""Whether every gate is right as often as it says, by simulation.

The naive gates are there to compare with, and promise nothing.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from random import Random

from agentgym.reliability.grouped import GroupedTest
from agentgym.reliability.intervals import CONFIDENCE
from agentgym.reliability.run_stop import RunStop
from agentgym.reliability.sequential import SequentialTest
from agentgym.reliability.sequential_verdicts import mean_verdict
from agentgym.reliability.simulated.before_after import before_after
from agentgym.reliability.simulated.certified_looks import certified_looks
from agentgym.reliability.simulated.many_scenarios import many_scenarios
from agentgym.reliability.simulated.simulated_runs import (
    Boundary,
    NaivePeeking,
    binomial_weights,
    run_grouped,
    run_in_flight,
    run_until_decided,
)
from agentgym.reliability.simulated.together import (
    EarlyOrFixed,
    planned_runs,
    play_together,
)
from agentgym.reliability.sizing import episodes_to_certify
from agentgym.reliability.verdicts import ALPHA, Verdict, holm, judge

THRESHOLD = 0.95
BELOW = (0.85, 0.88, 0.90, 0.92, 0.93, 0.94, 0.949)
REACHING = (0.95, 0.96, 0.97, 0.98, 0.99)
MOST_EPISODES = 1000
IN_FLIGHT = 64
SCENARIOS = 8
DEFAULT_RUNS = 10_000
FEWEST_RUNS = 100

_UNRELIABILITIES = (2.5, 0.25, 0.0, 1.5, 0.75)
"""Of a run's scenarios, against their mean: some fail often, one never does."""
_MOST_EACH = 200
_FIXED = (59, 300)
_POINT = 32
_GROUPED = 670
_DESIGNS = (59, 130, 280, _GROUPED, 3019)
_EARLY = 400
_FEWER = 5
_STANDARD_ERRORS = 3.5


@dataclass(slots=True)
class Seen:
    """What one gate did in the runs of one true reliability.

    Attributes:
        runs: How many runs there were.
        verdicts: How many ended with each verdict.
        episodes: Of the runs that ended with a verdict.
        missed: Runs whose final interval leaves out the truth; None without intervals.
    """

    runs: int = 0
    verdicts: Counter[Verdict] = field(default_factory=Counter)
    episodes: list[int] = field(default_factory=list)
    missed: int | None = None

    def add(self, verdict: Verdict, episodes: int, times: int = 1) -> None:
        """Counts runs.

        Args:
            verdict: What they ended with.
            episodes: How many episodes each of them took.
            times: How many runs.
        """
        self.runs += times
        self.verdicts[verdict] += times
        if verdict is not Verdict.undecided:
            self.episodes += [episodes] * times


@dataclass(frozen=True, slots=True)
class Gate:
    """A way to decide, and what it promises.

    Attributes:
        name: For the table.
        play: Plays a number of runs of a true reliability.
        promise: Share of runs in which it may be wrong; None if it promises nothing.
    """

    name: str
    play: Callable[[float, int, Random], Seen]
    promise: float | None = ALPHA


def gates() -> list[Gate]:
    """All that are tried, those of the tool and those to compare with."""
    sequential = SequentialTest(THRESHOLD, ALPHA)
    return [
        Gate(f"point, {_POINT} episodes", _point, None),
        Gate("peeking with the exact test", _peeking(NaivePeeking(THRESHOLD)), None),
        *(Gate(f"certified, {n} episodes", _fixed(n)) for n in _FIXED),
        Gate(f"certified, {SCENARIOS} scenarios (Holm)", _several),
        Gate("certified, sequential", _peeking(sequential)),
        Gate(f"  with {IN_FLIGHT} in flight", _in_flight(sequential)),
        Gate(f"  a run of {len(_UNRELIABILITIES)} scenarios", _run),
        Gate(f"  {SCENARIOS} scenarios (Holm)", _early("sequential")),
        Gate(f"certified, grouped, {_GROUPED} episodes", _in_groups),
        Gate(f"  {SCENARIOS} scenarios, grouped (Holm)", _early("grouped")),
    ]


def selftest(runs: int = DEFAULT_RUNS, seed: int = 0) -> tuple[list[str], bool]:
    """Tries every gate.

    Args:
        runs: Simulated runs per gate and true reliability.
        seed: The same one gives the same report.

    Returns:
        Lines to print, and whether all promises were kept.
    """
    random = Random(seed)  # noqa: S311 - chance, no secret
    results = {
        gate: {true: gate.play(true, runs, random) for true in (*BELOW, *REACHING)}
        for gate in gates()
    }
    broken = [text for gate in results for text in _broken(gate, results[gate])]
    trials = (many_scenarios, before_after, planned_runs)
    more = [trial(runs, seed) for trial in trials]
    more.append(certified_looks())
    lines = [line for lines, _ in more for line in lines]
    broken += [text for _, others in more for text in others]
    broken += _grouped_broken()
    return [*_report(results, runs), *lines, *broken, _conclusion(broken)], not broken


def _point(true: float, runs: int, random: Random) -> Seen:
    """Compares the measured share with the threshold: wrong whenever it errs."""
    seen = Seen()
    for passed, times in _binomial(_POINT, true, runs, random).items():
        met = passed / _POINT >= THRESHOLD
        verdict = Verdict.reliable if met else Verdict.unreliable
        seen.add(verdict, _POINT, times)
    return seen


def _fixed(n: int) -> Callable[[float, int, Random], Seen]:
    def play(true: float, runs: int, random: Random) -> Seen:
        seen = Seen(missed=0)
        for passed, times in _binomial(n, true, runs, random).items():
            judged = judge(passed, n, THRESHOLD)
            seen.add(judged.verdict, n, times)
            if not judged.low <= true <= judged.high:
                seen.missed = (seen.missed or 0) + times
        return seen

    return play


def _several(true: float, runs: int, random: Random) -> Seen:
    """Scenarios that are all alike: a run errs if any verdict of it is wrong."""
    seen, n = Seen(), _FIXED[-1]
    weights = binomial_weights(n, true)
    cached = lru_cache(lambda passed: judge(passed, n, THRESHOLD))
    for _ in range(runs):
        drawn = random.choices(range(n + 1), cum_weights=weights, k=SCENARIOS)
        given = holm([cached(passed) for passed in drawn])
        seen.add(_worst(given, true), n)
    return seen


def _early(stop: EarlyOrFixed) -> Callable[[float, int, Random], Seen]:
    """The same for scenarios that end when they are certain."""

    def play(true: float, runs: int, random: Random) -> Seen:
        seen = Seen()
        for _ in range(max(FEWEST_RUNS, runs // _FEWER)):
            judged = play_together(stop, true, SCENARIOS, _EARLY, random)
            seen.add(_worst(holm(judged), true), max(one.counted for one in judged))
        return seen

    return play


def _in_groups(true: float, runs: int, random: Random) -> Seen:
    seen = Seen()
    test = GroupedTest(_GROUPED, THRESHOLD)
    for _ in range(runs):
        end = run_grouped(true, test, random)
        seen.add(end.verdict, end.episodes)
    return seen


def _worst(given: Sequence[Verdict], true: float) -> Verdict:
    wrong = Verdict.unreliable if true >= THRESHOLD else Verdict.reliable
    if wrong in given or len(set(given)) == 1:
        return wrong if wrong in given else given[0]
    return Verdict.undecided


def _peeking(boundary: Boundary) -> Callable[[float, int, Random], Seen]:
    def play(true: float, runs: int, random: Random) -> Seen:
        seen = Seen()
        for _ in range(runs):
            end, _ = run_until_decided(true, boundary, MOST_EPISODES, random)
            seen.add(end.verdict, end.episodes)
        return seen

    return play


def _in_flight(boundary: Boundary) -> Callable[[float, int, Random], Seen]:
    def play(true: float, runs: int, random: Random) -> Seen:
        seen = Seen(missed=0)
        # The final interval leaves out the truth where one of its sides is refuted.
        truth = SequentialTest(true, ALPHA / 2)
        for _ in range(runs):
            decided, end = run_in_flight(
                true, boundary, MOST_EPISODES, random, concurrency=IN_FLIGHT
            )
            seen.add(decided.verdict, end.episodes)
            held = truth.verdict(end.passed, end.episodes - end.passed)
            if held is not Verdict.undecided:
                seen.missed = (seen.missed or 0) + 1
        return seen

    return play


def _run(true: float, runs: int, random: Random) -> Seen:
    """Scenarios of different reliability, one after the other, and their mean.

    As in the plugin: each ends when its own verdict is certain, the run when no
    scenario that is left can save it.
    """
    seen = Seen(missed=0)
    each = [1 - (1 - true) * share for share in _UNRELIABILITIES]
    test = SequentialTest(THRESHOLD, ALPHA / len(each))
    for _ in range(runs):
        stop = RunStop(THRESHOLD)
        ends: list[tuple[int, int]] = []
        for place, reliability in enumerate(each):
            _, end = run_in_flight(
                reliability, test, _MOST_EACH, random, concurrency=IN_FLIGHT
            )
            ends.append((end.passed, end.episodes))
            stop.ended(place, len(each), ends[-1])
            if stop.enough:
                break
        verdict = Verdict.unreliable if stop.enough else mean_verdict(ends, THRESHOLD)
        seen.add(verdict, sum(n for _, n in ends))
        # The interval is that of the scenarios which were played.
        truth = statistics.fmean(each[: len(ends)])
        if mean_verdict(ends, truth, alpha=ALPHA / 2) is not Verdict.undecided:
            seen.missed = (seen.missed or 0) + 1
    return seen


def _binomial(n: int, true: float, runs: int, random: Random) -> Counter[int]:
    weights = binomial_weights(n, true)
    return Counter(random.choices(range(n + 1), cum_weights=weights, k=runs))


def _broken(gate: Gate, seen: dict[float, Seen]) -> Iterator[str]:
    """Promises that were not kept, beyond the simulation's own chance."""
    if gate.promise is None:
        return
    for true, one in seen.items():
        allowed = gate.promise + margin(gate.promise, one.runs)
        wrong = one.verdicts[_wrong(true)] / one.runs
        missed = (one.missed or 0) / one.runs
        for share, what in ((wrong, _wrong(true).value), (missed, "a wrong interval")):
            if share > allowed:
                yield (
                    f"BROKEN: {gate.name.strip()}: {what} in {share:.2%} of runs at "
                    f"{true:.1%}, promised {gate.promise:.0%}"
                )


def _grouped_broken() -> Iterator[str]:
    """What is exact needs no margin."""
    for n in _DESIGNS:
        found = GroupedTest(n, THRESHOLD).chances(THRESHOLD)
        if max(found.reliable, found.unreliable) > ALPHA + 1e-9:
            yield f"BROKEN: certified, grouped, {n} episodes: errs in {found}"


def margin(promise: float, runs: int) -> float:
    """What chance may add to a share of simulated runs.

    Args:
        promise: Share of runs that may be wrong.
        runs: Simulated runs.
    """
    return _STANDARD_ERRORS * math.sqrt(promise * (1 - promise) / runs)


def _wrong(true: float) -> Verdict:
    return Verdict.unreliable if true >= THRESHOLD else Verdict.reliable


def _report(results: dict[Gate, dict[float, Seen]], runs: int) -> Iterator[str]:
    yield (
        f"{runs:,} simulated runs per gate and true reliability; threshold "
        f"{THRESHOLD:.0%}, confidence {CONFIDENCE:.0%}"
    )
    yield f"a promise of 5 % is kept up to {ALPHA + margin(ALPHA, runs):.1%}"
    yield from _table(
        "false pass: RELIABLE, or exit 0, below the threshold",
        BELOW,
        results,
        lambda seen: _share(seen, Verdict.reliable),
    )
    yield from _table(
        "false fail: UNRELIABLE, or exit 1, at the threshold or above",
        REACHING,
        results,
        lambda seen: _share(seen, Verdict.unreliable),
    )
    yield from _table(
        "interval without the true reliability",
        (*BELOW[::3], *REACHING[1::2]),
        {
            gate: seen
            for gate, seen in results.items()
            if seen[THRESHOLD].missed is not None
        },
        lambda seen: f"{(seen.missed or 0) / seen.runs:.1%}",
    )
    yield from _table(
        f"certified at all, within {MOST_EPISODES:,} episodes",
        (*BELOW[::2], *REACHING[1:]),
        results,
        lambda seen: f"{1 - seen.verdicts[Verdict.undecided] / seen.runs:.0%}",
    )
    yield from _table(
        "median episodes of those",
        (*BELOW[::2], *REACHING[1:]),
        results,
        _median,
    )
    test = SequentialTest(THRESHOLD, ALPHA)
    yield ""
    yield (
        f"clean episodes that certify {THRESHOLD:.0%}: "
        f"{episodes_to_certify(THRESHOLD)} if fixed beforehand, {test.enough(0):.0f} "
        "sequentially"
    )
    exact = GroupedTest(_GROUPED, THRESHOLD).chances(THRESHOLD)
    yield (
        f"exactly at {THRESHOLD:.0%}, grouped, {_GROUPED} episodes: RELIABLE in "
        f"{exact.reliable:.2%} of runs, UNRELIABLE in {exact.unreliable:.2%}"
    )


def _median(seen: Seen) -> str:
    return f"{statistics.median(seen.episodes):.0f}" if seen.episodes else "-"


def _share(seen: Seen, verdict: Verdict) -> str:
    return f"{seen.verdicts[verdict] / seen.runs:.1%}"


def _table(
    title: str,
    columns: Sequence[float],
    results: dict[Gate, dict[float, Seen]],
    cell: Callable[[Seen], str],
) -> Iterator[str]:
    yield ""
    yield title
    yield f"  {'true reliability':<32}" + "".join(f"{true:>7.1%}" for true in columns)
    for gate, seen in results.items():
        promise = "" if gate.promise is not None else "  (no promise)"
        cells = "".join(f"{cell(seen[true]):>7}" for true in columns)
        yield f"  {gate.name:<32}{cells}{promise}"


def _conclusion(broken: Sequence[str]) -> str:
    return f"{len(broken)} promises broken" if broken else "every promise was kept"
