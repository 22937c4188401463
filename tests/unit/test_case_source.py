"""Cases one by one: the same as a measurement's, and never on both sides."""

from __future__ import annotations

import pytest

from agentgym.errors import UsageError
from agentgym.scenarios.cases import CaseSource, given, make_cases


@pytest.mark.parametrize("split", ["train", "held_out"])
@pytest.mark.parametrize("cases", [None, 3, ["a", "b", "c", "d", "e"]])
def test_the_same_cases_as_a_measurement(cases, split):
    made = make_cases(cases, count=7, seed=4, scenario="test_x", split=split)
    source = CaseSource(cases, seed=4, scenario="test_x")
    assert [source.at(split, i) for i in range(len(made))] == made
    if cases is None:
        assert source.count(split) is None
        assert source.at(split, 1000).index == 1000
    else:
        assert source.count(split) == len(made)
        assert source.at(split, len(made)) == made[0]


def test_a_scenario_may_keep_its_cases_on_one_side():
    source = CaseSource(None, seed=0, scenario="test_x", only="train")
    assert (source.count("train"), source.count("held_out")) == (None, 0)
    with pytest.raises(UsageError, match="test_x has no held_out case"):
        source.at("held_out", 0)


def test_listed_values_of_which_none_is_trained():
    source = CaseSource(["only"], seed=0, scenario="test_x")
    assert (source.count("train"), source.count("held_out")) == (0, 1)


def test_no_drawn_example_is_on_both_sides():
    st = pytest.importorskip("hypothesis.strategies")
    source = CaseSource(given(n=st.integers(0, 400)), seed=0, scenario="test_x")
    assert source.count("train") is None
    held_out = {source.at("held_out", i).params["n"] for i in range(256)}
    train = {source.at("train", i).params["n"] for i in range(256)}
    assert held_out
    assert train
    assert not held_out & train
    again = CaseSource(given(n=st.integers(0, 400)), seed=0, scenario="test_x")
    assert again.at("train", 5) == source.at("train", 5)


def test_too_few_different_examples():
    st = pytest.importorskip("hypothesis.strategies")
    source = CaseSource(given(n=st.booleans()), seed=0, scenario="test_x")
    assert source.at("held_out", 0).params["n"] in (True, False)
    with pytest.raises(UsageError, match="all of them are held out"):
        source.at("train", 0)
