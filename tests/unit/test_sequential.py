"""What holds at any stopping time."""

from __future__ import annotations

import heapq
import math
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentgym.reliability import (
    ScenarioStop,
    SequentialTest,
    Verdict,
    confidence_sequence,
    judge_mean,
    judge_sequence,
    sequential_bounds,
    sequential_test,
)
from agentgym.reliability.sequential import log_capital_above, log_capital_below
from agentgym.reliability.simulated.simulated_runs import (
    NaivePeeking,
    run_in_flight,
    run_until_decided,
)

RELIABLE, UNRELIABLE = Verdict.reliable, Verdict.unreliable


def chance_of(verdict, boundary, p, most=1500):
    """Exact probability that a gate which peeks after each episode ever says this."""
    said = 0.0
    states = {0: 1.0}
    for n in range(1, most + 1):
        following: dict[int, float] = {}
        for failed, mass in states.items():
            for more, share in ((0, p), (1, 1 - p)):
                passed, failures = n - failed - more, failed + more
                if passed >= boundary.enough(failures):
                    said += mass * share * (verdict is RELIABLE)
                elif passed <= boundary.few(failures):
                    said += mass * share * (verdict is UNRELIABLE)
                else:
                    following[failures] = following.get(failures, 0) + mass * share
        states = {f: mass for f, mass in following.items() if mass > 1e-12}
    return said


@pytest.mark.parametrize("threshold", [0.8, 0.95, 0.99])
def test_peeking_after_each_episode_errs_in_at_most_5_percent(threshold):
    """At the threshold itself, where errors are most frequent."""
    test = SequentialTest(threshold, 0.05)
    for verdict in (RELIABLE, UNRELIABLE):
        assert 0.01 < chance_of(verdict, test, threshold) <= 0.05


def chance_of_list(verdict, boundary, good, bad, rounds=2):
    """The same for a list of cases that always or never pass, drawn in rounds."""
    said, cases = 0.0, good + bad
    states = {0: 1.0}
    for n in range(rounds * cases):
        turn, drawn = divmod(n, cases)
        following: dict[int, float] = {}
        for failed, mass in states.items():
            own = failed - turn * bad
            share = (good - (drawn - own)) / (cases - drawn)
            for more, chance in ((0, share), (1, 1 - share)):
                passed, failures = n + 1 - failed - more, failed + more
                if chance <= 0:
                    continue
                if passed >= boundary.enough(failures):
                    said += mass * chance * (verdict is RELIABLE)
                elif passed <= boundary.few(failures):
                    said += mass * chance * (verdict is UNRELIABLE)
                else:
                    mass_there = following.get(failures, 0)
                    following[failures] = mass_there + mass * chance
        states = following
    return said


@pytest.mark.parametrize(
    ("good", "bad"), [(3, 2), (19, 1), (95, 5), (285, 15), (190, 10), (270, 30)]
)
def test_a_list_in_rounds_errs_no_more_than_independent_episodes(good, bad):
    threshold = good / (good + bad)
    test = SequentialTest(threshold, 0.05)
    for verdict in (RELIABLE, UNRELIABLE):
        listed = chance_of_list(verdict, test, good, bad)
        alike = chance_of(verdict, test, threshold, most=2 * (good + bad))
        assert listed <= alike + 1e-9


def test_peeking_with_the_exact_test_errs_often():
    naive = NaivePeeking(0.95)
    assert chance_of(RELIABLE, naive, 0.95, most=500) > 0.15
    assert chance_of(UNRELIABLE, naive, 0.95, most=500) > 0.15


def test_numbers_in_the_documentation():
    test = SequentialTest(0.95)
    assert test.enough(0) == 74
    assert test.enough(1) == 130
    assert test.few(0) == test.few(1) == -1
    # Three failures in a row.
    assert test.verdict(0, 3) is UNRELIABLE
    lengths = sorted(
        run_until_decided(0.8, test, 1000, Random(seed))[0].episodes
        for seed in range(2000)
    )
    assert lengths[1000] <= 25


@pytest.mark.parametrize(("threshold", "passed", "failed"), [(0, 1, 5), (1, 5, 1)])
def test_extreme_thresholds(threshold, passed, failed):
    test = SequentialTest(threshold)
    assert test.verdict(0, 0) is Verdict.undecided
    expected = UNRELIABLE if threshold else RELIABLE
    assert test.verdict(passed, failed) is expected
    assert test.verdict(10_000, 0) is (Verdict.undecided if threshold else RELIABLE)


counts = st.tuples(st.integers(0, 300), st.integers(0, 60))
shares = st.floats(0.01, 0.995)


@given(counts, shares)
@settings(max_examples=60, deadline=None)
def test_capital_is_a_fair_wager(tally, m):
    """On average it does not grow where the reliability is m."""
    passed, failed = tally
    for capital in (log_capital_above, log_capital_below):
        now = capital(passed, failed, m)
        following = m * math.exp(capital(passed + 1, failed, m) - now)
        following += (1 - m) * math.exp(capital(passed, failed + 1, m) - now)
        assert following == pytest.approx(1, abs=1e-6)


