"""Differences of two sets of episodes, and what is certain about a drop."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentgym.runs.differences import (
    EpisodeKey,
    compare_outcomes,
    design_effect,
    unpaired_difference,
)
from agentgym.runs.drop import Drop, judge_drop


def outcomes(
    *passed: bool, scenario: str = "s", repeats: int = 1, seed: int | None = 0
) -> dict[EpisodeKey, bool]:
    """One episode after the other; cases have so many of them."""
    found = {}
    for number, ok in enumerate(passed):
        case = None if seed is None else f"{seed}/{number // repeats}"
        repeat = number if seed is None else number % repeats
        found[EpisodeKey(scenario, case, repeat)] = ok
    return found


def test_the_unpaired_interval_is_agresti_and_caffo_s() -> None:
    # With 1 added to each count: 11/16 - 6/12, and their standard errors.
    value, low, high = unpaired_difference((5, 10), (10, 14))
    assert value == pytest.approx(10 / 14 - 0.5)
    half = 1.959964 * ((11 / 16 * 5 / 16) / 16 + 0.25 / 12) ** 0.5
    assert (low, high) == pytest.approx((0.1875 - half, 0.1875 + half))
    assert unpaired_difference((0, 1), (1, 1))[2] <= 1


def test_the_same_cases_are_pairs() -> None:
    before = outcomes(*[True] * 30, *[False] * 10)
    found = compare_outcomes(before, dict(before))
    assert found is not None
    assert (found.paired, found.episodes, found.value) == (True, 40, 0)
    apart = compare_outcomes(before, outcomes(*before.values(), seed=1))
    assert apart is not None
    assert (apart.paired, apart.episodes, apart.value) == (False, 40, 0)
    # What makes a case hard cancels out.
    assert found.high - found.low < (apart.high - apart.low) / 3


def test_pairs_that_would_leave_out_too_much_are_not_used() -> None:
    half = outcomes(*[True] * 10) | outcomes(*[False] * 10, seed=1)
    found = compare_outcomes(half, outcomes(*[True] * 20))
    assert found is not None
    assert (found.paired, found.episodes, found.value) == (True, 10, 0)
    third = outcomes(*[True] * 6) | outcomes(*[False] * 14, seed=1)
    found = compare_outcomes(third, outcomes(*[True] * 20))
    assert found is not None
    assert (found.paired, found.before, found.after) == (False, 0.3, 1)
    # One scenario whose cases are others must not leave the others' pairs alone.
    other = outcomes(True, scenario="t")
    mixed = compare_outcomes(
        half | other, outcomes(*[True] * 20) | outcomes(False, scenario="t", seed=1)
    )
    assert mixed is not None
    assert not mixed.paired


def test_what_is_not_known_is_no_pair() -> None:
    before = outcomes(True, True, False, seed=None)
    found = compare_outcomes(before, dict(before))
    assert found is not None
    assert not found.paired


def test_only_shared_scenarios_are_compared() -> None:
    before = outcomes(True) | outcomes(False, scenario="gone")
    found = compare_outcomes(before, outcomes(True) | outcomes(False, scenario="new"))
    assert found is not None
    assert (found.before, found.after, found.episodes) == (1, 1, 1)
    assert compare_outcomes(before, outcomes(True, scenario="new")) is None
    assert compare_outcomes({}, {}) is None


def test_a_run_with_more_episodes_of_a_hard_scenario_is_not_worse() -> None:
    def run(hard: int, easy: int, seed: int) -> dict[EpisodeKey, bool]:
        passed = [n % 2 == 0 for n in range(hard)]
        return outcomes(*passed, scenario="hard", seed=seed) | outcomes(
            *[True] * easy, scenario="easy", seed=seed
        )

    found = compare_outcomes(run(10, 90, 0), run(90, 10, 1))
    assert found is not None
    assert found.value == pytest.approx(0)
    assert found.before == pytest.approx(0.75)


def test_repeats_of_a_case_tell_less_than_new_cases() -> None:
    passed = [case < 6 for case in range(8) for _ in range(4)]
    whole = outcomes(*passed, repeats=4)
    assert design_effect(whole.items()) == pytest.approx(4 * (8 / 7) / (32 / 31))
    assert design_effect(outcomes(*passed).items()) == 1
    # The differences of scenarios are no differences of cases.
    strata = outcomes(*[True] * 8, scenario="a") | outcomes(*[False] * 8, scenario="b")
    assert design_effect(strata.items()) == 1
    failing = outcomes(*[False] * 32, repeats=4, seed=0)
    narrow = compare_outcomes(
        outcomes(*[False] * 32), outcomes(*random.Random(1).sample(passed, 32))
    )
    wide = compare_outcomes(failing, whole)
    assert narrow is not None
    assert wide is not None
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)


episode_sets = st.dictionaries(
    st.builds(
        EpisodeKey,
        st.sampled_from("ab"),
        st.sampled_from(["1", "2", "3", None]),
        st.integers(0, 5),
    ),
    st.booleans(),
    max_size=40,
)


@given(episode_sets, episode_sets)
@settings(max_examples=200, deadline=None)
def test_differences_are_sane(before, after) -> None:
    found = compare_outcomes(before, after)
    back = compare_outcomes(after, before)
    if found is None or back is None:
        assert found is back is None
        return
    assert -1 <= found.low <= found.value + 1e-12
    assert found.value <= found.high + 1e-12 <= 1 + 2e-12
    ends = (found.value, found.low, found.high)
    assert ends == pytest.approx((-back.value, -back.high, -back.low))
    wider = compare_outcomes(before, after, 0.99)
    assert wider is not None
    assert wider.low <= found.low
    assert wider.high >= found.high


# The drop.


@pytest.mark.parametrize(
    ("failed", "limit", "verdict"),
    [
        (0, 0.05, Drop.within),
        (40, 0.1, Drop.exceeded),
        (4, 0.02, Drop.undecided),
        (4, 0.2, Drop.within),
    ],
)
def test_verdicts_of_a_drop(failed: int, limit: float, verdict: Drop) -> None:
    before = outcomes(*[True] * 100)
    after = outcomes(*[False] * failed, *[True] * (100 - failed))
    found = judge_drop(limit, before, after)
    assert found.verdict is verdict
    assert found.run is (verdict is Drop.exceeded)
    assert (found.episodes is not None) is (verdict is Drop.undecided)


def test_enough_episodes_decide() -> None:
    def run(n: int) -> tuple[dict[EpisodeKey, bool], dict[EpisodeKey, bool]]:
        worse = [number % 25 == 0 for number in range(n)]
        return outcomes(*[True] * n), outcomes(*[not bad for bad in worse])

    few = judge_drop(0.02, *run(100))
    assert few.verdict is Drop.undecided
    assert few.episodes is not None
    assert 200 < few.episodes < 1000
    assert judge_drop(0.02, *run(2 * few.episodes)).verdict is Drop.exceeded


def test_one_scenario_may_exceed_the_limit_alone() -> None:
    before: dict[EpisodeKey, bool] = {}
    after: dict[EpisodeKey, bool] = {}
    for name in "abcdefghijklmnopqrst":
        before |= outcomes(*[True] * 40, scenario=name)
        after |= outcomes(*[name != "c"] * 40, scenario=name)
    found = judge_drop(0.1, before, after)
    assert (found.verdict, found.run, found.scenarios) == (Drop.exceeded, False, ("c",))
    assert str(found) == "more than 10 points, at 95 % confidence: c"


def test_nothing_shared_or_too_much_lost_is_no_verdict() -> None:
    one, other = outcomes(True), outcomes(True, scenario="t")
    assert judge_drop(0.1, one, other).verdict is Drop.unknown
    assert judge_drop(0.1, one, one, judgeable=False).verdict is Drop.unknown


def simulated(
    rng: random.Random, before: float, after: float, cases: int, scenarios: int
) -> tuple[dict[EpisodeKey, bool], dict[EpisodeKey, bool]]:
    """Two runs on cases of which some are harder, by a normal shift of the logit."""
    sides: tuple[dict[EpisodeKey, bool], dict[EpisodeKey, bool]] = ({}, {})
    for scenario in range(scenarios):
        for case in range(cases):
            shift = rng.gauss(0, 1)
            for side, share in zip(sides, (before, after), strict=True):
                logit = math.log(share / (1 - share)) + shift
                passed = rng.random() < 1 / (1 + math.exp(-logit))
                side[EpisodeKey(str(scenario), str(case), 0)] = passed
    return sides


def test_a_drop_that_is_not_there_is_seldom_found() -> None:
    """The promise: at most 5 % of runs whose agent is as before fail, at 0 allowed."""
    rng, runs = random.Random(7), 600
    alarms = sum(
        judge_drop(0.0, *simulated(rng, 0.9, 0.9, 32, 4)).verdict is Drop.exceeded
        for _ in range(runs)
    )
    # Of 600 runs with a chance of 5 %, more than 42 fail in 1 of 100 tries.
    assert 0 < alarms <= 42


def test_a_large_drop_is_found() -> None:
    rng = random.Random(8)
    found = sum(
        judge_drop(0.02, *simulated(rng, 0.95, 0.75, 32, 4)).verdict is Drop.exceeded
        for _ in range(100)
    )
    assert found > 90
