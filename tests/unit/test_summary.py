from __future__ import annotations

import random

import pytest

from agentgym.recording.blame import Outcome
from agentgym.report.terminal import verdict
from agentgym.runs.comparison import compare
from agentgym.runs.drop import Drop
from agentgym.runs.side import Side
from agentgym.runs.summary import RunSummary
from tests.made_episodes import (
    SCENARIO,
    made_call,
    made_check,
    made_episode,
    made_episodes,
    made_row,
    made_trajectory,
)
from tests.made_run import summarized


def comparable(summary):
    data = summary.to_json()
    return {k: v for k, v in data.items() if k not in ("started", "seconds")}


def test_a_run_is_added_up():
    """Reliability 3 of 4; the infra error counts nowhere but in its own place."""
    summary = RunSummary(threshold=0.5, seed=7, policy="embedded", run_id="r1")
    fields = {"tokens": 10, "duration": 2.0}
    for episode in made_episodes({"passed": 3}, reward=1.0, **fields):
        summary.add(episode)
    summary.add(made_episode(3, "failed", reward=0.2, tokens=30, duration=4.0))
    summary.add(made_episode(4, "infra_error", error="InfraError: down", tokens=999))
    data = summary.to_json()
    assert data["episodes"] == {
        "passed": 3,
        "failed": 1,
        "infra_error": 1,
        "harness_error": 0,
        "simulator_error": 0,
    }
    assert data["reliability"]["value"] == 0.75
    assert data["reliability"]["threshold"] == 0.5
    assert data["mean_reward"] == 0.8
    [scenario] = data["scenarios"]
    assert scenario["name"] == SCENARIO
    assert scenario["episodes"] == 5
    assert scenario["passed"] == 3
    assert scenario["mean_reward"] == 0.8
    assert scenario["tokens"] == 15
    assert scenario["seconds"] == 2.5
    # Each case was played once, and one did not count.
    assert scenario["pass_hat_k"] == {"1": 0.75}
    assert scenario["pass_k_left_out"] == {"1": 1}
    assert (data["run"], data["seed"], data["policy"]) == ("r1", 7, "embedded")
    assert {"python", "agentgym", "pytest"} <= data["versions"].keys()


def test_json_has_the_documented_names():
    data = summarized(made_episodes({"passed": 1}, tools=[made_row("a")])).to_json()
    reliability = {"value", "low", "high", "threshold", "verdict"}
    assert data["reliability"].keys() == reliability
    assert data["scenarios"][0]["reliability"].keys() == reliability
    assert {"name", "episodes", "passed", "mean_reward", "checks"} <= data["scenarios"][
        0
    ].keys()
    assert data["tools"][0].keys() == {
        "name",
        "calls",
        "correct",
        "wrong_arguments",
        "not_allowed",
        "missing",
        "raised",
        "unjudged",
        "waiting",
        "correct_rate",
        "latency",
    }


def test_checks_are_counted_by_status():
    first = made_check("passed", number=0, line=10)
    summary = summarized(
        [
            made_episode(0, checks=[first, made_check("passed", number=1, line=11)]),
            made_episode(
                1,
                "failed",
                checks=[first, made_check("failed", number=1, line=11, message="no")],
            ),
            made_episode(
                2,
                "failed",
                checks=[first, made_check("errored", number=1, line=11, message="x")],
            ),
            made_episode(3, "failed", checks=[made_check("not_reached")]),
            made_episode(4, "harness_error", checks=[first]),
        ]
    )
    one, two = summary.to_json()["scenarios"][0]["checks"]
    statuses = ("passed", "failed", "errored", "not_reached")
    assert [one[s] for s in statuses] == [3, 0, 0, 1]
    assert [two[s] for s in statuses] == [1, 1, 1, 0]
    assert (two["example"], two["message"]) == (f"{SCENARIO}-1", "no")
    assert one["example"] is None
    assert [check.missed for _, check in summary.missed_checks()] == [2]


def test_two_asserts_on_one_line_are_two_checks():
    checks = [made_check("passed", number=0), made_check("failed", number=1)]
    summary = summarized([made_episode(checks=checks)])
    assert [c["failed"] for c in summary.to_json()["scenarios"][0]["checks"]] == [0, 1]


def test_the_example_is_the_shortest_episode_that_no_error_cut_off():
    failed = [made_check("failed", message="m")]
    long = made_trajectory(made_call("a"), made_call("b", "c2"))
    short = made_trajectory(made_call("a"))
    summary = summarized(
        [
            made_episode(0, "failed", checks=failed, error="ValueError: x"),
            made_episode(1, "failed", checks=failed, trajectory=long),
            made_episode(2, "failed", checks=failed, trajectory=short),
            made_episode(3, "failed", checks=failed, trajectory=short),
        ]
    )
    [(_, check)] = summary.missed_checks()
    assert check.example.episode is not None
    assert check.example.episode.index == 2


