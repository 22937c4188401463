"""The gate's decision: every reason that holds, one exit code, one sentence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from agentgym.exit_code import ExitCode
from agentgym.reliability import Verdict
from agentgym.runs.drop import Allowance, Drop
from agentgym.runs.gate import _CODES, GateDecision, Reason, ReasonKind, decide
from agentgym.runs.gate_facts import GateFacts, ScenarioFacts


def scenario(
    name: str, passed: int, failed: int = 0, lost: int = 0, **fields: Any
) -> ScenarioFacts:
    fields = {"threshold": 0.95, "verdict": Verdict.undecided} | fields
    counted = passed + failed
    return ScenarioFacts(
        name=name, passed=passed, counted=counted, total=counted + lost, **fields
    )


GOOD, BAD = scenario("good", 400), scenario("bad", 18, 2)


def decided(
    *scenarios: ScenarioFacts, outside_reasons: Sequence[Reason] = (), **fields: Any
) -> GateDecision:
    passed, counted = (
        sum(getattr(s, name) for s in scenarios) for name in ("passed", "counted")
    )
    met = bool(counted) and passed / counted >= 0.95
    facts = {"threshold": 0.95, "certified": False, "met": met} | fields
    return decide(GateFacts(scenarios=scenarios, **facts), outside_reasons)


def kinds(decision: GateDecision) -> list[str]:
    return [reason.kind.value for reason in decision.reasons]


def test_a_gate_that_is_met_has_no_reason():
    decision = decided(GOOD)
    assert (decision.exit_code, decision.met, decision.reasons) == (0, True, ())
    assert decision.sentence == "gate met: the run reached 95 %"


def test_every_kind_has_an_exit_code():
    assert set(_CODES) == set(ReasonKind)


ALLOWED = {
    verdict: Allowance(limit=0.02, verdict=verdict, run=verdict is Drop.exceeded)
    for verdict in Drop
}


@pytest.mark.parametrize(
    ("scenarios", "fields", "code", "sentence"),
    [
        (
            [GOOD, BAD],
            {"allowed": ALLOWED[Drop.unknown]},
            1,
            "gate not met: 1 of 2 scenarios is below 95 % and the drop since the "
            "baseline cannot be judged",
        ),
        (
            [GOOD, BAD],
            {"allowed": ALLOWED[Drop.exceeded]},
            1,
            "gate not met: 1 of 2 scenarios is below 95 % and reliability dropped by "
            "more than the allowed 2 points",
        ),
        (
            [GOOD],
            {"allowed": ALLOWED[Drop.unknown]},
            6,
            "CANNOT JUDGE: the drop since the baseline cannot be judged",
        ),
        (
            [scenario("good", 400, verdict=Verdict.reliable)],
            {"allowed": ALLOWED[Drop.undecided], "certified": True},
            1,
            "gate not met: the drop is not certified to be within the allowed 2 points",
        ),
        ([GOOD], {"allowed": ALLOWED[Drop.undecided]}, 0, None),
        ([GOOD], {"allowed": ALLOWED[Drop.within]}, 0, None),
        (
            [GOOD, scenario("lost", 8, lost=2), BAD],
            {},
            6,
            "CANNOT JUDGE: 2 of 430 episodes do not count, too many of them in 1 "
            "scenario; at most 5 % of the run and of each scenario may be left "
            "uncounted; 1 of 3 scenarios is below 95 %",
        ),
        (
            [GOOD, BAD],
            {"interrupted": (420, 800), "allowed": ALLOWED[Drop.exceeded]},
            2,
            "INTERRUPTED: 420 of 800 episodes were played; only complete runs are "
            "judged",
        ),
        (
            [GOOD],
            {"interrupted": (420, 8000), "stopped": "$5 are spent"},
            2,
            "STOPPED: $5 are spent: 420 of 8000 episodes were played; only complete "
            "runs are judged",
        ),
        (
            [],
            {"expected_to_fail": True},
            0,
            "no gate: every scenario was expected to fail",
        ),
        ([], {}, 0, "no gate: no scenario was played"),
    ],
)
def test_decisions(scenarios, fields, code, sentence):
    decision = decided(*scenarios, **fields)
    assert decision.exit_code == code
    assert decision.sentence == (sentence or "gate met: the run reached 95 %")
    known = {ExitCode.OK: True, ExitCode.BELOW: False}
    expected = None if "no gate" in decision.sentence else known.get(decision.exit_code)
    assert decision.met is expected


def test_a_drop_of_scenarios_only():
    allowed = Allowance(limit=0.01, verdict=Drop.exceeded, scenarios=("a", "b"))
    decision = decided(GOOD, allowed=allowed)
    text = "dropped by more than the allowed 1 point"
    assert decision.sentence == f"gate not met: reliability of 2 scenarios {text}"
    assert [str(reason) for reason in decision.of_scenarios] == [
        f"a: {text}",
        f"b: {text}",
    ]


@pytest.mark.parametrize("kind", [ReasonKind.errored, ReasonKind.not_played])
def test_what_no_episode_says_is_never_a_gate_that_is_met(kind):
    reason = Reason(kind=kind, sentence="the cellar is locked", scenario="cellar")
    decision = decided(GOOD, outside_reasons=[reason])
    assert (decision.exit_code, decision.met) == (6, None)
    assert (
        decision.sentence
        == {
            "errored": "CANNOT JUDGE: 1 scenario errored outside of the episodes",
            "not_played": "CANNOT JUDGE: 1 scenario was not played",
        }[kind]
    )
    # What is below is below, whatever became of others.
    decision = decided(GOOD, BAD, outside_reasons=[reason])
    assert (decision.exit_code, decision.met) == (1, False)
    assert kinds(decision) == ["below", kind.value]
    assert decision.of_scenarios == (decision.reasons[0], reason)
    # Nor is it forgotten because of an interruption, or where nothing is judged.
    for fields in ({"interrupted": (1, 9)}, {"expected_to_fail": True}):
        decision = decided(outside_reasons=[reason], **fields)
        assert reason in decision.reasons
        assert decision.exit_code in (2, 6)


def test_the_only_scenario_is_the_run_unless_its_threshold_is_its_own():
    assert kinds(decided(scenario("bad", 9, 1))) == ["below"]
    own = decided(scenario("bad", 9, 1, threshold=0.99))
    assert kinds(own) == ["below", "below"]
    assert str(own.reasons[1]) == "bad: 90.0 %, needs 99 %"


def test_a_settled_run_is_below_whatever_was_lost():
    lost = scenario("lost", 0, 40, lost=10, ended=False)
    assert kinds(decided(lost, met=False, settled=True)) == ["below"]
    assert kinds(decided(lost, met=False)) == ["lost"]
    # A settled run has no reason for what was lost, and still does not judge it.
    ended = scenario("ended", 40, lost=10)
    settled = decided(BAD, ended, met=False, settled=True)
    assert settled.scenarios == {"bad": False, "ended": None}


def test_a_training_is_judged_as_a_whole():
    """A scenario then fails a run that reaches it by a threshold of its own only."""
    assert decided(GOOD, BAD, whole=True).met
    own = scenario("own", 18, 2, threshold=0.92)
    decision = decided(GOOD, BAD, own, whole=True)
    assert [reason.scenario for reason in decision.reasons] == ["own"]
    missed = Reason(kind=ReasonKind.target_missed, sentence="no target")
    assert decided(GOOD, whole=True, outside_reasons=[missed]).exit_code == 1


def test_json_has_all_of_it():
    assert decided(GOOD, BAD).to_json() == {
        "exit_code": 1,
        "met": False,
        "sentence": "gate not met: 1 of 2 scenarios is below 95 %",
        "qualifier": None,
        "reasons": [
            {"kind": "below", "sentence": "90.0 %, needs 95 %", "scenario": "bad"}
        ],
    }


def test_what_the_gate_says_of_each_scenario():
    lost = scenario("lost", 8, lost=2)
    assert decided(GOOD, BAD, lost).scenarios == {
        "good": True,
        "bad": False,
        "lost": None,
    }
    assert decided(scenario("only", 9, 1)).scenarios == {"only": False}
    easy = decided(scenario("easy", 9, 1, threshold=0.5))
    assert (easy.met, easy.scenarios) == (False, {"easy": True})
    # What was lost is not judged, whatever the rest says.
    few = scenario("few", 2, 6, lost=2)
    assert decided(few).scenarios == {"few": None}
    assert kinds(decided(GOOD, few)) == ["lost"]
    assert decided(BAD, interrupted=(20, 80)).scenarios == {"bad": None}
    # A share is not enough for the certified gate, nor is a run for its scenarios.
    sure = scenario("sure", 400, verdict=Verdict.reliable)
    certified = decided(sure, scenario("clean", 40), certified=True)
    assert certified.scenarios == {"sure": True, "clean": False}
    # In a training, the run is judged.
    assert decided(GOOD, BAD, whole=True).scenarios == {"good": True, "bad": True}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("stopped", "of what was played"),
        ("errored", "of what was played"),
        ("not_played", "of what was played"),
        ("drop_unknown", None),
    ],
)
def test_a_verdict_on_a_part_of_the_run_is_qualified(kind, expected):
    reason = Reason(kind=ReasonKind(kind), sentence="so it was", scenario="x")
    assert decided(GOOD, outside_reasons=[reason]).qualifier == expected


def test_a_training_does_not_repeat_what_its_episodes_say():
    missed = Reason(kind=ReasonKind.target_missed, sentence="no target")
    lost = Reason(kind=ReasonKind.lost, sentence="too many are lost")
    below = decided(BAD, whole=True, outside_reasons=[missed])
    assert kinds(below) == ["below"]
    gone = scenario("lost", 8, lost=2)
    assert lost not in decided(gone, whole=True, outside_reasons=[lost]).reasons
    assert kinds(decided(GOOD, whole=True, outside_reasons=[lost])) == ["lost"]
    # A drop does not say that the target is missed.
    dropped = {"allowed": ALLOWED[Drop.exceeded], "outside_reasons": [missed]}
    assert kinds(decided(GOOD, whole=True, **dropped)) == ["dropped", "target_missed"]


def test_scenarios_that_passed_unexpectedly():
    reasons = [
        Reason(kind=ReasonKind.passed_unexpectedly, sentence="passed", scenario=name)
        for name in ("good", "other")
    ]
    decision = decided(GOOD, outside_reasons=reasons)
    assert (decision.exit_code, decision.met) == (1, False)
    assert decision.sentence == (
        "gate not met: 2 scenarios passed, though they were expected to fail"
    )


LOW = scenario("low", 20, 12, verdict=Verdict.unreliable)


def test_a_tolerant_gate_fails_only_what_is_certain():
    decision = decided(GOOD, BAD, tolerant=True, met=True)
    assert (decision.exit_code, kinds(decision)) == (0, [])
    assert decision.sentence == (
        "gate met: neither the run nor one of 2 scenarios is certain to be below 95 %"
    )
    assert decision.scenarios == {"good": True, "bad": True}
    decision = decided(GOOD, BAD, LOW, tolerant=True, met=False)
    assert kinds(decision) == ["certainly_below"] * 2
    assert decision.exit_code is ExitCode.BELOW
    assert decision.sentence == (
        "gate not met: the run is certain to be below 95 % and 1 of 3 scenarios is "
        "certain to be below 95 %"
    )
    assert str(decision.of_scenarios[0]) == "low: 62.5 %, certainly below 95 %"


def test_a_tolerant_gate_of_one_scenario():
    decision = decided(BAD, tolerant=True, met=True)
    assert decision.sentence == "gate met: the run is not certain to be below 95 %"
    decision = decided(LOW, tolerant=True, met=False)
    assert decision.sentence == "gate not met: the run is certain to be below 95 %"


def test_own_thresholds_of_a_tolerant_gate():
    own = scenario("own", 20, threshold=0.5)
    assert decided(GOOD, own, tolerant=True, met=True).sentence == (
        "gate met: neither the run nor one of 2 scenarios is certain to be below its "
        "threshold"
    )
