"""One run that is over, in short, from its summary alone."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

from agentgym.report.training import training_section
from agentgym.runs.lines import (
    SURE,
    Heading,
    Line,
    TableRow,
    count,
    duration,
    interval,
    number,
    percent,
    points,
    rows_by_file,
    short_name,
    table,
    wrapped,
)
from agentgym.runs.summary_json import (
    CheckJson,
    ComparisonJson,
    ScenarioJson,
    SummaryJson,
    ToolJson,
)

MOST_CHECKS = 5
MOST_REASONS = 5
_COLOURS: Mapping[bool | None, str] = {True: "green", False: "red", None: "yellow"}


def card_lines(summary: SummaryJson, width: int = 80) -> Iterator[Line]:
    """The run, its scenarios and tools, what failed most, and what the gate says.

    Args:
        summary: The content of `summary.json`.
        width: Characters that a line may have.
    """
    yield from wrapped(_about(summary), width)
    yield Heading("scenarios")
    named = ((scenario["name"], scenario) for scenario in summary["scenarios"])
    columns = ["passed", f"reliability ({SURE})", "reward", "tok/ep", "s/ep"]
    yield from table(columns, rows_by_file(named, _scenario_row), width)
    if summary["tools"]:
        yield Heading("tools")
        yield from _tools(summary, width)
    yield from _failed_checks(summary, width)
    if (training := summary.get("training")) is not None:
        yield Heading("training")
        yield from training_section(training, width)
    if (baseline := summary.get("baseline")) is not None:
        yield Heading("compared")
        yield from _compared(baseline, width)
    yield Heading("gate")
    yield from _decision(summary, width)


def _about(summary: SummaryJson) -> str:
    started = time.localtime(summary["started"])
    parts = [
        f"run {summary['run']}",
        time.strftime("%Y-%m-%d %H:%M", started),
        f"took {_took(summary)}",
        f"policy {summary['policy']}" if summary.get("policy") else "",
        f"seed {summary['seed']}",
    ]
    return ", ".join(filter(None, parts))


def _took(summary: SummaryJson) -> str:
    training = summary.get("training")
    seconds = summary["seconds"]
    if training is not None:
        seconds = training.get("seconds", seconds)
    return duration(seconds)


def _scenario_row(name: str, scenario: ScenarioJson) -> TableRow:
    share, outcomes = scenario["reliability"], scenario["outcomes"]
    counted = outcomes["passed"] + outcomes["failed"]
    text = percent(share["value"], share["threshold"])
    if counted:
        text += f" ({interval(share['low'], share['high'])})"
    reward = scenario["mean_reward"]
    return TableRow(
        f"{name} (xfail)" if scenario["xfail"] else name,
        [
            f"{outcomes['passed']}/{counted}",
            text,
            "-" if reward is None else f"{reward:.2f}",
            number(scenario["tokens"] or None),
            number(scenario["seconds"]),
        ],
        {_COLOURS[scenario["met"]]: True},
    )


def _tools(summary: SummaryJson, width: int) -> Iterator[Line]:
    columns = ["calls", "correct", "wrong args", "not allowed", "missing", "raised"]
    ordered = sorted(summary["tools"], key=lambda tool: (-tool["calls"], tool["name"]))
    rows = [
        TableRow(tool["name"] or "(no name)", _tool_cells(tool)) for tool in ordered
    ]
    yield from table([name.replace(" ", "\n") for name in columns], rows, width)


def _tool_cells(tool: ToolJson) -> list[str]:
    correct = tool["correct_rate"]["value"]
    counts = (tool["wrong_arguments"], tool["not_allowed"])
    return [
        str(tool["calls"]),
        "-" if correct is None else f"{100 * correct:.0f} %",
        *map(str, (*counts, tool["missing"], tool["raised"])),
    ]


def _failed_checks(summary: SummaryJson, width: int) -> Iterator[Line]:
    found = [
        (scenario["name"], check)
        for scenario in summary["scenarios"]
        for check in scenario["checks"]
        if _missed(check)
    ]
    if not found:
        return
    yield Heading("commonest failed checks")
    found.sort(key=lambda one: -_missed(one[1]))
    for name, check in found[:MOST_CHECKS]:
        often = f"{_missed(check)}/{_missed(check) + check['passed']}"
        text = f"{often} of {short_name(name)}: assert {check['text']}"
        yield from wrapped(text, width, hanging="    ", most=3)
    if len(found) > MOST_CHECKS:
        yield Line(f"and {count(len(found) - MOST_CHECKS, 'more check')}")


def _missed(check: CheckJson) -> int:
    """How often it failed, or the agent's doing broke it."""
    return check["failed"] + check["errored"] - check.get("crashes", 0)


def _compared(baseline: ComparisonJson, width: int) -> Iterator[Line]:
    found = baseline["difference"]
    text = f"with {baseline['before']['run']}: "
    if found is None:
        text += "nothing is shared"
    else:
        text += points(found["value"], found["low"], found["high"])
    for what in ("newly_failing", "newly_fixed"):
        if cases := baseline[what]:
            text += f", {count(len(cases), 'case')} {what.replace('_', ' ')}"
    yield from wrapped(text, width, hanging="  ")


def _decision(summary: SummaryJson, width: int) -> Iterator[Line]:
    share, decision = summary["reliability"], summary["decision"]
    if share["value"] is not None:
        text = (
            f"reliability {percent(share['value'], share['threshold'])} "
            f"({SURE} interval {interval(share['low'], share['high'])} %)"
        )
        if share["verdict"]:
            text += f", {share['verdict']}"
        if decision["qualifier"]:
            text += f" {decision['qualifier']}"
        yield from wrapped(text, width, markup={"bold": True})
    markup = {_COLOURS[decision["met"]]: True, "bold": True}
    yield from wrapped(decision["sentence"], width, markup=markup)
    named = [reason for reason in decision["reasons"] if reason["scenario"] is not None]
    for reason in named[:MOST_REASONS]:
        text = f"{reason['scenario']}: {reason['sentence']}"
        yield from wrapped(text, width, "  ", hanging="    ")
    if len(named) > MOST_REASONS:
        yield Line(f"  and {len(named) - MOST_REASONS} more")
