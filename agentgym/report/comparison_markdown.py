"""A comparison of two runs as Markdown, for a pull request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from agentgym.report.comparison_terminal import (
    MOST_PROMPTS,
    SHOWN_CASES,
    Examples,
    load_examples,
)
from agentgym.report.marks import WIDTH, block, code, codes, row, table_head
from agentgym.report.side_by_side import episodes_beside
from agentgym.runs.comparison import ChangedCase, Compared, Comparison
from agentgym.runs.differences import Difference
from agentgym.runs.files.prompt_changes import PromptChange
from agentgym.runs.lines import SURE, count, listed, percent, points, short_name

MOST_ROWS = 50
MOST_CASES = 10


def comparison_markdown(comparison: Comparison) -> str:
    """The report."""
    kinds = (("Newly failing", comparison.worse), ("Newly fixed", comparison.better))
    chosen = [case for _, cases in kinds for case in cases[:SHOWN_CASES]]
    examples = load_examples(comparison, chosen)
    parts = [
        _head(comparison),
        _table("Scenarios", comparison.scenarios),
        _table("Tools: episodes in which all calls were right", comparison.tools),
        _prompts(comparison.prompts),
        *(_cases(title, cases, examples) for title, cases in kinds),
        (f"- {code(note)}" for note in comparison.notes),
    ]
    found = ["\n".join(part) for part in parts]
    return "\n\n".join(text for text in found if text) + "\n"


def _head(comparison: Comparison) -> Iterator[str]:
    found = comparison.difference
    sides = f"{code(comparison.before.name)} to {code(comparison.after.name)}"
    if found is None:
        yield "## Tool reliability: nothing to compare"
        yield ""
        yield f"From run {sides}."
    else:
        shares = f"{percent(found.before)} to {percent(found.after)}"
        yield f"## Tool reliability: {shares}"
        yield ""
        how = "pair" if found.paired else "episode"
        paired = "" if found.paired else ", not paired"
        yield (
            f"{_points(found)} with a {SURE} interval, from run {sides}; "
            f"{count(found.episodes, how)}{paired}."
        )
    if comparison.allowed is not None:
        yield ""
        yield f"Drop **{comparison.allowed.verdict}**: {comparison.allowed}."


def _table(title: str, compared: Sequence[Compared]) -> Iterator[str]:
    if not compared:
        return
    yield f"### {title}"
    yield ""
    yield from table_head(["", "before", "after", f"difference, {SURE} interval"])
    # The largest losses come first: a long table is cut.
    ordered = sorted(compared, key=lambda c: c.difference.value if c.difference else 0)
    names = codes((each.name or "(no name)" for each in ordered), in_table=True)
    for name, each in zip(names[:MOST_ROWS], ordered, strict=False):
        found = each.difference
        cells = ["-", "-", "-"]
        if found is not None:
            cells = [percent(found.before), percent(found.after), _points(found)]
        yield row([f"{name} (xfail)" if each.xfail else name, *cells])
    if len(ordered) > MOST_ROWS:
        yield ""
        yield f"and {len(ordered) - MOST_ROWS} more"


def _prompts(changes: Sequence[PromptChange]) -> Iterator[str]:
    if not changes:
        return
    yield "### What models are asked by"
    for change in changes[:MOST_PROMPTS]:
        names = codes(map(short_name, change.scenarios))
        yield ""
        yield f"- {code(change.sentence)}, in {listed(names, 3)}"
        if change.diff:
            yield ""
            yield from block(change.diff, "  ")
    if len(changes) > MOST_PROMPTS:
        yield ""
        yield f"and {len(changes) - MOST_PROMPTS} more"


def _points(found: Difference) -> str:
    text = points(found.value, found.low, found.high)
    return f"**{text}**" if found.low > 0 or found.high < 0 else text


def _cases(
    title: str, cases: Sequence[ChangedCase], examples: Examples
) -> Iterator[str]:
    if not cases:
        return
    yield f"### {title}: {count(len(cases), 'case')}"
    for place, case in enumerate(cases[:MOST_CASES]):
        often = [f"{passed}/{n}" for passed, n in (case.before, case.after)]
        name = short_name(case.scenario)
        yield ""
        yield f"- {code(name)} {code(case.id)}: passed {often[0]}, now {often[1]}"
        if place < SHOWN_CASES:
            pair = [examples.get(name) for name in case.examples]
            lines = episodes_beside(pair[0], pair[1], WIDTH, "")
            yield ""
            yield "  <details><summary>both episodes</summary>"
            yield ""
            yield from block((line.text for line in lines), "  ")
            yield ""
            yield "  </details>"
    if len(cases) > MOST_CASES:
        yield ""
        yield f"and {len(cases) - MOST_CASES} more"
