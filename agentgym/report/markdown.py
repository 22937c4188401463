"""A run's summary as Markdown, and how it compares with an earlier one."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Literal, cast, get_args

from agentgym.report.case_report import failed_cases, k_table, unplayed_cases
from agentgym.report.marks import WIDTH, block, code, codes, row, table_head
from agentgym.report.training import named_sign
from agentgym.report.what_failed import alike, place_of
from agentgym.runs.differences import unpaired_difference
from agentgym.runs.lines import (
    SURE,
    count,
    dollars,
    duration,
    interval,
    listed,
    percent,
    percentage_points,
    points,
    short_name,
    threshold,
)
from agentgym.runs.summary_json import (
    CheckJson,
    ComparisonJson,
    CostJson,
    DecisionJson,
    JudgeJson,
    ScenarioJson,
    SimulatorsJson,
    SummaryJson,
    ToolJson,
    TrainingJson,
    UsageJson,
    UserJson,
)

MOST_SCENARIOS = 50
MOST_CHECKS = 5
MOST_REASONS = 10
MOST_LINES = 10

Calls = Literal[
    "calls", "correct", "wrong_arguments", "not_allowed", "missing", "raised"
]
_CALLS: tuple[Calls, ...] = get_args(Calls)


def markdown(summary: SummaryJson, baseline: SummaryJson | None = None) -> str:
    """The report.

    Args:
        summary: The run.
        baseline: An earlier run, whose scenarios have the same names.
    """
    before = {} if baseline is None else _by_name(baseline)
    parts = [
        _verdict(summary, baseline),
        _scenarios(summary["scenarios"], before if baseline is not None else None),
        _gone(summary, before),
        _tools(summary["tools"]),
        k_table(summary),
        _errored(summary["scenarios"]),
        _failures(summary["scenarios"]),
        failed_cases(summary),
        _signs(summary.get("training")),
        _notes(summary),
    ]
    return "\n\n".join("\n".join(part) for part in map(list, parts) if part) + "\n"


def _by_name(summary: SummaryJson) -> dict[str, ScenarioJson]:
    return {scenario["name"]: scenario for scenario in summary["scenarios"]}


# The verdict.


def _verdict(summary: SummaryJson, baseline: SummaryJson | None) -> Iterator[str]:
    reliability = summary["reliability"]
    limit = reliability["threshold"]
    yield f"## Tool reliability: {percent(reliability['value'], limit)}"
    yield ""
    passed, counted = _counts(summary)
    decision = summary["decision"]
    text = f"**{capitalised(decision['sentence'])}.**"
    if counted:
        text += (
            f" {_mean(summary)}{passed} of {count(counted, 'episode')} passed, "
            f"{SURE} interval "
            f"{interval(reliability['low'], reliability['high'])} %."
        )
    if reliability["verdict"]:
        qualifier = decision["qualifier"]
        sure = f"{qualifier}, at" if qualifier else "at"
        text += f" {capitalised(sure)} {SURE} confidence: {reliability['verdict']}."
    yield text
    yield from _reasons(decision)
    odds = summary.get("gate_odds")
    if odds is not None:
        yield ""
        yield f"{capitalised(odds)}."
    yield from _stopped_early(summary)
    unplayed = unplayed_cases(
        (s["name"], s.get("listed")) for s in summary["scenarios"]
    )
    if unplayed is not None:
        yield ""
        yield f"{capitalised(unplayed)}."
    if baseline is not None:
        earlier = baseline["reliability"]["value"]
        change = _points(_counts(baseline), (passed, counted))
        yield ""
        yield (
            f"The baseline, run {code(baseline['run'])}, had {percent(earlier)}: "
            f"{change or 'nothing to compare'}."
        )
    elif summary.get("baseline"):
        yield ""
        yield _compared(summary["baseline"])


def _mean(summary: SummaryJson) -> str:
    """That the run's reliability is no share of its episodes, where that is so."""
    scenarios = len(_gated(summary))
    if summary.get("stop", "fixed") == "fixed" or scenarios < 2:
        return ""
    return f"Mean of {scenarios} scenarios; "


