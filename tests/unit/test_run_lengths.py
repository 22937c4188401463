"""How many episodes verdicts take: exact, and for all scenarios together."""

from __future__ import annotations

from itertools import product
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentgym.reliability import Verdict, episodes_for_power, holm, judge
from agentgym.reliability.run_lengths import (
    all_together,
    chance_of_all,
    episodes_for_all,
    grouped_episodes,
    sequential_episodes,
)
from agentgym.reliability.simulated.simulated_runs import binomial_weights
from agentgym.reliability.simulated.together import (
    STOPS,
    all_certified,
    play_together,
)


@pytest.mark.parametrize("gates", [1, 2, 3])
def test_the_chance_of_all_is_that_of_every_way_to_play_them(gates):
    n, true, threshold = 20, 0.9, 0.7
    weights = binomial_weights(n, true)
    chances = [b - a for a, b in zip([0.0, *weights], weights, strict=False)]
    judged = [judge(passed, n, threshold) for passed in range(n + 1)]
    total = 0.0
    for counts in product(range(n + 1), repeat=gates):
        if set(holm([judged[passed] for passed in counts])) == {Verdict.reliable}:
            chance = 1.0
            for passed in counts:
                chance *= chances[passed]
            total += chance
    assert chance_of_all(n, true, threshold, gates) == pytest.approx(total, abs=1e-9)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
@settings(deadline=None)
def test_all_together_is_between_the_first_and_the_last_step(steps):
    below = sorted(steps)
    gates = len(below)
    found = all_together(below)
    assert below[0] ** gates - 1e-9 <= found <= below[-1] ** gates + 1e-9
    assert all_together([below[0]] * gates) == pytest.approx(below[0] ** gates)


@pytest.mark.parametrize("true", [0.96, 0.97, 0.98, 0.99, 1.0])
def test_one_scenario_needs_what_a_single_test_needs(true):
    alone = episodes_for_power(true, 0.95, alpha=0.05)
    assert episodes_for_all(true, 0.95, gates=1) == alone


@pytest.mark.parametrize("gates", [1, 5, 18])
@pytest.mark.parametrize("stop", STOPS)
def test_a_plan_certifies_all_scenarios_in_80_percent_of_runs(stop, gates):
    if stop == "fixed":
        planned = episodes_for_all(0.99, 0.95, gates=gates)
    else:
        find = sequential_episodes if stop == "sequential" else grouped_episodes
        planned, mean = find(0.99, 0.95, gates=gates)
        assert mean < planned
    random, runs = Random(2), 150
    certified = sum(
        all_certified(stop, play_together(stop, 0.99, gates, planned, random))
        for _ in range(runs)
    )
    # 3.5 standard errors: 80 % within chance.
    assert certified / runs > 0.8 - 0.115


def test_looks_in_groups_take_fewer_episodes_near_the_threshold():
    fixed = episodes_for_all(0.97, 0.95, gates=1)
    at_most, mean = grouped_episodes(0.97, 0.95, gates=1)
    _, sequential = sequential_episodes(0.97, 0.95, gates=1)
    assert (fixed, at_most) == (601, 670)
    assert round(mean) == 480
    assert round(sequential) == 675


def test_too_many_episodes_are_none():
    for find in (episodes_for_all, sequential_episodes, grouped_episodes):
        assert find(0.951, 0.95, gates=1, most=500) is None
        assert find(0.95, 0.95, gates=1, most=500) is None
