"""A comparison of two runs as lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from agentgym.playing.episode import Episode
from agentgym.report.side_by_side import episodes_beside
from agentgym.runs.comparison import ChangedCase, Compared, Comparison
from agentgym.runs.differences import Difference
from agentgym.runs.drop import Allowance, Drop
from agentgym.runs.files.prompt_changes import PromptChange
from agentgym.runs.files.store import each_episode
from agentgym.runs.lines import (
    SURE,
    Heading,
    Line,
    TableRow,
    count,
    listed,
    percent,
    points,
    rows_by_file,
    short_name,
    table,
    wrapped,
)
from agentgym.runs.side import Side

SHOWN_CASES = 2
"""Newly failing cases, and newly fixed ones, that are shown side by side."""

MOST_CASES = 10
MOST_PROMPTS = 10


_DROPS = {
    Drop.within: {"green": True},
    Drop.exceeded: {"red": True},
    Drop.undecided: {"yellow": True},
    Drop.unknown: {"yellow": True},
}

Examples = dict[str, Episode]


def comparison_lines(
    comparison: Comparison, width: int = 80, shown: int = SHOWN_CASES
) -> Iterator[Line]:
    """The whole comparison but the verdict on the drop.

    Args:
        comparison: The comparison.
        width: Characters that a line may have.
        shown: Cases of each kind that are shown side by side.
    """
    yield from _sides(comparison, width)
    if comparison.difference is not None:
        yield _run_line(comparison.difference)
    for note in comparison.notes:
        yield from wrapped(note, width, markup={"yellow": True}, hanging="  ")
    if comparison.scenarios:
        yield Heading("scenarios, before and after")
        yield from _scenario_table(comparison.scenarios, width)
    if comparison.tools:
        yield Heading("tools: episodes in which all calls were right")
        yield from _table(
            [_row(t.name or "(no name)", t) for t in comparison.tools], width
        )
    if comparison.prompts:
        yield Heading("what models are asked by")
        yield from _prompts(comparison.prompts, width)
    kinds = (("newly failing", comparison.worse), ("newly fixed", comparison.better))
    chosen = [case for _, cases in kinds for case in cases[:shown]]
    examples = load_examples(comparison, chosen)
    for title, cases in kinds:
        if cases:
            yield Heading(f"{title}: {count(len(cases), 'case')}")
            yield from _cases(cases, examples, width, shown)


def _prompts(changes: Sequence[PromptChange], width: int) -> Iterator[Line]:
    for change in changes[:MOST_PROMPTS]:
        names = [short_name(name) for name in change.scenarios]
        yield from wrapped(
            f"{change.sentence}, in {listed(names, 3)}",
            width,
            markup={"bold": True},
            hanging="  ",
        )
        for text in change.diff:
            red, green = text.startswith("-"), text.startswith("+")
            markup = {"red": red, "green": green}
            yield from wrapped(text, width, "  ", markup, hanging="    ", most=3)
    if len(changes) > MOST_PROMPTS:
        yield Line(f"and {len(changes) - MOST_PROMPTS} more")


def load_examples(comparison: Comparison, cases: Iterable[ChangedCase]) -> Examples:
    """Reads the episodes that the cases are shown by, as far as they are there.

    Args:
        comparison: Knows the files of both runs.
        cases: Those that are shown.

    Returns:
        Episodes by id.
    """
    ids = [case.examples for case in cases]
    found: Examples = {}
    for place, side in enumerate((comparison.before, comparison.after)):
        wanted = {pair[place] for pair in ids}
        if side.file is not None and side.file.exists() and wanted:
            episodes = each_episode(side.file, [], wanted)
            found |= {e.id: e for e in episodes if e.id in wanted}
    return found


def drop_verdict(allowed: Allowance, width: int) -> Iterator[Line]:
    """The verdict on the drop.

    Args:
        allowed: What was allowed, and what was found.
        width: Characters that a line may have.
    """
    text = f"drop {allowed.verdict}: {allowed}"
    markup = _DROPS[allowed.verdict]
    yield from wrapped(text, width, markup=markup, hanging="  ")


def _sides(comparison: Comparison, width: int) -> Iterator[Line]:
    for name, side in (("before", comparison.before), ("after", comparison.after)):
        yield from wrapped(_about(side), width, f"{name:<7}", hanging=" " * 7)


def _about(side: Side) -> str:
    facts = [side.name]
    if side.policy:
        facts.append(f"policy {side.policy}")
    if side.seed is not None:
        facts.append(f"seed {side.seed}")
    return ", ".join(facts)


def _run_line(difference: Difference) -> Line:
    shares = f"{percent(difference.before)} -> {percent(difference.after)}"
    change = points(difference.value, difference.low, difference.high)
    how = "pair" if difference.paired else "episode"
    kind = "" if difference.paired else ", not paired"
    text = f"{shares}: {change}, {count(difference.episodes, how)}{kind}"
    return Line(text, {"bold": True, **_colour(difference)})


def _colour(difference: Difference | None) -> dict[str, bool]:
    if difference is None:
        return {}
    return {
        "green": difference.low > 0,
        "red": difference.high < 0,
    }


def _scenario_table(scenarios: Sequence[Compared], width: int) -> Iterator[Line]:
    named = ((scenario.name, scenario) for scenario in scenarios)
    yield from _table(rows_by_file(named, _row), width)


def _table(rows: Sequence[TableRow], width: int) -> Iterator[Line]:
    columns = ["before", "after", "points", f"{SURE} interval"]
    yield from table(columns, rows, width)


def _row(name: str, compared: Compared) -> TableRow:
    name = f"{name} (xfail)" if compared.xfail else name
    change = compared.difference
    if change is None:
        return TableRow(name, ["-", "-", "-", "-"])
    both = (change.low, change.high)
    ends = [f"{100 * x:+.1f}".replace("-0.0", "+0.0") for x in both]
    cells = [
        percent(change.before),
        percent(change.after),
        f"{100 * change.value:+.1f}",
        f"{ends[0]} to {ends[1]}",
    ]
    return TableRow(name, cells, _colour(change))


def _cases(
    cases: Sequence[ChangedCase], examples: Examples, width: int, shown: int
) -> Iterator[Line]:
    for place, case in enumerate(cases[:MOST_CASES]):
        name = short_name(case.scenario)
        often = [f"{passed}/{n}" for passed, n in (case.before, case.after)]
        text = f"{name} --agentgym-case {case.id}: passed {often[0]}, now {often[1]}"
        yield from wrapped(text, width, markup={"bold": True}, hanging="  ")
        value = case.case.get("value")
        if value is not None:
            yield from wrapped(str(value), width, "  ", most=2)
        if place < shown:
            pair = [examples.get(name) for name in case.examples]
            yield from episodes_beside(pair[0], pair[1], width)
            yield Line()
    if len(cases) > MOST_CASES:
        yield Line(f"and {len(cases) - MOST_CASES} more")
