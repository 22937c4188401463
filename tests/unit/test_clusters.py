"""Repeats of a case, and calls of an episode, are not independent."""

from __future__ import annotations

from random import Random

import pytest

from agentgym.reliability import case_spread, clopper_pearson, clustered_rate
from agentgym.reliability.beta import t_quantile


def test_things_on_their_own_have_the_exact_interval():
    rate = clustered_rate([(1, 1)] * 7 + [(0, 1)] * 3)
    assert rate.value == 0.7
    assert rate.interval() == clopper_pearson(7, 10)


def test_nothing_and_one_cluster_tell_nothing_of_others():
    assert clustered_rate([]).interval() == (0, 1)
    assert clustered_rate([]).value is None
    assert clustered_rate([(3, 4), (0, 0)]).interval() == (0, 1)


def test_cases_that_decide_alone_count_once():
    """Eight cases, each always the same: as good as eight episodes, or less."""
    low, high = clustered_rate([(40, 40)] * 5 + [(0, 40)] * 3).interval()
    alone = clopper_pearson(5, 8)
    assert low <= alone[0]
    assert high >= alone[1]


def test_cases_that_do_not_matter_are_like_episodes():
    low, high = clustered_rate([(3, 4)] * 20).interval()
    assert (low, high) == pytest.approx(clopper_pearson(60, 80))


def test_clean_cases_count_once():
    assert clustered_rate([(4, 4)] * 8).interval() == clopper_pearson(8, 8)


def test_t_quantiles():
    # From a table of Student's distribution.
    for freedom, expected in ((1, 12.706), (7, 2.365), (30, 2.042), (1000, 1.962)):
        assert t_quantile(0.975, freedom) == pytest.approx(expected, abs=5e-4)


def test_the_interval_holds_the_truth_although_cases_differ():
    """Half of all possible cases always pass, the others pass with 60 %."""
    random, covered, naive = Random(3), 0, 0
    for _ in range(400):
        cases = []
        for _ in range(20):
            p = random.choice((1.0, 0.6))
            cases.append((sum(random.random() < p for _ in range(20)), 20))
        rate = clustered_rate(cases)
        low, high = rate.interval()
        covered += low <= 0.8 <= high
        low, high = clopper_pearson(rate.hits, rate.size)
        naive += low <= 0.8 <= high
    assert covered >= 0.92 * 400
    assert naive < 0.80 * 400


def test_correlation():
    apart = case_spread([(4, 4)] * 5 + [(0, 4)] * 3)
    assert apart is not None
    assert apart.correlation == pytest.approx(1)
    assert (apart.cases, apart.repeats) == (8, 4)
    assert apart.more_cases is True
    alike = case_spread([(3, 4)] * 8)
    assert alike is not None
    assert alike.correlation == 0
    assert alike.more_cases is False


def test_correlation_by_hand():
    """Two of four and four of four: mean squares 1/2 between, 1/6 within.

    (1/2 - 1/6) / (1/2 + 3/6) = 1/3; cases then make up 4/3 / 2 of the variance.
    """
    spread = case_spread([(2, 4), (4, 4)])
    assert spread is not None
    assert spread.correlation == pytest.approx(1 / 3)
    assert spread.by_cases == pytest.approx(2 / 3)


@pytest.mark.parametrize("cases", [[], [(3, 4)], [(1, 1)] * 9, [(0, 0), (2, 4)]])
def test_no_spread_without_repeated_cases(cases):
    assert case_spread(cases) is None


def test_clean_cases_have_no_correlation():
    spread = case_spread([(4, 4)] * 8)
    assert spread is not None
    assert (spread.correlation, spread.more_cases) == (None, None)
