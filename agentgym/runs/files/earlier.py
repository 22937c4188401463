"""What a `summary.json` of an earlier version lacks, made from what it has."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, cast

from agentgym.reliability import Verdict
from agentgym.runs.drop import Allowance, Drop
from agentgym.runs.gate import (
    GateDecision,
    Reason,
    decide,
    qualifier,
    reason_of_training,
)
from agentgym.runs.gate_facts import GateFacts, ScenarioFacts
from agentgym.runs.summary_json import (
    CostJson,
    DecisionJson,
    ScenarioJson,
    SummaryJson,
    ToolJson,
    TrainingJson,
)


def fields_of_later_versions() -> Mapping[type, Collection[str]]:
    """What an early `summary.json` may lack; who reads it, reads it with `get`."""
    return {
        SummaryJson: {"decision", "not_played"},
        DecisionJson: {"qualifier"},
        ScenarioJson: {"met", "planned", "waiting"},
        ToolJson: {"waiting"},
        CostJson: {"judges", "total"},
        TrainingJson: TrainingJson.__required_keys__,
    }


def upgraded(summary: Mapping[str, Any]) -> SummaryJson:
    """The summary as this version writes it.

    Args:
        summary: The content of a `summary.json` of any version of this format.

    Returns:
        The same with the gate's `decision`, which early versions left to each report,
        and what it says of each scenario.
    """
    whole = dict(summary)
    stored = summary.get("decision")
    if stored is None:
        decision = _decision(summary)
        whole["decision"] = decision.to_json()
        whole["scenarios"] = [
            {**scenario, "met": decision.scenarios.get(scenario["name"])}
            for scenario in summary.get("scenarios", ())
        ]
    else:
        kinds = (reason["kind"] for reason in stored["reasons"])
        whole["decision"] = {"qualifier": qualifier(kinds), **stored}
        whole["scenarios"] = [{"met": None, **one} for one in summary["scenarios"]]
    return cast("SummaryJson", whole)


def _decision(summary: Mapping[str, Any]) -> GateDecision:
    stored = summary.get("scenarios", ())
    gated = [scenario for scenario in stored if not scenario.get("xfail")]
    left = {scenario["name"] for scenario in summary.get("not_played") or ()}
    whole = summary["reliability"]
    certified = summary.get("gate") == "certified"
    value = whole["value"]
    met = value is not None and value >= whole["threshold"]
    if certified:
        met = whole["verdict"] == Verdict.reliable
    interrupted = None
    if summary.get("interrupted"):
        interrupted = sum(summary["episodes"].values()), summary.get("planned", 0)
    return decide(
        GateFacts(
            threshold=whole["threshold"],
            certified=certified,
            met=met and not left,
            whole="training" in summary,
            settled=bool(left),
            scenarios=[_scenario(scenario, left) for scenario in gated],
            expected_to_fail=bool(stored) and not gated,
            allowed=_allowed((summary.get("baseline") or {}).get("max_drop")),
            interrupted=interrupted,
            stopped=summary.get("stopped"),
        ),
        _training(summary.get("training")),
    )


def _scenario(scenario: Mapping[str, Any], left: set[str]) -> ScenarioFacts:
    outcomes, reliability = scenario["outcomes"], scenario["reliability"]
    verdict = reliability["verdict"]
    return ScenarioFacts(
        name=scenario["name"],
        passed=outcomes["passed"],
        counted=outcomes["passed"] + outcomes["failed"],
        total=scenario["episodes"],
        threshold=reliability["threshold"],
        verdict=None if verdict is None else Verdict(verdict),
        ended=scenario["name"] not in left,
    )


def _allowed(max_drop: Mapping[str, Any] | None) -> Allowance | None:
    if max_drop is None:
        return None
    return Allowance(
        limit=max_drop["limit"],
        verdict=Drop(max_drop["verdict"]),
        run=max_drop.get("run", False),
        scenarios=tuple(max_drop.get("scenarios", ())),
    )


def _training(training: Mapping[str, Any] | None) -> list[Reason]:
    if training is None or training.get("interrupted"):
        return []
    reason = reason_of_training(
        judgeable=training.get("judgeable", True), met=training.get("met", True)
    )
    return [] if reason is None else [reason]
