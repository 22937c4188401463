"""How often gates err, and what they see: exact numbers."""

from __future__ import annotations

from math import comb

import pytest

from agentgym.reliability import ALPHA, Verdict, judge, noticed, point_alarm
from agentgym.reliability.gate_odds import chance_to_reach, tolerant_alpha
from agentgym.reliability.simulated.many_scenarios import tolerant_misses


def chance_of(passed: int, n: int, true: float) -> float:
    return comb(n, passed) * true**passed * (1 - true) ** (n - passed)


@pytest.mark.parametrize("true", [0.0, 0.6, 0.95, 0.99, 1.0])
@pytest.mark.parametrize("limit", [0.0, 0.5, 0.9, 0.95, 1.0])
@pytest.mark.parametrize("n", [1, 19, 20, 32, 40, 100])
def test_the_share_reaches_a_threshold(n, limit, true):
    """0.95 * 20 and 0.95 * 40 are whole numbers, if not in binary."""
    exact = sum(chance_of(x, n, true) for x in range(n + 1) if x / n >= limit)
    assert chance_to_reach(n, limit, true) == pytest.approx(exact, abs=1e-12)


def test_eighteen_scenarios_of_32_episodes():
    assert point_alarm([(32, 0.95)] * 18, 0.99) == pytest.approx(0.5265, abs=1e-4)
    assert point_alarm([(32, 0.95)], 0.99) == pytest.approx(0.0407, abs=1e-4)


@pytest.mark.parametrize("n", [5, 32, 300])
@pytest.mark.parametrize("alpha", [0.05, 0.05 / 2 / 18])
def test_what_is_noticed_in_80_percent_of_runs(n, alpha):
    seen = noticed(n, 0.95, alpha)
    assert seen is not None
    unreliable = [x for x in range(n + 1) if judge(x, n, 0.95).p_below <= alpha]
    exact = sum(chance_of(x, n, seen) for x in unreliable)
    assert exact == pytest.approx(0.8, abs=1e-3)


def test_too_few_episodes_notice_nothing():
    """Two failures of two happen to 95 % in 0.25 % of runs."""
    assert noticed(0, 0.95, 0.05) is None
    assert noticed(2, 0.95, 0.0024) is None
    assert noticed(2, 0.95, 0.0026) is not None


def test_the_only_scenario_has_all_of_the_risk():
    assert tolerant_alpha(1) == ALPHA
    assert tolerant_alpha(2) == ALPHA / 2
    worst = max(
        x for x in range(33) if judge(x, 32, 0.95).verdict is Verdict.unreliable
    )
    assert tolerant_misses([worst], 32)
    assert not tolerant_misses([worst + 1], 32)
    assert not tolerant_misses([worst] + [32] * 17, 32)


@pytest.mark.parametrize("others", [0, 1, 17])
def test_an_item_fails_only_if_the_gate_does(others):
    """Its share of the risk, whatever the other scenarios are, is Holm's smallest."""
    gates = others + 1
    alpha = tolerant_alpha(gates) / gates
    for passed in range(33):
        if judge(passed, 32, 0.95).p_below <= alpha:
            assert tolerant_misses([passed] + [32] * others, 32)
