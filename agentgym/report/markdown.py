"""A run's summary as Markdown, and how it compares with an earlier one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from agentgym.reliability import CONFIDENCE
from agentgym.report.marks import block, code, row, table_head
from agentgym.runs.differences import unpaired_difference
from agentgym.runs.lines import (
    count,
    dollars,
    duration,
    interval,
    left,
    percent,
    points,
    threshold,
)

MOST_SCENARIOS = 50
MOST_CHECKS = 5
MOST_REASONS = 10
MOST_LINES = 10

_SURE = threshold(CONFIDENCE)
_CALLS = ("calls", "correct", "wrong_arguments", "not_allowed", "missing", "raised")

Summary = Mapping[str, Any]
"""The content of `summary.json`."""


def markdown(summary: Summary, baseline: Summary | None = None) -> str:
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
        _failures(summary["scenarios"]),
        _notes(summary),
    ]
    return "\n\n".join("\n".join(part) for part in map(list, parts) if part) + "\n"


def _by_name(summary: Summary) -> dict[str, Summary]:
    return {scenario["name"]: scenario for scenario in summary["scenarios"]}


# The verdict.


def _verdict(summary: Summary, baseline: Summary | None) -> Iterator[str]:
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
            f"{_SURE} interval "
            f"{interval(reliability['low'], reliability['high'])} %."
        )
    if reliability["verdict"]:
        text += f" At {_SURE} confidence: {reliability['verdict']}."
    yield text
    yield from _reasons(decision)
    yield from _stopped_early(summary)
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


def _mean(summary: Summary) -> str:
    """That the run's reliability is no share of its episodes, where that is so."""
    scenarios = len(_gated(summary))
    if summary.get("stop") != "sequential" or scenarios < 2:
        return ""
    return f"Mean of {scenarios} scenarios; "


def _stopped_early(summary: Summary) -> Iterator[str]:
    """How much a run was spared whose scenarios end when they are certain."""
    played, planned = sum(summary["episodes"].values()), summary.get("planned", 0)
    sequential = summary.get("stop") == "sequential" and not summary.get("interrupted")
    if not sequential or planned <= played:
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


def _compared(comparison: Summary) -> str:
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
    newly = ("newly_failing", "newly failing"), ("newly_fixed", "newly fixed")
    for name, words in newly:
        if comparison[name]:
            text += f"; {count(len(comparison[name]), f'{words} case')}"
    limit = comparison["max_drop"]
    if limit is not None:
        text += f". Drop **{limit['verdict']}**, at most {_limit(limit)} allowed"
    return f"{text}."


def capitalised(sentence: str) -> str:
    """A sentence of the summary where it stands by itself."""
    return sentence[:1].upper() + sentence[1:]


def _reasons(decision: Summary) -> Iterator[str]:
    """What the gate's sentence says of scenarios, with their names."""
    named = [reason for reason in decision["reasons"] if reason["scenario"] is not None]
    if named:
        yield ""
    for reason in named[:MOST_REASONS]:
        # It may quote an exception.
        yield f"- {code(left(reason['scenario'], 100))}: {code(reason['sentence'])}"
    if len(named) > MOST_REASONS:
        yield f"- and {len(named) - MOST_REASONS} more"


def _limit(allowed: Summary) -> str:
    share = 100 * allowed["limit"]
    return f"{share:.10g} point{'' if share == 1 else 's'}"


def _gated(summary: Summary) -> list[Summary]:
    """The scenarios that the gate judges."""
    return [s for s in summary["scenarios"] if not s.get("xfail")]


def _counts(summary: Summary) -> tuple[int, int]:
    """Passed and counted episodes of the scenarios that the gate judges."""
    gated = _gated(summary)
    return sum(s["passed"] for s in gated), sum(_counted(s) for s in gated)


def _counted(scenario: Summary) -> int:
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
    scenarios: Sequence[Summary], before: Mapping[str, Summary] | None
) -> Iterator[str]:
    yield "### Scenarios"
    yield ""
    titles = ["scenario", "passed", "reliability", f"{_SURE} interval", "threshold"]
    if before is not None:
        titles.append("against the baseline")
    yield from table_head(titles)
    # The worst come first: a long table is cut.
    ordered = sorted(scenarios, key=lambda s: s["reliability"]["value"] or 0.0)
    for scenario in ordered[:MOST_SCENARIOS]:
        cells = _scenario_cells(scenario)
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
            f"Bold: the {_SURE} interval of the difference leaves 0 out, which happens "
            "by chance to one scenario in 20."
        )


def _scenario_cells(scenario: Summary) -> list[str]:
    reliability = scenario["reliability"]
    counted = _counted(scenario)
    name = code(left(scenario["name"], 100), in_table=True)
    between = interval(reliability["low"], reliability["high"])
    return [
        f"{name} (xfail)" if scenario.get("xfail") else name,
        f"{scenario['passed']}/{counted}",
        percent(reliability["value"], reliability["threshold"]),
        f"{between} %" if counted else "-",
        threshold(reliability["threshold"]),
    ]


