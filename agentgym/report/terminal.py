"""A run's summary as lines for a terminal; plain text, coloured by the caller."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from agentgym.recording.blame import Outcome
from agentgym.report import certainty
from agentgym.report.case_report import k_section, unplayed_section
from agentgym.report.cost import cost_section
from agentgym.report.simulators import simulators_section
from agentgym.report.what_failed import (
    agent_errors,
    errored_checks,
    failed_checks,
    smallest_cases,
)
from agentgym.runs.gate import GateDecision, ReasonKind
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
    rows_by_file,
    short_name,
    table,
    wrapped,
)
from agentgym.runs.summary import RunSummary
from agentgym.runs.tallies import ScenarioTally, ToolTally

__all__ = ["Heading", "Line", "report", "verdict"]

MOST_ERRORS = 3
MOST_REASONS = 5
MOST_SKIPPED = 10
_COLOURS = {True: "green", False: "red", None: "yellow"}

_WHAT_TO_DO = {
    Outcome.infra_error: "the model's server or network: check that it answers, its "
    "rate limit and quota, or use a lower --agentgym-concurrency",
    Outcome.harness_error: "a fixture, the environment or a check's own code: "
    "--agentgym-episodes 1 --pdb stops there",
    Outcome.simulator_error: "the simulated user or judge: check that it answers",
}


def report(summary: RunSummary, width: int = 80) -> Iterator[Line]:
    """The whole report but the verdict.

    Args:
        summary: The run, added up.
        width: Characters that a line may have.
    """
    yield Heading("scenarios")
    yield from scenario_table(summary, width)
    if summary.tools:
        yield Heading("tools")
        yield from tool_table(summary.tools.values(), width)
    yield from interrupts(summary, width)
    yield from cost_section(summary, width)
    shown: set[str] = set()
    yield from errored_checks(summary, width)
    yield from failed_checks(summary, width, shown)
    yield from agent_errors(summary, width, shown)
    yield from smallest_cases(summary, width)
    yield from certainty.repeated_cases(summary, width)
    yield from k_section(summary, width)
    yield from not_counted(summary, width)
    yield from skipped_cases(summary, width)
    yield from simulators_section(summary.simulators, width)


def scenario_table(summary: RunSummary, width: int) -> Iterator[Line]:
    """One line per scenario, grouped by file.

    Args:
        summary: The run, added up.
        width: Characters that a line may have.
    """
    met = summary.decision.scenarios
    named = ((scenario.name, scenario) for scenario in summary.ordered)
    rows = rows_by_file(
        named, lambda name, one: _scenario_row(name, one, met.get(one.name))
    )
    columns = ["passed", f"reliability ({SURE})", "reward", "tok/ep", "s/ep"]
    yield from table(columns, rows, width)


def _scenario_row(name: str, scenario: ScenarioTally, met: bool | None) -> TableRow:
    reliability = scenario.reliability
    share = percent(reliability.value, scenario.threshold)
    if scenario.counted:
        share += f" ({interval(reliability.low, reliability.high)})"
    reward = scenario.mean(scenario.reward)
    return TableRow(
        f"{name} (xfail)" if scenario.xfail else name,
        [
            f"{scenario.passed}/{scenario.counted}",
            share,
            "-" if reward is None else f"{reward:.2f}",
            number(scenario.mean(scenario.tokens)) if scenario.tokens else "-",
            number(scenario.mean(scenario.seconds)),
        ],
        {_COLOURS[met]: True},
    )


def tool_table(tools: Iterable[ToolTally], width: int) -> Iterator[Line]:
    """One line per tool, the one that is called most first.

    Args:
        tools: In any order.
        width: Characters that a line may have.
    """
    ordered = sorted(tools, key=lambda t: (-t.counts["calls"], t.name))
    columns = {
        "calls": "\ncalls",
        "correct": f"correct\n({SURE})",
        "wrong_arguments": "wrong\nargs",
        "not_allowed": "not\nallowed",
        "missing": "\nmissing",
        "raised": "\nraised",
    }
    if any(tool.counts["unjudged"] for tool in ordered):
        columns["unjudged"] = "un-\njudged"
    if any(tool.counts["waiting"] for tool in ordered):
        columns["waiting"] = "\nwaiting"
    rows = []
    for tool in ordered:
        latency = tool.latency()
        counts = tool.counts | {"correct": _correct(tool)}
        cells = [str(counts[name]) for name in columns]
        cells += [duration(latency["median"]), duration(latency["p95"])]
        rows.append(TableRow(tool.name or "(no name)", cells))
    yield from table([*columns.values(), "\nmedian", "\np95"], rows, width)


def _correct(tool: ToolTally) -> str:
    """The share of the judged calls, with its interval."""
    share = tool.correct.value
    if share is None:
        return "-"
    if tool.correct.clusters < 2:
        return f"{100 * share:.0f} %"
    low, high = tool.correct.interval()
    return f"{100 * share:.0f} % ({100 * low:.0f}-{100 * high:.0f})"


def interrupts(summary: RunSummary, width: int) -> Iterator[Line]:
    """Scenarios that end with the agent waiting for a person, and what to do.

    Args:
        summary: The run, added up.
        width: Characters that a line may have.
    """
    found = [scenario for scenario in summary.ordered if scenario.waiting]
    if not found:
        return
    yield Heading("interrupts")
    for scenario in found[:MOST_REASONS]:
        ended = f"{scenario.waiting} of {count(scenario.total, 'episode')}"
        yield from wrapped(
            f"{ended} of {short_name(scenario.name)} ended at an interrupt: the agent "
            "waits for a person",
            width,
            markup={"yellow": True},
            hanging="  ",
        )
    if len(found) > MOST_REASONS:
        yield Line(f"and {count(len(found) - MOST_REASONS, 'more scenario')}")
    advice = "answer with agent.approve(), agent.reject() or agent.run(resume=...)"
    yield from wrapped(advice, width, "  ")


def not_counted(summary: RunSummary, width: int) -> Iterator[Line]:
    """Episodes that do not measure the agent, why, and what to do.

    Args:
        summary: The run, added up.
        width: Characters that a line may have.
    """
    lost = {o: n for o, n in summary.outcomes.items() if n and o in _WHAT_TO_DO}
    if not lost:
        return
    yield Heading("not counted")
    for outcome, number_lost in lost.items():
        yield from wrapped(
            f"{number_lost} x {outcome.value}: {_WHAT_TO_DO[outcome]}",
            width,
            markup={"yellow": True},
            hanging="  ",
        )
        errors = {
            s.uncounted[outcome][1]: None
            for s in summary.ordered
            if outcome in s.uncounted
        }
        for error in list(errors)[:MOST_ERRORS]:
            yield from wrapped(error, width, "    ", most=4)
    yield from certainty.attrition(summary, width)


def skipped_cases(summary: RunSummary, width: int) -> Iterator[Line]:
    """How many episodes of each scenario its fixtures or its body skipped, and why.

    Args:
        summary: The run, added up.
        width: Characters that a line may have.
    """
    if not summary.skipped:
        return
    yield Heading("skipped")
    for name in sorted(summary.skipped)[:MOST_SKIPPED]:
        skips = summary.skipped[name]
        why = "; ".join(reason for reason, _ in skips.reasons.most_common(MOST_ERRORS))
        text = f"{skips} episodes of {short_name(name)} were skipped: {why}"
        yield from wrapped(text, width, hanging="  ", most=4)
    more = len(summary.skipped) - MOST_SKIPPED
    if more > 0:
        yield Line(f"and of {count(more, 'more scenario')}: summary.json has them all")


def verdict(summary: RunSummary, width: int = 80) -> Iterator[Line]:
    """The last lines: what was measured, whether the gate is met, what is certain.

    Args:
        summary: The run, added up.
        width: Characters that a line may have.
    """
    reliability = summary.reliability
    reward = summary.mean_reward
    if reliability.value is not None and reward is not None:
        text = (
            f"reliability {percent(reliability.value, summary.threshold)} "
            f"({_of(summary)}, {SURE} interval "
            f"{interval(reliability.low, reliability.high)} %)"
        )
        yield from wrapped(text, width, markup={"bold": True})
        yield Line(f"mean reward {reward:.2f}")
    decision = summary.decision
    yield from gate_lines(decision, width)
    if summary.gate_odds is not None:
        yield from wrapped(summary.gate_odds, width)
    if summary.certifiable and summary.counted:
        yield from certainty.certified(summary, width)
    yield from unplayed_section(summary, width)


def gate_lines(decision: GateDecision, width: int) -> Iterator[Line]:
    """The gate's sentence, and each scenario that it speaks of.

    Args:
        decision: Of the run.
        width: Characters that a line may have.
    """
    markup = {_COLOURS[decision.met]: True, "bold": True}
    yield from wrapped(decision.sentence, width, markup=markup)
    # The report ends with the mistakes, each on a line that can be copied.
    listed = [r for r in decision.of_scenarios if r.kind is not ReasonKind.usage]
    for reason in listed[:MOST_REASONS]:
        yield from wrapped(str(reason), width, "  ", hanging="    ")
    more = len(listed) - MOST_REASONS
    if more > 0:
        yield Line(f"  and {more} more")


def _of(summary: RunSummary) -> str:
    """What the run's reliability is a share of."""
    counts = f"{summary.passed}/{count(summary.counted, 'episode')}"
    if summary.stop != "fixed" and len(summary.gated) > 1:
        played = " that were played" if summary.settled is not None else ""
        return f"mean of {len(summary.gated)} scenarios{played}, {counts}"
    return counts
