from __future__ import annotations

import math

import pytest

from agentgym.reliability import (
    Verdict,
    attrition_exceeded,
    bounds,
    clopper_pearson,
    confidence_sequence,
    episodes_to_certify,
    episodes_to_decide,
    jeffreys,
    judge,
    pass_at_k,
    pass_hat_k,
)
from agentgym.reliability.beta import beta_cdf


# From scipy 1.18's beta.ppf.
@pytest.mark.parametrize(
    ("passed", "n", "low", "high"),
    [
        (5, 10, 0.18708602844739855, 0.8129139715526015),
        (8, 10, 0.4439045376923585, 0.9747892736731666),
        (200, 320, 0.569432801290138, 0.6782297907386876),
        (1, 10000, 2.5317775934746866e-06, 0.0005570369979470473),
        (9990, 10000, 0.9981617358657894, 0.9995203602762289),
    ],
)
def test_interval_has_known_values(passed, n, low, high):
    assert clopper_pearson(passed, n) == pytest.approx((low, high), abs=1e-9, rel=1e-9)


def test_interval_of_clean_and_of_hopeless_episodes_has_a_closed_form():
    assert clopper_pearson(10, 10) == pytest.approx((0.025**0.1, 1.0), abs=1e-12)
    assert clopper_pearson(0, 10) == pytest.approx((0.0, 1 - 0.025**0.1), abs=1e-12)
    assert clopper_pearson(0, 0) == (0.0, 1.0)


def test_one_sided_bounds_are_narrower_than_the_interval():
    assert bounds(59, 59)[0] == pytest.approx(0.05 ** (1 / 59), abs=1e-12)
    assert bounds(59, 59)[0] > 0.95 > clopper_pearson(59, 59)[0]


@pytest.mark.parametrize(
    "asked",
    [
        clopper_pearson,
        jeffreys,
        confidence_sequence,
        lambda passed, n: pass_hat_k(passed, n, 1),
        lambda passed, n: pass_at_k(passed, n, 1),
    ],
)
@pytest.mark.parametrize(("passed", "n"), [(11, 10), (-1, 10)])
def test_impossible_counts_are_refused(asked, passed, n):
    with pytest.raises(ValueError, match=f"{passed} of 10 episodes cannot have passed"):
        asked(passed, n)


@pytest.mark.parametrize(
    ("x", "a", "b", "expected"),
    # I_x(1, b) = 1 - (1-x)^b, I_x(a, 1) = x^a, I_x(2, 3) = 6x^2 - 8x^3 + 3x^4.
    [
        (0.3, 1, 7, 1 - 0.7**7),
        (0.9, 20, 1, 0.9**20),
        (0.5, 40, 40, 0.5),
        (0.4, 2, 3, 6 * 0.16 - 8 * 0.064 + 3 * 0.0256),
        (0.0, 2, 3, 0.0),
        (1.0, 2, 3, 1.0),
    ],
)
def test_beta_function_has_known_values(x, a, b, expected):
    assert beta_cdf(x, a, b) == pytest.approx(expected, abs=1e-12)


def test_59_clean_episodes_certify_95_percent():
    assert judge(58, 58, 0.95).verdict is Verdict.undecided
    assert judge(59, 59, 0.95).verdict is Verdict.reliable
    assert episodes_to_certify(0.95) == 59


@pytest.mark.parametrize(
    ("threshold", "n"),
    [(0.5, 5), (0.8, 14), (0.9, 29), (0.99, 299), (0.999, 2995), (0.0, 1), (0.01, 1)],
)
def test_episodes_to_certify_is_the_least_number(threshold, n):
    assert episodes_to_certify(threshold) == n
    assert judge(n, n, threshold).verdict is Verdict.reliable
    assert n == 1 or judge(n - 1, n - 1, threshold).verdict is Verdict.undecided


def test_nothing_certifies_100_percent():
    assert episodes_to_certify(1.0) is None
    assert judge(10_000, 10_000, 1.0).verdict is Verdict.undecided
    assert judge(9_999, 10_000, 1.0).verdict is Verdict.unreliable


def test_an_unreliable_agent_is_called_so():
    # P(X <= 17 of 20) is 0.0755 at 95 % reliability, P(X <= 16) is 0.0159.
    assert judge(17, 20, 0.95).verdict is Verdict.undecided
    assert judge(16, 20, 0.95).verdict is Verdict.unreliable


def test_the_gate_compares_the_measured_share_itself():
    assert judge(19, 20, 0.95).met
    assert judge(57, 60, 0.95).met
    assert not judge(56, 60, 0.95).met
    assert judge(0, 3, 0.0).met


def test_no_episode_says_nothing():
    nothing = judge(0, 0, 0.0)
    assert nothing.value is None
    assert not nothing.met
    assert nothing.verdict is Verdict.undecided
    assert (nothing.low, nothing.high) == (0.0, 1.0)


def test_several_verdicts_share_the_chance_of_error():
    # 0.95^59 = 0.0485 is below 0.05, but not below 0.05 / 12; 0.95^107 = 0.0041 is.
    assert judge(59, 59, 0.95, gates=12).verdict is Verdict.undecided
    assert judge(106, 106, 0.95, gates=12).verdict is Verdict.undecided
    assert judge(107, 107, 0.95, gates=12).verdict is Verdict.reliable


def test_json_has_the_documented_names():
    assert judge(1, 2, 0.5).to_json() == {
        "value": 0.5,
        "low": pytest.approx(1 - math.sqrt(0.975)),
        "high": pytest.approx(math.sqrt(0.975)),
        "threshold": 0.5,
        "verdict": "UNDECIDED",
    }


def test_episodes_to_decide_at_the_measured_share():
    n = episodes_to_decide(47, 50, 0.95)
    assert n is not None
    assert n > 50
    assert judge(round(0.94 * n), n, 0.95).verdict is Verdict.unreliable
    assert judge(47, 50, 0.95).verdict is Verdict.undecided
    assert episodes_to_decide(95, 100, 0.95) is None
    assert episodes_to_decide(10, 100, 0.95) == 100


@pytest.mark.parametrize(
    ("passed", "n", "k", "expected"),
    [(5, 5, 5, 1.0), (2, 3, 2, 1 / 3), (3, 5, 2, 0.3), (1, 4, 2, 0.0), (7, 10, 1, 0.7)],
)
def test_pass_hat_k(passed, n, k, expected):
    assert pass_hat_k(passed, n, k) == pytest.approx(expected)


@pytest.mark.parametrize("k", [0, 4])
def test_pass_hat_k_needs_k_episodes(k):
    with pytest.raises(ValueError, match="needs at least"):
        pass_hat_k(1, 3, k)


def test_attrition():
    assert not attrition_exceeded(95, 100)
    assert attrition_exceeded(94, 100)
    assert attrition_exceeded(0, 0)
    assert not attrition_exceeded(1, 1)
