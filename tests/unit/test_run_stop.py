"""A run that no scenario that is left can save."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentgym.reliability import RunStop, Verdict, holm, judge, judge_mean, mean_verdict
from agentgym.report.terminal import verdict
from agentgym.runs.summary import RunSummary
from tests.made_episodes import made_episodes

GOOD, BAD = (200, 200), (0, 40)


def ended(*counts, of=4, threshold=0.95):
    stop = RunStop(threshold)
    for place, one in enumerate(counts):
        stop.ended(place, of, one)
    return stop


def test_a_scenario_that_always_fails_settles_a_run_of_four():
    stop = ended(BAD)
    assert stop.enough
    assert stop.decision is not None
    assert stop.decision.verdict is Verdict.unreliable
    # The other three never fail: it is a quarter of them.
    assert 0.75 < stop.decision.at_most < 0.85
    assert stop.decision.at_least == 0


def test_others_may_still_save_it():
    # One of 40 that always fails: the mean may be 97.5 %.
    assert not ended(BAD, of=40).enough
    assert not ended(BAD, BAD, of=40).enough
    assert ended(BAD, BAD, BAD, of=40).enough
    assert not ended(GOOD, of=4).enough


def test_nothing_is_stopped_after_the_last():
    assert not ended(BAD, of=1).enough
    assert not ended(GOOD, BAD, of=2).enough


def test_scenarios_are_looked_at_in_their_order():
    """What fails ends early: it would be looked at more often than what does not."""
    stop = RunStop(0.95)
    for place in (3, 2, 1):
        stop.ended(place, 5, BAD)
        assert not stop.enough
    stop.ended(0, 5, GOOD)
    assert stop.enough
    first = stop.decision
    decisions = set()
    for order in permutations(enumerate((GOOD, BAD, BAD, GOOD))):
        other = RunStop(0.95)
        for place, counts in order:
            other.ended(place, 5, counts)
        decisions.add(other.decision)
    assert decisions == {first}


def test_what_the_run_is_not_judged_by_counts_as_perfect():
    stop = ended(None, BAD, None, of=30)
    assert not stop.enough
    assert ended((0, 0), BAD, of=4).decision == ended(BAD, of=4).decision


def test_an_item_that_runs_again_is_looked_at_once():
    stop = ended(GOOD, (5, 8), of=4)
    stop.ended(1, 4, BAD)
    stop.ended(1, 4, BAD)
    assert not stop.enough


counts = st.lists(
    st.tuples(st.integers(0, 80), st.integers(0, 30)).map(lambda c: (c[0], sum(c))),
    max_size=5,
)


@given(counts, st.floats(0.01, 0.99), st.integers(0, 4))
@settings(max_examples=80, deadline=None)
def test_a_glance_says_the_same(counts, threshold, unseen):
    judged = judge_mean(counts, threshold, unseen)
    assert mean_verdict(counts, threshold, unseen) is judged.verdict
    assert judged.low <= judged.at_least <= judged.at_most <= judged.high


@given(counts.filter(any), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_unseen_scenarios_may_never_pass_or_never_fail(counts, unseen):
    """The bounds are those of the seen ones, and 0 or 1 for each unseen one."""
    seen = [one for one in counts if one[1]]
    known, judged = judge_mean(counts, 0.5), judge_mean(counts, 0.5, unseen)
    assert judged.value == known.value
    weight = len(seen) / (len(seen) + unseen)
    assert judged.at_least == pytest.approx(known.at_least * weight, abs=0.01)
    least = 1 - known.at_most
    assert judged.at_most == pytest.approx(1 - least * weight, abs=0.01)


@pytest.mark.parametrize(("passed", "expected"), [(10, "UNDECIDED"), (9, "UNRELIABLE")])
def test_a_threshold_of_one_is_missed_by_one_failure(passed, expected):
    counts = [(10, 10), (passed, 10)]
    assert judge_mean(counts, 1.0).verdict == expected
    assert mean_verdict(counts, 1.0) == expected
    assert judge_mean(counts, 0.0).verdict is Verdict.reliable
    assert mean_verdict([], 0.0) is Verdict.undecided


def test_a_run_at_the_threshold_is_stopped_in_at_most_5_percent():
    """All of them at 95 %: scenarios of 60 episodes, looked at after each of them."""
    random, runs = Random(3), 300
    stopped = 0
    for _ in range(runs):
        played = [sum(random.random() < 0.95 for _ in range(60)) for _ in range(4)]
        stopped += ended(*((passed, 60) for passed in played), of=4).enough
    assert stopped <= 0.05 * runs


def test_scenarios_that_are_not_played_make_the_others_no_more_certain():
    judged = [judge(n, n, 0.95) for n in (80, 80, 65)]
    assert holm(judged) == [Verdict.reliable] * 3
    # 80 clean episodes are not enough for one of four.
    assert holm(judged, unseen=1) == [Verdict.undecided] * 3
    assert holm([judge(90, 90, 0.95)], unseen=4) == [Verdict.reliable]


# What is said of it.


def settled(gate="point", **outcomes):
    summary = RunSummary(threshold=0.95, gate=gate, stop="sequential", planned=1600)
    for name, (passed, failed) in outcomes.items():
        made = {"passed": passed, "failed": failed}
        for episode in made_episodes(made, scenario=f"a.py::test_{name}"):
            summary.add(episode)
    summary.settled = ended(BAD, of=4).decision
    summary.not_played = {"a.py::test_cut": 400, "a.py::test_no": 400}
    return summary


@pytest.mark.parametrize("gate", ["point", "certified"])
def test_a_settled_run_is_below_and_says_why(gate):
    summary = settled(gate, bad=(0, 40), good=(200, 0), cut=(3, 3))
    assert summary.exit_code == 1
    assert summary.reliability.verdict is Verdict.unreliable
    assert summary.reliability.value == pytest.approx((0 + 1 + 0.5) / 3)
    # A scenario that was cut short is not blamed.
    blamed = [reason.scenario for reason in summary.decision.of_scenarios]
    assert blamed == ["a.py::test_bad"]
    data = summary.to_json()
    assert data["not_played"] == [
        {"name": "a.py::test_cut", "played": 6, "planned": 400},
        {"name": "a.py::test_no", "played": 0, "planned": 400},
    ]
    assert not data["interrupted"]
    assert data["stopped"] is None
    told = [line.text for line in verdict(summary, 200)]
    assert any("mean of 3 scenarios that were played" in line for line in told)
    assert any(
        line.startswith("UNRELIABLE: at most ")
        and line.endswith(
            "even if the 2 scenarios that were not played to the end never failed"
        )
        for line in told
    )
    assert "not played: a.py::test_no" in told
    assert "cut short: a.py::test_cut" in told


def test_a_settled_run_is_judged_even_if_what_was_cut_short_lost_episodes():
    summary = settled(bad=(0, 40))
    lost = {"passed": 1, "infra_error": 1}
    for episode in made_episodes(lost, scenario="a.py::test_cut"):
        summary.add(episode)
    assert summary.judgeable
    assert summary.exit_code == 1


def test_scenarios_that_were_not_played_count_in_the_correction():
    """Clean episodes that certify one of two scenarios do not certify one of three."""
    summary = RunSummary(threshold=0.95, gate="certified")
    for name in ("a", "b"):
        made = made_episodes({"passed": 73}, scenario=f"a.py::test_{name}")
        for episode in made:
            summary.add(episode)
    assert set(summary.verdicts.values()) == {Verdict.reliable}
    summary.not_played = {"a.py::test_no": 73}
    assert summary.unseen == 1
    assert set(summary.verdicts.values()) == {Verdict.undecided}


@pytest.mark.parametrize(
    ("passed", "late", "not_played", "verdict"),
    [
        (74, 0, [], Verdict.reliable),
        (74, 0, ["a.py::test_no"], Verdict.undecided),
        # Where the sequence certified at half the chance of error, what came late
        # changes nothing.
        (100, 5, ["a.py::test_no"], Verdict.reliable),
    ],
)
def test_scenarios_that_were_not_played_count_in_sequential_verdicts(
    passed, late, not_played, verdict
):
    summary = RunSummary(threshold=0.95, stop="sequential", planned=400)
    for name in ("a", "xfail"):
        counts = {"passed": passed, "failed": late}
        made = made_episodes(counts, scenario=f"a.py::test_{name}")
        for episode in made:
            summary.add(episode)
    summary.scenarios["a.py::test_xfail"].xfail = True
    summary.not_played = dict.fromkeys(not_played, 400)
    assert summary.verdicts == {"a.py::test_a": verdict}
    told = [s["reliability"]["verdict"] for s in summary.to_json()["scenarios"]]
    assert told == [verdict.value, verdict.value]


def test_late_episodes_do_not_save_a_settled_run():
    summary = settled(bad=(4000, 40))
    assert summary.reliability.value is not None
    assert summary.reliability.value > 0.95
    assert summary.reliability.verdict is Verdict.unreliable
    assert summary.exit_code == 1
    summary = replace(summary, settled=None, not_played={})
    assert summary.exit_code == 0


def test_one_scenario_that_is_left_and_many():
    summary = settled(bad=(0, 40))
    summary.not_played = {"a.py::test_cut": 400}
    told = " ".join(line.text for line in verdict(summary, 200))
    assert "even if the scenario that was not played to the end never failed" in told
    summary.not_played = {f"a.py::test_{place}": 400 for place in range(9)}
    told = " ".join(line.text for line in verdict(summary, 200))
    assert "not played: a.py::test_0, " in told
    assert "a.py::test_4 and 4 more" in told