def test_capital_begins_with_one():
    for m in (0.01, 0.5, 0.95, 0.9999):
        assert log_capital_above(0, 0, m) == pytest.approx(0, abs=1e-9)
        assert log_capital_below(0, 0, m) == pytest.approx(0, abs=1e-9)


@given(counts, shares, shares)
@settings(max_examples=60, deadline=None)
def test_capital_is_monotone_in_what_is_refuted(tally, m, other):
    low, high = sorted((m, other))
    passed, failed = tally
    above = [log_capital_above(passed, failed, x) for x in (low, high)]
    below = [log_capital_below(passed, failed, x) for x in (low, high)]
    assert above[0] >= above[1] - 1e-9
    assert below[0] <= below[1] + 1e-9


@given(st.integers(0, 200), st.integers(0, 40), st.floats(0.05, 0.99))
@settings(max_examples=60, deadline=None)
def test_bounds_and_verdicts_agree(passed, failed, threshold):
    verdict = SequentialTest(threshold).verdict(passed, failed)
    low, high = sequential_bounds(passed, passed + failed)
    assert (verdict is RELIABLE) == (low >= threshold - 1e-8)
    if verdict is UNRELIABLE:
        assert high <= threshold + 1e-8
    wide = confidence_sequence(passed, passed + failed)
    assert 0 <= wide[0] <= low <= high <= wide[1] <= 1


def test_decisions_wait_for_earlier_episodes():
    """A run's first episode takes its time: the sequence has no other beginning."""
    stop = ScenarioStop(sequential_test(0.95, 0.05))
    for index in range(1, 200):
        stop.add(index, True)
    assert stop.decision is None
    stop.add(0, False)
    assert stop.decision is not None
    assert stop.decision.verdict is RELIABLE
    assert (stop.decision.episodes, stop.decision.failed) == (131, 1)


def test_what_is_in_flight_counts_as_its_worst():
    """One that may have failed takes as many others as one that did."""
    stop = ScenarioStop(sequential_test(0.95, 0.05))
    for index in range(1, 130):
        stop.add(index, True)
        assert not stop.enough
    # A long row of them is not looked at after each one.
    for index in range(130, 140):
        stop.add(index, True)
    assert stop.enough
    # And one that may have passed, as one that did.
    stop = ScenarioStop(sequential_test(0.95, 0.05))
    few = next(n for n in range(20) if sequential_test(0.95, 0.05).few(n) >= 1)
    for index in range(1, few + 1):
        assert not stop.enough
        stop.add(index, False)
    assert stop.enough
    assert stop.decision is None


landings = st.permutations(range(90))


@given(st.lists(st.integers(0, 9), min_size=90, max_size=90), landings, st.data())
@settings(max_examples=150, deadline=None)
def test_what_was_certain_in_flight_is_certain_once_it_has_landed(
    outcomes, landed, data
):
    """The stop is within what the rule errs about, whatever takes how long."""
    good = data.draw(st.integers(1, 10))
    known = [None if number == 9 else number < good for number in outcomes]
    threshold = data.draw(st.sampled_from([0.3, 0.6, 0.9]))
    stop = ScenarioStop(sequential_test(threshold, 0.2))
    for index in landed:
        stop.add(index, known[index])
        if stop.enough:
            break
    else:
        return
    judged = judge_sequence(known, threshold, 0.2)
    assert min(judged.p_above, judged.p_below) <= 0.2 * (1 + 1e-9)


SLOW_FIRST = 500.0
DURATIONS = {
    "failures take long": lambda index, passed: 1.0 if passed else 30.0,
    "successes take long": lambda index, passed: 30.0 if passed else 1.0,
    "the first one hangs": lambda index, passed: 1.0 if index else SLOW_FIRST,
    "the first failures hang": lambda index, passed: (
        SLOW_FIRST if index < 20 and not passed else 1.0
    ),
}


def run_of(true, duration, random, most=400, concurrency=16):
    """What a stopped run is judged as, and its episodes."""
    stop = ScenarioStop(sequential_test(0.95, 0.05))
    outcomes: list[bool] = []
    flying: list[tuple[float, int]] = []
    clock = 0.0
    while True:
        while len(flying) < concurrency and len(outcomes) < most and not stop.enough:
            passed = random.random() < true
            takes = duration(len(outcomes), passed) * (1 + random.random())
            heapq.heappush(flying, (clock + takes, len(outcomes)))
            outcomes.append(passed)
        if not flying:
            return judge_sequence(outcomes, 0.95).verdict, len(outcomes)
        clock, index = heapq.heappop(flying)
        stop.add(index, outcomes[index])


@pytest.mark.parametrize("duration", DURATIONS.values(), ids=DURATIONS)
def test_error_rates_hold_whatever_takes_long(duration):
    """At the threshold, where a verdict of either kind is wrong most often."""
    random, runs = Random(7), 200
    seen = [run_of(0.95, duration, random, most=250)[0] for _ in range(runs)]
    for verdict in (RELIABLE, UNRELIABLE):
        assert seen.count(verdict) / runs <= 0.05 + 3.5 * math.sqrt(0.05 * 0.95 / runs)


