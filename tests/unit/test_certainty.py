"""Corrections, planning, attrition, and rates of several episodes."""

from __future__ import annotations

import importlib.util
from itertools import combinations
from statistics import fmean

import pytest

from agentgym.reliability import (
    Verdict,
    attrition_bounds,
    clopper_pearson,
    episodes_for_power,
    holm,
    jeffreys,
    judge,
    k_episodes,
    pass_at_k,
    pass_hat_k,
)
from agentgym.reliability.beta import beta_cdf
from agentgym.reliability.sizing import chance_of_at_most


def test_holm_certifies_more_than_bonferroni():
    """p-values 0.0166, 0.0166 and 0.036: only the first is below 0.05 / 3."""
    judged = [judge(n, n, 0.95) for n in (80, 80, 65)]
    assert [one.p_above for one in judged] == pytest.approx(
        [0.95**80, 0.95**80, 0.95**65]
    )
    assert holm(judged) == [Verdict.reliable] * 3
    alone = [judge(n, n, 0.95, gates=3).verdict for n in (80, 80, 65)]
    assert alone == [Verdict.reliable, Verdict.reliable, Verdict.undecided]


def test_holm_stops_at_the_first_that_is_not_certain():
    """0.048 is not below 0.05 / 2: the larger ones are not looked at."""
    judged = [judge(n, n, 0.95) for n in (59, 59)]
    assert holm(judged) == [Verdict.undecided] * 2
    assert holm(judged[:1]) == [Verdict.reliable]
    assert holm([]) == []


def test_holm_tells_both_kinds():
    judged = [judge(100, 100, 0.95), judge(50, 100, 0.95), judge(95, 100, 0.95)]
    assert holm(judged) == [Verdict.reliable, Verdict.unreliable, Verdict.undecided]


@pytest.mark.parametrize(("passed", "n"), [(1, 2), (9, 10), (500, 1000)])
def test_jeffreys_leaves_the_same_in_both_tails(passed, n):
    low, high = jeffreys(passed, n)
    a, b = passed + 0.5, n - passed + 0.5
    assert beta_cdf(low, a, b) == pytest.approx(0.025, abs=1e-9)
    assert beta_cdf(high, a, b) == pytest.approx(0.975, abs=1e-9)
    wider = clopper_pearson(passed, n)
    assert wider[0] < low < passed / n < high < wider[1]


def test_jeffreys_ends():
    assert jeffreys(0, 10)[0] == 0
    assert jeffreys(10, 10)[1] == 1
    # From R: qbeta(0.025, 10.5, 0.5).
    assert jeffreys(10, 10)[0] == pytest.approx(0.7828, abs=1e-4)
    with pytest.raises(ValueError, match="11 of 10"):
        jeffreys(11, 10)


@pytest.mark.skipif(importlib.util.find_spec("scipy") is None, reason="needs scipy")
@pytest.mark.parametrize(("passed", "n"), [(0, 7), (3, 7), (7, 7), (940, 1000)])
def test_intervals_are_scipys(passed, n):
    from scipy import stats

    found = stats.binomtest(passed, n).proportion_ci(method="exact")
    assert clopper_pearson(passed, n) == pytest.approx((found.low, found.high))


def test_pass_at_k_and_pass_hat_k_are_the_shares_of_all_subsets():
    outcomes = [True, True, False, True, False]
    for k in range(1, 6):
        subsets = list(combinations(outcomes, k))
        some, every = (
            sum(map(judged, subsets)) / len(subsets) for judged in (any, all)
        )
        assert pass_at_k(3, 5, k) == pytest.approx(some)
        assert pass_hat_k(3, 5, k) == pytest.approx(every)


@pytest.mark.parametrize("k", [0, 6])
def test_pass_at_k_needs_k_episodes(k):
    with pytest.raises(ValueError, match=f"pass@{k} needs at least {k} episodes"):
        pass_at_k(3, 5, k)


def test_attrition_is_bounded():
    assert attrition_bounds(90, 95, 100) == (0.9, 0.95)
    assert attrition_bounds(90, 100, 100) == (0.9, 0.9)
    with pytest.raises(ValueError, match="make no share"):
        attrition_bounds(0, 0, 0)


@pytest.mark.parametrize("reliability", [0.96, 0.97, 0.98, 0.99, 1.0])
def test_episodes_for_power(reliability):
    n = episodes_for_power(reliability, 0.95, alpha=0.05)
    assert n is not None

    def power(n):
        """Exact, over all numbers of failures that are still certified."""
        allowed = -1
        while judge(n - allowed - 1, n, 0.95).verdict is Verdict.reliable:
            allowed += 1
        return chance_of_at_most(allowed, n, reliability) if allowed >= 0 else 0.0

    assert power(n) >= 0.8
    assert power(n - 1) < 0.8


def test_no_power_at_the_threshold():
    assert episodes_for_power(0.95, 0.95, alpha=0.05) is None
    assert episodes_for_power(0.951, 0.95, alpha=0.05, most=1000) is None
    assert episodes_for_power(1.0, 0.95, alpha=0.05) == 59


def test_k_episodes_are_means_over_cases_and_leave_out_what_is_short():
    """By hand: all subsets of each case's episodes, then the mean."""
    cases = [[True, True, False], [False] * 4, [True] * 5, [True]]
    for k in range(1, 7):
        enough = [case for case in cases if len(case) >= k]
        every = [fmean(map(all, combinations(case, k))) for case in enough]
        some = [fmean(map(any, combinations(case, k))) for case in enough]
        found = k_episodes([(sum(case), len(case)) for case in cases], k)
        assert (found.cases, found.left_out) == (len(enough), 4 - len(enough))
        if not enough:
            assert (found.all_pass, found.any_passes) == (None, None)
            continue
        assert found.all_pass == pytest.approx(fmean(every))
        assert found.any_passes == pytest.approx(fmean(some))
