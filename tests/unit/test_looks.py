"""Looks at held-out cases, and what they may certify together."""

from __future__ import annotations

import math

import pytest

from agentgym.reliability import ALPHA, bounds
from agentgym.reliability.looks import (
    alpha_of,
    at_least,
    clean_needed,
    is_certain,
    share_needed,
)


def test_all_looks_share_the_five_percent():
    spent = math.fsum(alpha_of(look) for look in range(10_000))
    assert spent < ALPHA
    assert spent == pytest.approx(ALPHA, rel=1e-3)


def test_a_look_is_certain_where_its_bound_reaches_the_target():
    for look in range(5):
        for passed in range(90, 101):
            sure = is_certain(passed, 100, 0.9, look)
            assert sure == (at_least(passed, 100, look) >= 0.9)
    assert at_least(100, 100, 1) < bounds(100, 100)[0]


@pytest.mark.parametrize(("look", "clean"), [(0, 104), (1, 74), (2, 96), (3, 109)])
def test_clean_episodes(look, clean):
    """0.95 ** 74 is 2.25 %."""
    assert clean_needed(0.95, look) == clean
    assert is_certain(clean, clean, 0.95, look)
    assert not is_certain(clean - 1, clean - 1, 0.95, look)
    assert share_needed(clean, 0.95, look) == 1.0
    assert share_needed(clean - 1, 0.95, look) is None
    assert clean_needed(1.0, look) is None
    assert share_needed(10_000, 1.0, look) is None


@pytest.mark.parametrize("episodes", [74, 100, 320, 1001])
def test_the_share_that_a_look_needs(episodes):
    needed = share_needed(episodes, 0.95, 1)
    assert needed is not None
    passed = round(needed * episodes)
    assert is_certain(passed, episodes, 0.95, 1)
    assert not is_certain(passed - 1, episodes, 0.95, 1)