@pytest.mark.parametrize("duration", DURATIONS.values(), ids=DURATIONS)
def test_no_slow_episode_keeps_a_run_going(duration):
    random = Random(11)
    bad = sorted(run_of(0.7, duration, random)[1] for _ in range(101))
    good = sorted(run_of(1.0, duration, random)[1] for _ in range(11))
    assert bad[50] < 120
    assert good[5] < 200


@given(st.lists(st.booleans(), min_size=1, max_size=150), st.randoms())
@settings(max_examples=40, deadline=None)
def test_the_order_of_arrival_does_not_matter(outcomes, random):
    first, second = (ScenarioStop(sequential_test(0.6, 0.05)) for _ in range(2))
    for index, passed in enumerate(outcomes):
        first.add(index, passed)
    shuffled = list(enumerate(outcomes))
    random.shuffle(shuffled)
    for index, passed in shuffled:
        second.add(index, passed)
    assert first.decision == second.decision


def test_too_much_attrition_does_not_stop():
    stop = ScenarioStop(sequential_test(0.95, 0.05))
    stop.add(0, None)
    for index in range(1, 5):
        stop.add(index, False)
    assert stop.decision is not None
    assert stop.decision.verdict is UNRELIABLE
    assert not stop.enough
    for index in range(5, 20):
        stop.add(index, False)
    assert stop.enough


def test_late_episodes_count_and_leave_the_verdict():
    judged = judge_sequence([True] * 74 + [True, False] * 10, 0.95)
    assert judged.verdict is RELIABLE
    assert judged.passed == 84
    assert judged.counted == 94
    assert judged.value == 84 / 94
    assert not judged.met
    assert judged.low < judged.value < judged.high
    assert judged.at_least >= 0.95


def test_nothing_is_certain_without_episodes():
    for judged in (judge_sequence([], 0.95), judge_sequence([None], 0.95)):
        assert judged.verdict is Verdict.undecided
        assert (judged.value, judged.low, judged.high) == (None, 0, 1)
    mean = judge_mean([(0, 0)], 0.95)
    assert mean.verdict is Verdict.undecided
    assert (mean.value, mean.low, mean.high) == (None, 0, 1)


def test_in_flight_the_decision_is_the_same_and_more_is_counted():
    test = SequentialTest(0.95)
    decided, end = run_in_flight(0.99, test, 1000, Random(1), concurrency=64)
    alone, _ = run_until_decided(0.99, test, 1000, Random(1))
    assert decided == alone
    # A failure that is in flight at the decision leaves its place to no other.
    assert decided.episodes + 50 < end.episodes <= 1000
    assert end.verdict is decided.verdict
    one, same = run_in_flight(0.99, test, 1000, Random(1), concurrency=1)
    assert one.episodes == same.episodes


def test_the_mean_of_one_scenario_is_nearly_its_own():
    for passed, n in ((80, 80), (140, 150), (3, 20)):
        own = judge_sequence([True] * passed + [False] * (n - passed), 0.95)
        mean = judge_mean([(passed, n)], 0.95)
        assert mean.value == own.value
        # The grid makes it a little wider, never narrower.
        assert own.low - 0.03 < mean.low <= own.low
        assert own.high <= mean.high < own.high + 0.03


def test_the_mean_bound_is_below_every_spread_that_is_not_refuted():
    counts = [(60, 62), (100, 100)]
    needed = math.log(20)
    grid = [i / 400 for i in range(1, 400)]
    first, second = ([log_capital_above(p, n - p, m) for m in grid] for p, n in counts)
    explained = [
        (a + b) / 2
        for a, x in zip(grid, first, strict=True)
        for b, y in zip(grid, second, strict=True)
        if x + y < needed
    ]
    bound = judge_mean(counts, 0.95).at_least
    assert min(explained) - 0.01 < bound <= min(explained)


def test_a_failing_scenario_is_not_outweighed():
    """78 of 82 episodes passed, but the mean is 75 %."""
    mean = judge_mean([(4, 8), (74, 74)], 0.95)
    assert mean.value == 0.75
    assert not mean.met
    assert mean.at_most < 0.99
    many = judge_mean([(20, 40), (140, 140)], 0.95)
    assert many.verdict is UNRELIABLE


@pytest.mark.parametrize("reliabilities", [(1.0, 0.899), (0.949, 0.949, 0.949)])
def test_the_mean_errs_seldom(reliabilities):
    test, random = SequentialTest(0.95), Random(5)
    wrong = 0
    for _ in range(60):
        ends = [run_until_decided(p, test, 300, random)[0] for p in reliabilities]
        judged = judge_mean([(end.passed, end.episodes) for end in ends], 0.95)
        wrong += judged.verdict is RELIABLE
    assert wrong <= 6