def _stopped_early(summary: SummaryJson) -> Iterator[str]:
    """How much a run was spared whose scenarios end when they are certain."""
    outcomes = cast("Mapping[str, int]", summary["episodes"])
    played, planned = sum(outcomes.values()), summary.get("planned", 0)
    early = summary.get("stop", "fixed") != "fixed"
    early = early and not summary.get("interrupted")
    if not early or planned <= played:
        return
    why = "a scenario ends when its verdict is certain"
    rest = summary.get("not_played")
    if rest:
        why = (
            "the run is certain to be below its threshold, whatever "
            f"{count(len(rest), 'scenario')} that did not end would do"
        )
    yield ""
    yield f"Stopped after {played:,} of at most {count(planned, 'episode')}: {why}."


def _compared(comparison: ComparisonJson) -> str:
    """What the run itself found out about its baseline."""
    found = comparison["difference"]
    run = code(comparison["before"]["run"])
    if found is None:
        return f"The baseline, run {run}, has no scenario in common with this one."
    change = points(found["value"], found["low"], found["high"])
    paired = "in pairs" if found["paired"] else "not paired"
    text = (
        f"The baseline, run {run}, had {percent(found['before'])}: {change}, {paired}"
    )
    changed = {
        "newly failing": comparison["newly_failing"],
        "newly fixed": comparison["newly_fixed"],
    }
    for words, cases in changed.items():
        if cases:
            text += f"; {count(len(cases), f'{words} case')}"
    limit = comparison["max_drop"]
    if limit is not None:
        most = percentage_points(limit["limit"])
        text += f". Drop **{limit['verdict']}**, at most {most} allowed"
    return f"{text}."


def capitalised(sentence: str) -> str:
    """A sentence of the summary where it stands by itself."""
    return sentence[:1].upper() + sentence[1:]


def _reasons(decision: DecisionJson) -> Iterator[str]:
    """What the gate's sentence says of scenarios, with their names."""
    named = [
        (reason["scenario"], reason["sentence"])
        for reason in decision["reasons"]
        if reason["scenario"] is not None
    ]
    if named:
        yield ""
    names = codes(name for name, _ in named)
    for name, (_, sentence) in zip(names[:MOST_REASONS], named, strict=False):
        # It may quote an exception.
        yield f"- {name}: {code(sentence)}"
    if len(named) > MOST_REASONS:
        yield f"- and {len(named) - MOST_REASONS} more"


def _gated(summary: SummaryJson) -> list[ScenarioJson]:
    """The scenarios that the gate judges."""
    return [s for s in summary["scenarios"] if not s.get("xfail")]


def _counts(summary: SummaryJson) -> tuple[int, int]:
    """Passed and counted episodes of the scenarios that the gate judges."""
    gated = _gated(summary)
    return sum(s["passed"] for s in gated), sum(_counted(s) for s in gated)


def _counted(scenario: ScenarioJson) -> int:
    outcomes = scenario["outcomes"]
    return int(outcomes["passed"] + outcomes["failed"])


# The differences.


def _points(before: tuple[int, int], after: tuple[int, int]) -> str | None:
    if not before[1] or not after[1]:
        return None
    value, low, high = unpaired_difference(before, after)
    text = points(value, low, high)
    return f"**{text}**" if low > 0 or high < 0 else text


# The tables.


def _scenarios(
    scenarios: Sequence[ScenarioJson], before: Mapping[str, ScenarioJson] | None
) -> Iterator[str]:
    yield "### Scenarios"
    yield ""
    titles = ["scenario", "passed", "reliability", f"{SURE} interval", "threshold"]
    if before is not None:
        titles.append("against the baseline")
    yield from table_head(titles)
    # The worst come first: a long table is cut.
    ordered = sorted(scenarios, key=lambda s: s["reliability"]["value"] or 0.0)
    names = codes((scenario["name"] for scenario in ordered), in_table=True)
    for name, scenario in zip(names[:MOST_SCENARIOS], ordered, strict=False):
        cells = _scenario_cells(name, scenario)
        if before is not None:
            earlier = before.get(scenario["name"])
            cells.append("new" if earlier is None else _against(earlier, scenario))
        yield row(cells)
    if len(ordered) > MOST_SCENARIOS:
        yield ""
        yield f"and {count(len(ordered) - MOST_SCENARIOS, 'more scenario')}"
    if before:
        yield ""
        yield (
            f"Bold: the {SURE} interval of the difference leaves 0 out, which happens "
            "by chance to one scenario in 20."
        )


