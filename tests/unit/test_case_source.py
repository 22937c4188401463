"""Cases one by one: the same as a measurement's, and never on both sides."""

from __future__ import annotations

import pytest

from agentgym.errors import UsageError
from agentgym.scenarios.cases import CaseSource, Rounds, given, make_cases


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


@pytest.mark.parametrize("number", [1, 3, 7, 100])
def test_each_round_plays_all_cases_in_an_order_of_its_own(number):
    rounds = Rounds(number, seed=0, scenario="test_x")
    places = [rounds.place(i) for i in range(3 * number)]
    turns = [places[i : i + number] for i in range(0, 3 * number, number)]
    assert all(sorted(turn) == list(range(number)) for turn in turns)
    again = Rounds(number, seed=0, scenario="test_x")
    assert [again.place(i) for i in range(3 * number)] == places
    if number == 100:
        others = [
            Rounds(100, seed=1, scenario="test_x"),
            Rounds(100, seed=0, scenario="y"),
        ]
        orders = [*turns, *([o.place(i) for i in range(100)] for o in others)]
        assert len({tuple(order) for order in orders}) == 5
        assert list(range(100)) not in orders


def test_a_case_that_is_added_leaves_the_order_of_the_others():
    few, more = (Rounds(n, seed=0, scenario="test_x") for n in (20, 21))
    orders = [few.place(i) for i in range(20)], [more.place(i) for i in range(21)]
    assert [place for place in orders[1] if place != 20] == orders[0]


def test_chance_puts_generated_cases_in_their_order():
    rounds = Rounds(3, seed=0, scenario="test_x", shuffled=False)
    assert [rounds.place(i) for i in range(7)] == [0, 1, 2, 0, 1, 2, 0]


def test_the_simplest_examples_do_not_come_first():
    st = pytest.importorskip("hypothesis.strategies")
    source = CaseSource(
        given(text=st.lists(st.integers(0, 9))), seed=0, scenario="test_x"
    )
    lengths = [len(source.at("held_out", i).params["text"]) for i in range(256)]
    drawn = given(text=st.lists(st.integers(0, 9))).draw(256, 0)
    assert len(drawn[0]["text"]) == 0
    assert sum(lengths[:25]) > 2 * sum(len(one["text"]) for one in drawn[:25])


def test_a_scenario_may_keep_its_cases_on_one_side():
    source = CaseSource(None, seed=0, scenario="test_x", only="train")
    assert (source.count("train"), source.count("held_out")) == (None, 0)
    with pytest.raises(UsageError, match="test_x has no held_out case"):
        source.at("held_out", 0)


@pytest.mark.parametrize(
    ("cases", "known"),
    [
        (3, "held_out-0, held_out-1, held_out-2"),
        (["a", "b", "c"], "held_out-0, train-1, train-2"),
        (100, "held_out-0, held_out-1, .*, held_out-6, ..., held_out-99"),
    ],
)
def test_a_case_that_is_not_there_is_told_with_those_that_are(cases, known):
    source = CaseSource(cases, seed=0, scenario="test_x")
    with pytest.raises(UsageError, match=f"no case held_out-333, only {known}$"):
        source.named("held_out", 333)
    last = known.rpartition(" ")[2].rpartition("-")
    assert source.named(last[0], int(last[2])).id == "-".join(last[::2])


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