def test_examples_are_kept_small():
    call = made_call("read", result="x" * 5_000_000)
    episode = made_episode(
        0,
        "failed",
        checks=[made_check("failed")],
        trajectory=made_trajectory(call),
        output="y" * 1_000_000,
    )
    [(_, check)] = summarized([episode]).missed_checks()
    kept = check.example.episode
    assert kept is not None
    assert len(kept.trajectory.tool_calls[0].result) < 30_000
    assert len(kept.output) < 30_000


def test_tools_are_added_up_over_the_counted_episodes():
    row = made_row("pay", calls=2, correct=1, raised=1, latencies=[0.1, 0.3])
    summary = summarized(
        [
            made_episode(0, tools=[row, made_row("ask", missing=1)]),
            made_episode(1, "failed", tools=[made_row("pay", calls=1, correct=1)]),
            made_episode(2, "infra_error", tools=[row]),
        ]
    )
    ask, pay = summary.to_json()["tools"]
    assert (ask["name"], ask["calls"], ask["missing"]) == ("ask", 0, 1)
    assert (pay["calls"], pay["correct"], pay["raised"]) == (3, 2, 1)
    assert ask["latency"] == {"median": None, "p95": None}
    # Linear between the calls: 0.1 + 0.5 * 0.2, and 0.1 + 0.95 * 0.2.
    assert pay["latency"] == {"median": 0.2, "p95": 0.29}


def test_latency_of_many_calls():
    latencies = [i / 1000 for i in range(101)]
    random.Random(0).shuffle(latencies)
    row = made_row("pay", calls=101, correct=101, latencies=latencies)
    [tool] = summarized([made_episode(tools=[row])]).to_json()["tools"]
    assert tool["latency"] == {"median": 0.05, "p95": 0.095}


def test_latency_of_one_call():
    row = made_row("pay", calls=1, correct=1, latencies=[0.1])
    [tool] = summarized([made_episode(tools=[row])]).to_json()["tools"]
    assert tool["latency"] == {"median": 0.1, "p95": 0.1}


@pytest.mark.parametrize(
    ("counts", "threshold", "code"),
    [
        ({"passed": 19, "failed": 1}, 0.95, 0),
        ({"passed": 18, "failed": 2}, 0.95, 1),
        ({"passed": 0, "failed": 1}, 0.0, 0),
        ({"passed": 19, "infra_error": 1}, 0.95, 0),
        ({"passed": 18, "infra_error": 2}, 0.95, 6),
        ({"passed": 18, "harness_error": 1, "simulator_error": 1}, 0.95, 6),
        ({"infra_error": 1}, 0.0, 6),
        ({}, 0.95, 0),
    ],
)
def test_exit_code(counts, threshold, code):
    summary = summarized(made_episodes(counts), threshold=threshold)
    assert summary.exit_code == code
    assert summary.to_json()["exit_code"] == code
    assert summary.judgeable is (bool(counts) and code != 6)


def test_one_scenario_below_its_threshold_fails_a_reliable_run():
    good = made_episodes({"passed": 400}, scenario="a.py::test_good")
    bad = made_episodes({"passed": 18, "failed": 2}, scenario="a.py::test_bad")
    summary = summarized(good, bad)
    assert summary.reliability.met
    assert summary.exit_code == 1
    assert [str(reason) for reason in summary.decision.reasons] == [
        "a.py::test_bad: 90.0 %, needs 95 %"
    ]


def test_a_scenario_has_its_own_threshold():
    easy = made_episodes({"passed": 18, "failed": 2}, scenario="a.py::test_easy")
    summary = summarized(easy, threshold=0.5)
    summary.scenario("a.py::test_easy", 0.9)
    assert summary.exit_code == 0
    summary.scenario("a.py::test_easy", 0.91)
    assert summary.exit_code == 1
    assert summary.to_json()["scenarios"][0]["reliability"]["threshold"] == 0.91


def test_the_run_s_threshold_counts_although_every_scenario_has_an_easier_one():
    summary = summarized(made_episodes({"passed": 18, "failed": 2}))
    summary.scenario(SCENARIO, 0.5)
    assert summary.decision.of_scenarios == ()
    assert summary.exit_code == 1


def test_one_scenario_that_cannot_be_judged_stops_the_run_s_verdict():
    good = made_episodes({"passed": 400}, scenario="a.py::test_good")
    lost = made_episodes({"passed": 8, "infra_error": 2}, scenario="a.py::test_lost")
    data = summarized(good, lost).to_json()
    assert data["exit_code"] == 6
    assert data["judgeable"] is False
    assert data["reliability"]["verdict"] is None
    verdicts = [s["reliability"]["verdict"] for s in data["scenarios"]]
    assert verdicts == ["RELIABLE", None]


def test_the_verdicts_of_scenarios_share_their_chance_of_error():
    groups = [
        made_episodes({"passed": 60}, scenario=f"a.py::test_{i}") for i in range(3)
    ]
    data = summarized(*groups).to_json()
    # 180 clean episodes certify the run, 60 certify one scenario alone, but
    # 0.95^60 = 0.046 is more than 0.05 / 3.
    assert data["reliability"]["verdict"] == "RELIABLE"
    assert {s["reliability"]["verdict"] for s in data["scenarios"]} == {"UNDECIDED"}