def _scenario_cells(name: str, scenario: ScenarioJson) -> list[str]:
    reliability = scenario["reliability"]
    counted = _counted(scenario)
    between = interval(reliability["low"], reliability["high"])
    return [
        f"{name} (xfail)" if scenario.get("xfail") else name,
        f"{scenario['passed']}/{counted}",
        percent(reliability["value"], reliability["threshold"]),
        f"{between} %" if counted else "-",
        threshold(reliability["threshold"]),
    ]


def _against(before: ScenarioJson, after: ScenarioJson) -> str:
    counts = [(s["passed"], _counted(s)) for s in (before, after)]
    return _points(counts[0], counts[1]) or "-"


def _gone(summary: SummaryJson, before: Mapping[str, ScenarioJson]) -> Iterator[str]:
    gone = sorted(before.keys() - _by_name(summary).keys())
    if gone:
        yield f"Not measured this time: {listed(codes(gone), MOST_CHECKS)}"


def _tools(tools: Sequence[ToolJson]) -> Iterator[str]:
    if not tools:
        return
    yield "### Tools"
    yield ""
    calls = [name.replace("_", " ") for name in _CALLS]
    waits = any(tool.get("waiting") for tool in tools)
    if waits:
        calls.append("waiting")
    yield from table_head(["tool", *calls, "median", "p95"])
    for tool in sorted(tools, key=lambda t: (-t["calls"], t["name"])):
        cells = [code(tool["name"] or "(no name)", in_table=True)]
        cells += [str(tool[name]) for name in _CALLS]
        if waits:
            # Early versions did not know of calls that wait.
            cells.append(str(tool.get("waiting", 0)))
        latency = tool["latency"]
        cells += [duration(latency["median"]), duration(latency["p95"])]
        yield row(cells)


# What failed, and what else there is to say.


def _errored(scenarios: Sequence[ScenarioJson]) -> Iterator[str]:
    """Checks in which the user's own code raised."""
    crashed = [
        (check.get("crashes", 0), scenario, check)
        for scenario in scenarios
        for check in scenario["checks"]
        if check.get("crashes")
    ]
    if not crashed:
        return
    yield "### Errored checks"
    checks = alike(crashed, lambda one: place_of(one[2]), lambda one: one[0])
    for same in checks[:MOST_CHECKS]:
        _, scenario, check = same[0]
        errored = count(sum(found[0] for found in same), "episode")
        yield ""
        yield f"- {code('assert ' + check['text'])}  "
        yield f"  errored in {errored}, {code(_place(scenario, check))}"
        yield ""
        yield from block([check.get("crash") or ""], "  ")
    if len(checks) > MOST_CHECKS:
        yield ""
        yield f"and {count(len(checks) - MOST_CHECKS, 'more check')}"


def _missed(check: CheckJson) -> int:
    """Episodes that count and in which it did not pass."""
    return check["failed"] + check["errored"] - check.get("crashes", 0)


def _failures(scenarios: Sequence[ScenarioJson]) -> Iterator[str]:
    missed = [
        (_missed(check), scenario, check)
        for scenario in scenarios
        for check in scenario["checks"]
        if _missed(check)
    ]
    if not missed:
        return
    yield "### Commonest failed checks"
    missed.sort(key=lambda found: -found[0])
    checks = alike(missed, lambda one: place_of(one[2]), lambda one: one[0])
    for same in checks[:MOST_CHECKS]:
        yield ""
        yield from _failure(same)
    if len(checks) > MOST_CHECKS:
        yield ""
        yield f"and {count(len(checks) - MOST_CHECKS, 'more check')}"


