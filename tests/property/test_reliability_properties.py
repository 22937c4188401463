from __future__ import annotations

from fractions import Fraction
from math import comb

from hypothesis import given, settings
from hypothesis import strategies as st

from agentgym.reliability import (
    Verdict,
    clopper_pearson,
    episodes_to_certify,
    judge,
    pass_hat_k,
)

thresholds = st.floats(0, 1, exclude_min=True)


@st.composite
def tallies(draw: st.DrawFn, most: int = 60) -> tuple[int, int]:
    n = draw(st.integers(1, most))
    return draw(st.integers(0, n)), n


def tail(passed: int, n: int, share: float) -> float:
    """P(at least `passed` of n episodes pass), in exact arithmetic."""
    p = Fraction(share)
    terms = (comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(passed, n + 1))
    return float(sum(terms))


@given(tallies())
@settings(max_examples=40, deadline=None)
def test_both_ends_leave_two_and_a_half_percent(tally):
    passed, n = tally
    low, high = clopper_pearson(passed, n)
    if passed:
        assert abs(tail(passed, n, low) - 0.025) < 1e-9
    if passed < n:
        assert abs(1 - tail(passed + 1, n, high) - 0.025) < 1e-9


@given(tallies(2000))
@settings(max_examples=40, deadline=None)
def test_interval_is_mirrored_and_holds_the_measured_share(tally):
    passed, n = tally
    low, high = clopper_pearson(passed, n)
    other_low, other_high = clopper_pearson(n - passed, n)
    assert 0 <= low <= passed / n <= high <= 1
    assert abs(low - (1 - other_high)) < 1e-9
    assert abs(high - (1 - other_low)) < 1e-9


@given(tallies(), thresholds)
@settings(max_examples=40, deadline=None)
def test_a_verdict_is_wrong_in_at_most_5_percent_of_runs(tally, threshold):
    """At the threshold itself, so improbable a result must be needed for a verdict."""
    passed, n = tally
    judged = judge(passed, n, threshold)
    if judged.verdict is Verdict.reliable:
        assert tail(passed, n, threshold) <= 0.05 + 1e-9
        assert judged.met
    if judged.verdict is Verdict.unreliable:
        assert 1 - tail(passed + 1, n, threshold) <= 0.05 + 1e-9
        assert not judged.met


@given(tallies(), thresholds)
@settings(max_examples=40, deadline=None)
def test_one_more_pass_never_makes_a_verdict_worse(tally, threshold):
    passed, n = tally
    order = [Verdict.unreliable, Verdict.undecided, Verdict.reliable]
    worse = judge(max(0, passed - 1), n, threshold).verdict
    assert order.index(worse) <= order.index(judge(passed, n, threshold).verdict)


@given(st.floats(0.001, 0.9999))
@settings(deadline=None)
def test_episodes_to_certify_is_the_least_number(threshold):
    n = episodes_to_certify(threshold)
    assert n is not None
    assert judge(n, n, threshold).verdict is Verdict.reliable
    assert n == 1 or judge(n - 1, n - 1, threshold).verdict is not Verdict.reliable


@given(tallies(), st.data())
def test_pass_hat_k_is_a_probability_that_falls_with_k(tally, data):
    passed, n = tally
    k = data.draw(st.integers(1, n))
    value = pass_hat_k(passed, n, k)
    assert 0 <= value <= passed / n
    assert k == 1 or value <= pass_hat_k(passed, n, k - 1)