def test_the_order_of_arrival_changes_nothing():
    rng = random.Random(3)
    episodes = []
    for index in range(60):
        outcome = rng.choice(["passed", "failed", "failed", "infra_error"])
        bad = outcome == "failed"
        episodes.append(
            made_episode(
                index,
                outcome,
                scenario=f"a.py::test_{index % 3}",
                reward=rng.random(),
                duration=rng.random(),
                checks=[made_check("failed" if bad else "passed", message=str(index))],
                tools=[made_row(rng.choice("ab"), calls=1, latencies=[rng.random()])],
                case={"value": str(rng.random())},
                error=None if not bad else f"ValueError: {index}",
            )
        )
    expected = comparable(summarized(episodes))
    for _ in range(5):
        rng.shuffle(episodes)
        summary = summarized(episodes)
        assert comparable(summary) == expected
        error = summary.agent_errors()[0][1].example.episode
        assert error is not None
        assert error.index == min(
            e.index for e in episodes if e.error and e.scenario == error.scenario
        )


def test_errors_are_grouped_without_their_numbers_and_names():
    summary = RunSummary(threshold=0.95)
    for index in range(500):
        summary.add(made_episode(index, "failed", error=f"KeyError: 'A{index}'"))
    summary.add(made_episode(500, "failed", error="EpisodeTimeout: too slow"))
    errors = summary.agent_errors()
    assert [error.count for _, error in errors] == [500, 1]
    assert errors[0][1].example.episode is not None
    assert errors[0][1].example.episode.index == 0


def test_the_earliest_error_that_does_not_count_is_kept():
    errors = {4: "late", 2: "early", 3: "later"}
    summary = summarized(
        [made_episode(i, "infra_error", error=text) for i, text in errors.items()]
    )
    assert summary.scenarios[SCENARIO].uncounted == {Outcome.infra_error: (2, "early")}


def test_kinds_of_errors_are_limited():
    summary = RunSummary(threshold=0.95)
    for index in range(500):
        word = "".join(chr(97 + int(digit)) for digit in str(index))
        summary.add(made_episode(index, "failed", error=f"ValueError: {word}"))
    errors = summary.agent_errors()
    assert len(errors) == 51
    assert sum(error.count for _, error in errors) == 500


def test_the_smallest_failing_case_is_kept():
    values = [("failed", "[3, 1]"), ("failed", "[2]"), ("passed", "[]")]
    summary = RunSummary(threshold=0.5)
    for i, (outcome, value) in enumerate(values):
        summary.add(made_episode(i, outcome, case={"value": value}))
    assert summary.to_json()["scenarios"][0]["smallest_failing_case"] == "[2]"


def test_every_outcome_is_in_the_json():
    names = {outcome.value for outcome in Outcome}
    assert RunSummary(threshold=0.5).to_json()["episodes"].keys() == names


@pytest.mark.parametrize(
    ("failed", "limit", "drop", "codes"),
    [
        (0, 0.2, Drop.within, (0, 0)),
        (0, 0.01, Drop.undecided, (0, 1)),
        (40, 0.01, Drop.exceeded, (1, 1)),
    ],
)
def test_the_certified_gate_asks_that_no_drop_is_certain(failed, limit, drop, codes):
    """Reliability itself is certified to reach 10 % in each case."""
    before, after = Side(name="before"), Side(name="after")
    episodes = made_episodes({"passed": 100 - failed, "failed": failed})
    for episode in made_episodes({"passed": 100}):
        before.add(episode)
    for episode in episodes:
        after.add(episode)
    for gate, code in zip(("point", "certified"), codes, strict=True):
        summary = RunSummary(threshold=0.1, gate=gate)
        for episode in episodes:
            summary.add(episode)
        summary.baseline = compare(before, after, limit)
        assert summary.baseline.allowed.verdict is drop
        assert summary.exit_code == code
        told = " ".join(line.text for line in verdict(summary, 200))
        assert ("gate met: the run" in told) == (code == 0)
        assert ("not met: the drop is not certified to be within" in told) == (
            code == 1 and drop is Drop.undecided
        )
        assert ("gate not met: reliability dropped by more" in told) == (
            drop is Drop.exceeded
        )


def test_a_drop_that_cannot_be_judged_is_no_missed_gate():
    before, after = Side(name="before"), Side(name="after")
    before.add(made_episode(scenario="a.py::test_other"))
    episodes = made_episodes({"passed": 100})
    for gate in ("point", "certified"):
        summary = RunSummary(threshold=0.1, gate=gate)
        for episode in episodes:
            summary.add(episode)
            after.add(episode)
        summary.baseline = compare(before, after, 0.1)
        assert summary.baseline.allowed.verdict is Drop.unknown
        assert summary.exit_code == 6


def test_the_gate_is_decided_once():
    summary = summarized(made_episodes({"passed": 80}))
    assert summary.decision.met
    summary.interrupted = (80, 90)
    assert summary.decision.met is None
    summary.conclude()
    decision = summary.decision
    summary.interrupted = None
    assert summary.decision is decision
    assert summary.to_json()["decision"] == decision.to_json()