def _failure(same: Sequence[tuple[int, ScenarioJson, CheckJson]]) -> Iterator[str]:
    _, scenario, check = same[0]
    often = sum(found[0] for found in same)
    judged = count(often + sum(found[2]["passed"] for found in same), "episode")
    many = f"{len(same)} scenarios, such as " if len(same) > 1 else ""
    name = short_name(scenario["name"])
    text = f"assert {check['text']}"
    yield f"- {code(text)}  "
    where = code(_place(scenario, check))
    yield f"  failed in {often} of {judged} of {many}{code(name)}, {where}"
    lines = (check.get("message") or "").splitlines()
    if lines:
        yield ""
        yield from block(lines[:MOST_LINES], "  ")


def _place(scenario: ScenarioJson, check: CheckJson) -> str:
    """Where a check is: relative to the root directory if it is in its own file."""
    own = scenario["name"].partition("::")[0]
    same = PurePath(own).name == PurePath(check["file"]).name
    return f"{own if same else check['file']}:{check['line']}"


def _signs(training: TrainingJson | None) -> Iterator[str]:
    """Signs of reward hacking in a training."""
    if training is None or not training.get("signs"):
        return
    yield "### Signs of reward hacking"
    yield ""
    for sign in training["signs"]:
        yield f"- {code(named_sign(sign))}"
        yield ""
        # It may quote a reply.
        yield from block(textwrap.wrap(sign["sentence"], WIDTH), "  ")


def _notes(summary: SummaryJson) -> Iterator[str]:
    lost = [
        f"{number} {name}"
        for name, number in summary["episodes"].items()
        if number and name.endswith("_error")
    ]
    if lost:
        yield f"Not counted: {', '.join(lost)}."
    skipped = summary.get("skipped") or []
    for one in skipped[:MOST_REASONS]:
        why = code("; ".join(one["reasons"]))
        of = f"{one['skipped']} of {count(one['planned'], 'episode')}"
        yield f"Skipped: {of} of {code(short_name(one['name']))}, {why}."
    if len(skipped) > MOST_REASONS:
        more = count(len(skipped) - MOST_REASONS, "more scenario")
        yield f"Skipped as well: episodes of {more}."
    waiting = sum(one.get("waiting", 0) for one in summary["scenarios"])
    if waiting:
        yield f"At an interrupt, waiting for a person: {count(waiting, 'episode')}."
    # Early versions knew neither.
    if summary.get("simulators"):
        yield from _simulators(summary["simulators"])
    if summary.get("cost"):
        yield from _cost(summary["cost"])
    for warning in summary.get("warnings", ()):
        yield f"- {code(warning)}"


def _simulators(simulators: SimulatorsJson) -> Iterator[str]:
    judge, user = simulators.get("judge"), simulators.get("user")
    if judge:
        verdicts = count(judge["verdicts"], "verdict")
        yield from _role(
            judge, "Judged by", f"{verdicts}, {judge['cached']} from the cache"
        )
    if user:
        yield from _role(user, "User simulated by", count(user["messages"], "message"))


def _role(role: JudgeJson | UserJson, who: str, did: str) -> Iterator[str]:
    models = ", ".join(map(code, role["models"]))
    names = listed(codes(role["scenarios"]), MOST_CHECKS)
    yield f"{who} {models}: {did}, in {names}."


def _cost(cost: CostJson) -> Iterator[str]:
    if cost.get("input_tokens"):
        each = cost["per_passed"]["usd"]
        per = "" if not each else f" ({dollars(each)} per passed episode)"
        yield f"Cost: {_tokens(cost)}{per}."
    # Early versions did not know what judges took.
    if "judges" in cost:
        yield from _cost_of_judges(cost, cost["judges"])


def _cost_of_judges(cost: CostJson, judges: UsageJson) -> Iterator[str]:
    if judges["input_tokens"]:
        yield f"Judges and simulated users: {_tokens(judges)}."
    if cost["usd"] and judges["usd"]:
        yield f"Together: {dollars(cost['total']['usd'])}."


def _tokens(usage: UsageJson) -> str:
    text = f"{usage['input_tokens']:,} tokens in, {usage['output_tokens']:,} out"
    return text + (f", {dollars(usage['usd'])}" if usage["usd"] else "")
