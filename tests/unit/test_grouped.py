"""A look at each tenth of the episodes."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentgym.reliability import (
    GroupedTest,
    ScenarioStop,
    Verdict,
    certified_by_scenarios,
    judge_grouped,
    judge_mean,
)

RELIABLE, UNRELIABLE = Verdict.reliable, Verdict.unreliable


def chances(test: GroupedTest, reliability: float) -> dict[Verdict, float]:
    """Exact probabilities of each verdict, episode by episode."""
    said = dict.fromkeys(Verdict, 0.0)
    states = {0: 1.0}
    for n in range(1, test.planned + 1):
        following: dict[int, float] = {}
        for failed, mass in states.items():
            for more, share in ((0, reliability), (1, 1 - reliability)):
                failures = failed + more
                verdict = test.verdict(n - failures, failures)
                if verdict is not Verdict.undecided:
                    said[verdict] += mass * share
                else:
                    following[failures] = following.get(failures, 0) + mass * share
        states = {f: mass for f, mass in following.items() if mass > 1e-15}
    said[Verdict.undecided] = sum(states.values())
    return said


@pytest.mark.parametrize(
    ("planned", "threshold", "alpha"),
    [(670, 0.95, 0.05), (59, 0.95, 0.05), (300, 0.8, 0.01), (7, 0.5, 0.05)],
)
def test_each_verdict_errs_in_at_most_its_share_of_runs(planned, threshold, alpha):
    """At the threshold itself, where errors are most frequent."""
    found = chances(GroupedTest(planned, threshold, alpha), threshold)
    assert found[RELIABLE] <= alpha + 1e-12
    assert found[UNRELIABLE] <= alpha + 1e-12
    if planned > 100:
        # The chance is spent: little is left to the steps of whole episodes.
        assert min(found[RELIABLE], found[UNRELIABLE]) > 0.85 * alpha


@given(
    st.integers(1, 60),
    st.floats(0.05, 0.99),
    st.sampled_from([0.05, 0.01, 0.25]),
    st.floats(0, 1),
)
@settings(max_examples=60, deadline=None)
def test_no_design_errs_more_than_it_says(planned, threshold, alpha, share):
    test = GroupedTest(planned, threshold, alpha)
    assert test.looks[-1] == planned
    assert len(test.looks) == min(10, planned)
    assert chances(test, threshold * share)[RELIABLE] <= alpha + 1e-9
    above = threshold + (1 - threshold) * share
    assert chances(test, above)[UNRELIABLE] <= alpha + 1e-9


@given(st.integers(10, 90), st.floats(0.3, 0.97), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_p_values_say_what_the_boundaries_say(planned, threshold, random):
    test = GroupedTest(planned, threshold, 0.05)
    outcomes = [random.random() < threshold for _ in range(planned)]
    judged = judge_grouped(outcomes, threshold, planned=planned)
    stop = ScenarioStop(test)
    for index, passed in enumerate(outcomes):
        stop.add(index, passed)
    decided = Verdict.undecided if stop.decision is None else stop.decision.verdict
    assert judged.verdict is decided
    assert judged.passed == outcomes.count(True)
    assert judged.low <= judged.value <= judged.high
    if decided is RELIABLE:
        assert judged.at_least >= threshold - 1e-8
    if decided is UNRELIABLE:
        assert judged.at_most <= threshold + 1e-8


@pytest.mark.parametrize("true", [0.93, 0.97])
def test_bounds_and_p_values_are_right_as_often_as_they_say(true):
    random, runs = Random(4), 400
    at_least = at_most = certain = 0
    for _ in range(runs):
        outcomes = [random.random() < true for _ in range(300)]
        judged = judge_grouped(outcomes, 0.95, planned=300)
        at_least += judged.at_least > true
        at_most += judged.at_most < true
        certain += judged.p_above <= 0.02
    most = 0.05 + 3.5 * math.sqrt(0.05 * 0.95 / runs)
    assert at_least / runs <= most
    assert at_most / runs <= most
    assert true > 0.95 or certain / runs <= 0.02 + 3.5 * math.sqrt(0.02 / runs)


def test_numbers_in_the_documentation():
    """A look after 59 clean episodes is not the first one."""
    assert GroupedTest(59, 0.95).verdict(59, 0) is RELIABLE
    assert GroupedTest(58, 0.95).verdict(58, 0) is Verdict.undecided
    found = chances(GroupedTest(670, 0.95), 0.97)
    assert found[RELIABLE] > 0.8
    assert found[UNRELIABLE] < 0.001


@pytest.mark.parametrize(("threshold", "failed"), [(0.0, 5), (1.0, 1)])
def test_extreme_thresholds(threshold, failed):
    judged = judge_grouped([True] * 30 + [False] * failed, threshold, planned=50)
    assert judged.verdict is (UNRELIABLE if threshold else RELIABLE)
    clean = judge_grouped([True] * 50, 1.0, planned=50)
    assert clean.verdict is Verdict.undecided


def test_nothing_is_certain_without_episodes():
    for outcomes in ([], [None]):
        judged = judge_grouped(outcomes, 0.95, planned=60)
        assert judged.verdict is Verdict.undecided
        assert (judged.value, judged.low, judged.high) == (None, 0, 1)


def test_a_look_waits_for_no_episode_that_could_not_change_it():
    """The third of 100 hangs: of 20, two failures would not matter either."""
    test = GroupedTest(100, 0.5)
    stop = ScenarioStop(test)
    for index in range(100):
        if index == 2:
            continue
        stop.add(index, True)
        if stop.enough:
            break
    assert stop.decision is None
    assert index + 1 in test.looks
    judged = judge_grouped([True] * (index + 1), 0.5, planned=100)
    assert judged.verdict is RELIABLE


def test_what_does_not_count_moves_the_looks():
    """Counted episodes are looked at; the last look takes what there is."""
    outcomes = [True] * 30 + [None] * 2 + [True] * 30
    assert judge_grouped(outcomes, 0.95, planned=62).verdict is RELIABLE
    outcomes = [True] * 28 + [None] * 2 + [True] * 30
    judged = judge_grouped(outcomes, 0.95, planned=60)
    assert (judged.counted, judged.verdict) == (58, Verdict.undecided)


def test_scenarios_that_are_each_certain_make_their_mean_certain():
    counts = [(657, 670), (655, 670)]
    outcomes = [[True] * yes + [False] * (n - yes) for yes, n in counts]
    each = [
        judge_grouped(Random(1).sample(one, 670), 0.95, planned=670, alpha=0.025)
        for one in outcomes
    ]
    assert {one.verdict for one in each} == {RELIABLE}
    mean = judge_mean([(470, 487), (470, 487)], 0.95)
    assert mean.verdict is Verdict.undecided
    found = certified_by_scenarios(mean, each)
    assert found.verdict is RELIABLE
    assert found.at_least >= 0.95
    assert found.value == mean.value
    # Not if one of them need not be so good.
    low = judge_grouped(outcomes[0], 0.9, planned=670)
    assert certified_by_scenarios(mean, [*each, low]) == mean
    undecided = judge_grouped([True] * 40, 0.95, planned=40)
    found = certified_by_scenarios(mean, [*each, undecided])
    assert found.verdict is Verdict.undecided
    # Of many scenarios, the mean may be certain by itself.
    sure = judge_mean([(400, 400)] * 5, 0.95)
    found = certified_by_scenarios(sure, [*each, *each, undecided])
    assert found.verdict is RELIABLE
    found = certified_by_scenarios(sure, [*each, undecided])
    assert found.verdict is Verdict.undecided
