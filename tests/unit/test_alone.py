"""When failed episodes that pass alone accuse those beside them."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentgym.playing.alone import PlayedAlone, better_alone, failures_allowed


def chance(alone: PlayedAlone, passed: int, counted: int) -> float:
    """That so many pass alone, by counting all ways to choose who passes."""
    both = alone.played + counted
    ways = [
        sum(place < alone.played for place in chosen)
        for chosen in combinations(range(both), alone.passed + passed)
    ]
    return sum(way >= alone.passed for way in ways) / len(ways)


@st.composite
def outcomes(draw):
    played, counted = draw(st.integers(0, 6)), draw(st.integers(0, 9))
    alone = PlayedAlone(played, draw(st.integers(0, played)))
    return alone, draw(st.integers(0, counted)), counted


@given(outcomes())
def test_as_seldom_as_one_in_a_hundred(drawn):
    assert better_alone(*drawn) == (chance(*drawn) <= 0.01)


@pytest.mark.parametrize(
    ("alone", "passed", "counted", "told"),
    [
        ((12, 12), 12, 24, True),
        ((4, 4), 0, 4, False),
        ((4, 4), 0, 6, True),
        ((10, 10), 35, 50, False),
        ((16, 16), 0, 200_000, True),
        ((16, 0), 0, 200_000, False),
        ((0, 0), 0, 0, False),
    ],
)
def test_what_is_told(alone, passed, counted, told):
    assert better_alone(PlayedAlone(*alone), passed, counted) == told


@pytest.mark.parametrize(
    ("played", "passed", "counted", "allowed"),
    [
        (0, 5, 5, -1),
        (2, 2, 4, -1),
        (10, 40, 50, -1),
        (10, 25, 50, 0),
        (16, 25, 50, 2),
        (16, 0, 50, 2),
        (1, 0, 1, -1),
    ],
)
def test_how_many_may_fail(played, passed, counted, allowed):
    assert failures_allowed(played, passed, counted) == allowed


@given(st.integers(0, 16), st.integers(0, 60), st.integers(0, 60))
def test_playing_goes_on_only_where_it_can_tell(played, passed, failed):
    counted = passed + failed
    allowed = failures_allowed(played, passed, counted)
    assert -1 <= allowed <= 2
    if allowed >= 0:
        alone = PlayedAlone(played, played - allowed)
        assert alone.failed == allowed
        assert better_alone(alone, passed, counted)