def _against(before: Summary, after: Summary) -> str:
    counts = [(s["passed"], _counted(s)) for s in (before, after)]
    return _points(counts[0], counts[1]) or "-"


def _gone(summary: Summary, before: Mapping[str, Summary]) -> Iterator[str]:
    gone = sorted(before.keys() - _by_name(summary).keys())
    if gone:
        names = ", ".join(code(left(name, 100)) for name in gone[:MOST_CHECKS])
        more = len(gone) - MOST_CHECKS
        yield f"Not measured this time: {names}" + (
            f" and {more} more" if more > 0 else ""
        )


def _tools(tools: Sequence[Summary]) -> Iterator[str]:
    if not tools:
        return
    yield "### Tools"
    yield ""
    calls = [name.replace("_", " ") for name in _CALLS]
    yield from table_head(["tool", *calls, "median", "p95"])
    for tool in sorted(tools, key=lambda t: (-t["calls"], t["name"])):
        cells = [code(tool["name"] or "(no name)", in_table=True)]
        cells += [str(tool[name]) for name in _CALLS]
        cells += [duration(tool["latency"][name]) for name in ("median", "p95")]
        yield row(cells)


# What failed, and what else there is to say.


def _failures(scenarios: Sequence[Summary]) -> Iterator[str]:
    missed = [
        (check["failed"] + check["errored"], scenario, check)
        for scenario in scenarios
        for check in scenario["checks"]
        if check["failed"] + check["errored"]
    ]
    if not missed:
        return
    yield "### Commonest failed checks"
    missed.sort(key=lambda found: -found[0])
    for often, scenario, check in missed[:MOST_CHECKS]:
        yield ""
        yield from _failure(often, scenario, check)
    if len(missed) > MOST_CHECKS:
        yield ""
        yield f"and {count(len(missed) - MOST_CHECKS, 'more check')}"


def _failure(often: int, scenario: Summary, check: Summary) -> Iterator[str]:
    name = scenario["name"].partition("::")[2] or scenario["name"]
    judged = count(often + check["passed"], "episode")
    text = f"assert {check['text']}"
    yield f"- {code(text)}  "
    where = code(_place(scenario, check))
    yield f"  failed in {often} of {judged} of {code(name)}, {where}"
    lines = (check.get("message") or "").splitlines()
    if lines:
        yield ""
        yield from block(lines[:MOST_LINES], "  ")


def _place(scenario: Summary, check: Summary) -> str:
    """Where a check is: relative to the root directory if it is in its own file."""
    own = scenario["name"].partition("::")[0]
    same = PurePath(own).name == PurePath(check["file"]).name
    return f"{own if same else check['file']}:{check['line']}"


def _notes(summary: Summary) -> Iterator[str]:
    lost = [
        f"{number} {name}"
        for name, number in summary["episodes"].items()
        if number and name.endswith("_error")
    ]
    if lost:
        yield f"Not counted: {', '.join(lost)}."
    yield from _simulators(summary.get("simulators") or {})
    yield from _cost(summary.get("cost") or {})
    for warning in summary.get("warnings", ()):
        yield f"- {code(warning)}"


def _simulators(simulators: Summary) -> Iterator[str]:
    judge, user = simulators.get("judge"), simulators.get("user")
    if judge:
        verdicts = count(judge["verdicts"], "verdict")
        yield from _role(
            judge, "Judged by", f"{verdicts}, {judge['cached']} from the cache"
        )
    if user:
        yield from _role(user, "User simulated by", count(user["messages"], "message"))


def _role(role: Summary, who: str, did: str) -> Iterator[str]:
    models = ", ".join(map(code, role["models"]))
    names = [code(left(name, 100)) for name in role["scenarios"]]
    more = len(names) - MOST_CHECKS
    where = ", ".join(names[:MOST_CHECKS]) + (f" and {more} more" if more > 0 else "")
    yield f"{who} {models}: {did}, in {where}."


def _cost(cost: Summary) -> Iterator[str]:
    judges = cost.get("judges") or {}
    if cost.get("input_tokens"):
        each = cost["per_passed"]["usd"]
        per = "" if not each else f" ({dollars(each)} per passed episode)"
        yield f"Cost: {_tokens(cost)}{per}."
    if judges.get("input_tokens"):
        yield f"Judges and simulated users: {_tokens(judges)}."
    if cost.get("usd") and judges.get("usd"):
        yield f"Together: {dollars(cost['total']['usd'])}."


def _tokens(usage: Summary) -> str:
    text = f"{usage['input_tokens']:,} tokens in, {usage['output_tokens']:,} out"
    return text + (f", {dollars(usage['usd'])}" if usage["usd"] else "")
