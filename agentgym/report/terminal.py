"""A run's summary as lines for a terminal; plain text, coloured by the caller."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePath

from agentgym.episode import Episode
from agentgym.errors import Outcome
from agentgym.reliability import Reliability, Verdict, episodes_to_certify
from agentgym.report.summary import CheckTally, RunSummary, ScenarioTally, ToolTally
from agentgym.trajectory import shorten

MOST_CHECKS = 5
MOST_LINES = 24


@dataclass(frozen=True, slots=True)
class Line:
    """One line and how to show it; `markup` has the names of pytest's writer."""

    text: str = ""
    markup: dict[str, bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Heading(Line):
    """A section's title."""


def report(summary: RunSummary, width: int = 80) -> Iterator[Line]:
    """The whole report but the verdict."""
    yield from scenario_table(summary.scenarios.values(), width)
    if summary.tools:
        yield from tool_table(summary.tools.values(), width)
    yield from failed_checks(summary, width)
    yield from other_failures(summary, width)
    yield from not_counted(summary, width)


def scenario_table(scenarios: Iterable[ScenarioTally], width: int) -> Iterator[Line]:
    """One line per scenario, grouped by file."""
    yield Heading("scenarios")
    columns = f"{'passed':>9} {'reliab.':>7} {'95 % interval':>14} {'reward':>6}"
    columns += f" {'tok/ep':>6} {'s/ep':>5}"
    room = max(20, width - len(columns) - 2)
    yield Line(f"  {'':<{room}}{columns}", {"bold": True})
    file = None
    for scenario in scenarios:
        path, _, name = scenario.name.partition("::")
        if path != file:
            file = path
            yield Line(_middle(path, width))
        reliability = scenario.reliability
        value = _percent(reliability.value)
        span = f"{reliability.low * 100:.1f}-{reliability.high * 100:.1f} %"
        row = f"{f'{scenario.passed}/{scenario.counted}':>9} {value:>7} {span:>14}"
        row += f" {_number(scenario.mean(scenario.reward), 2):>6}"
        row += f" {_number(scenario.mean(scenario.tokens), 0):>6}"
        row += f" {_number(scenario.mean(scenario.seconds), 1):>5}"
        yield Line(f"  {_middle(name, room - 1):<{room}}{row}", _markup(reliability))


def tool_table(tools: Iterable[ToolTally], width: int) -> Iterator[Line]:
    """One line per tool."""
    yield Heading("tools")
    columns = f"{'calls':>6} {'correct':>7} {'wrong':>5} {'not':>7} {'miss-':>5}"
    columns += f" {'raised':>6} {'median':>7} {'p95':>7}"
    second = f"{'':>6} {'':>7} {'args':>5} {'allowed':>7} {'ing':>5}"
    room = max(14, min(40, width - len(columns) - 2))
    yield Line(f"  {'':<{room}}{columns}", {"bold": True})
    yield Line(f"  {'':<{room}}{second}", {"bold": True})
    for tool in sorted(tools, key=lambda t: -t.counts["calls"]):
        c = tool.counts
        latency = tool.latency()
        row = f"{c['calls']:>6} {c['correct']:>7} {c['wrong_arguments']:>5}"
        row += f" {c['not_allowed']:>7} {c['missing']:>5} {c['raised']:>6}"
        row += f" {_seconds(latency['median']):>7} {_seconds(latency['p95']):>7}"
        yield Line(f"  {_middle(tool.name or '(no name)', room - 1):<{room}}{row}")


def failed_checks(summary: RunSummary, width: int) -> Iterator[Line]:
    """The commonest failed checks with one example trajectory each."""
    missed = summary.missed_checks()
    if not missed:
        return
    yield Heading("commonest failed checks")
    for number, (scenario, check) in enumerate(missed[:MOST_CHECKS], start=1):
        if number > 1:
            yield Line()
        yield from _failed_check(scenario, check, width)
    if len(missed) > MOST_CHECKS:
        yield Line()
        yield Line(
            f"and {len(missed) - MOST_CHECKS} more checks that did not always pass "
            "(summary.json has them all)"
        )


def _failed_check(
    scenario: ScenarioTally, check: CheckTally, width: int
) -> Iterator[Line]:
    about = check.check
    place = f"{PurePath(about['file']).name}:{about['line']}"
    judged = check.missed + check.counts["passed"]
    yield Line(
        shorten(f"{check.missed} of {judged} x  assert {about['text']}", width),
        {"red": True, "bold": True},
    )
    name = scenario.name.partition("::")[2]
    required = f"; required: {about['must']}" if about["must"] else ""
    yield from _wrapped(f"{place} in {name}{required}", width, "    ")
    if check.example is None:
        return
    for text in (check.example_message or "").splitlines()[:3]:
        yield Line("E   " + shorten(text, width - 4), {"red": True})
    yield Line(f"    for example in episode #{check.example.index}:")
    yield from trajectory(check.example, width)


def trajectory(episode: Episode, width: int) -> Iterator[Line]:
    """An episode as a readable conversation, with what it printed."""
    lines = [
        Line(f"      {who:<6} {text}")
        for who, text in _turns(episode)
        for text in textwrap.wrap(text, max(20, width - 13))[:3] or [""]
    ]
    if len(lines) > MOST_LINES:
        left_out = len(lines) - MOST_LINES
        lines[MOST_LINES // 2 : -MOST_LINES // 2] = [
            Line(f"      ... {left_out} lines left out")
        ]
    yield from lines
    if episode.error is not None:
        yield from _wrapped(f"error  {episode.error}", width, "      ")
    if episode.output.strip():
        yield Line("      captured output:")
        for text in episode.output.strip().splitlines()[-5:]:
            yield Line("        " + shorten(text, width - 8))


def _turns(episode: Episode) -> Iterator[tuple[str, str]]:
    told = iter(episode.trajectory.messages)
    for step in episode.trajectory.steps:
        for message in told:
            if message.get("role") == "user":
                yield "user", _text(message)
            elif message.get("role") == "assistant":
                if _text(message):
                    yield "says", _text(message)
                break
        for call in step.tool_calls:
            yield "calls", str(call)
            if call.error is not None:
                yield "", f"-> {call.error}"
            elif call.executed:
                yield "", f"-> {shorten(str(call.result), 200)}"
            else:
                yield "", "-> was not executed"
    for message in told:
        if message.get("role") in ("user", "assistant") and _text(message):
            who = "user" if message["role"] == "user" else "says"
            yield who, _text(message)


def other_failures(summary: RunSummary, width: int) -> Iterator[Line]:
    """Errors of the agent that ended episodes, and smallest failing cases."""
    errors = [
        (count, scenario, error)
        for scenario in summary.scenarios.values()
        for error, count in scenario.errors.most_common(2)
    ]
    smallest = [s for s in summary.scenarios.values() if s.smallest is not None]
    if errors:
        yield Heading("errors of the agent")
        for count, scenario, error in sorted(errors, key=lambda e: -e[0])[:MOST_CHECKS]:
            yield Line(
                shorten(f"{count} x  {error}", width), {"red": True, "bold": True}
            )
            yield Line(f"    in {scenario.name.partition('::')[2]}")
            details = scenario.error_examples[error].details or ""
            for text in details.splitlines()[-7:-1]:
                yield Line("    " + shorten(text, width - 4))
    if smallest:
        yield Heading("smallest failing cases")
        for scenario in smallest:
            name = scenario.name.partition("::")[2]
            yield from _wrapped(f"{name}: {scenario.smallest}", width, "  ")


def not_counted(summary: RunSummary, width: int) -> Iterator[Line]:
    """Episodes that do not measure the agent, and why."""
    lost = [
        (outcome, count)
        for outcome, count in summary.outcomes.items()
        if outcome not in (Outcome.passed, Outcome.failed)
    ]
    if not lost:
        return
    yield Heading("not counted")
    for outcome, count in lost:
        errors = {
            s.uncounted[outcome]
            for s in summary.scenarios.values()
            if outcome in s.uncounted
        }
        yield Line(f"{count} x {outcome.value}", {"yellow": True})
        for error in sorted(errors)[:3]:
            yield from _wrapped(error, width, "    ")


def verdict(summary: RunSummary, width: int = 80) -> Iterator[Line]:
    """The last lines: what was measured, whether the gate is met, what is certain."""
    reliability = summary.reliability
    if reliability.value is not None:
        yield from _wrapped(
            f"reliability {_percent(reliability.value)} "
            f"({summary.passed} of {summary.counted} episodes, 95 % interval "
            f"{reliability.low * 100:.1f}-{reliability.high * 100:.1f} %), "
            f"mean reward {summary.mean_reward:.2f}",
            width,
            markup={"bold": True},
        )
    if not summary.judgeable:
        left = summary.total - summary.counted
        text = (
            f"CANNOT JUDGE: {left} of {summary.total} episodes do not count; in the run "
            "and in each scenario at most 5 % may be lost to errors that are not the "
            "agent's"
        )
        yield from _wrapped(text, width, markup={"yellow": True, "bold": True})
        return
    met = summary.exit_code == 0
    colour = {"green" if met else "red": True, "bold": True}
    yield from _wrapped(_gate(summary), width, markup=colour)
    yield from _wrapped(f"{reliability.verdict.value}: {_certain(reliability)}", width)


def _gate(summary: RunSummary) -> str:
    threshold = _percent(summary.threshold)
    count = len(summary.scenarios)
    below = len(summary.below)
    if below:
        return (
            f"gate not met: {below} of {count} scenarios are below their threshold "
            f"({threshold} for the run)"
        )
    if not summary.reliability.met:
        return f"gate not met: the run is below its threshold of {threshold}"
    noun = "scenario" if count == 1 else "scenarios"
    return f"gate met: the run and {count} {noun} reach the threshold of {threshold}"


def _certain(reliability: Reliability) -> str:
    threshold = _percent(reliability.threshold)
    if reliability.verdict is Verdict.reliable:
        return f"at 95 % confidence the reliability is at least {threshold}"
    if reliability.verdict is Verdict.unreliable:
        return f"at 95 % confidence the reliability is below {threshold}"
    needed = episodes_to_certify(reliability.threshold)
    if needed is None:
        return f"no number of episodes can certify {threshold}"
    if reliability.passed == reliability.counted:
        return (
            f"{reliability.counted} clean episodes do not certify {threshold}; at 95 % "
            f"confidence it takes {needed} (--agentgym-episodes)"
        )
    return (
        f"{reliability.counted} episodes are too few to tell whether the reliability "
        f"reaches {threshold} (--agentgym-episodes)"
    )


def _wrapped(
    text: str, width: int, indent: str = "", markup: dict[str, bool] | None = None
) -> Iterator[Line]:
    for line in textwrap.wrap(text, width - len(indent), break_on_hyphens=False):
        yield Line(indent + line, markup or {})


def _markup(reliability: Reliability) -> dict[str, bool]:
    return {"green": True} if reliability.met else {"red": True}


def _text(message: dict[str, object]) -> str:
    content = message.get("content")
    return content if isinstance(content, str) else str(content or "")


def _middle(text: str, length: int) -> str:
    if len(text) <= length:
        return text
    tail = (length - 3) // 2
    return f"{text[: length - 3 - tail]}...{text[-tail:]}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value * 100:.1f} %"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _seconds(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value * 1000:.1f}ms" if value < 1 else f"{value:.1f}s"


