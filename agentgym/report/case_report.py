"""What came of cases: pass^k and pass@k, those that failed most or were not played."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import cast

from agentgym.report.marks import code, codes, row, table_head
from agentgym.runs.case_results import family_of, of_k_json
from agentgym.runs.lines import (
    Heading,
    Line,
    count,
    listed,
    percent,
    short_name,
    wrapped,
)
from agentgym.runs.summary import RunSummary
from agentgym.runs.summary_json import (
    FamilyJson,
    KEpisodesJson,
    ListedJson,
    SummaryJson,
)

MOST_ROWS = 10
MOST_CASES = 10

ALL = "all scenarios"
REPEATS = (
    "for repeats of a case write @scenario(cases=N) with fewer cases than episodes, or "
    "play more episodes than there are listed cases (--agentgym-episodes N)"
)

Row = tuple[str, KEpisodesJson]


def k_section(summary: RunSummary, width: int) -> Iterator[Line]:
    """pass^k and pass@k, if they were asked for.

    Args:
        summary: The run, added up.
        width: Characters that a line may have.
    """
    if summary.ks is None or not summary.counted:
        return
    run = of_k_json(summary.k_episodes)
    scenarios = {
        scenario.name: of_k_json(scenario.k_episodes) for scenario in summary.gated
    }
    yield Heading("pass^k and pass@k of a case")
    rows = list(_rows(run, summary.families, scenarios))
    for name, found in rows[:MOST_ROWS]:
        yield from wrapped(f"{name}: {_sentence(found)}", width, hanging="    ")
    if len(rows) > MOST_ROWS:
        more = count(len(rows) - MOST_ROWS, "more row")
        yield Line(f"and {more}: summary.json has them all")
    if not any(n for k, n in run["pass_k_cases"].items() if k != "1"):
        yield from wrapped(f"no case was played twice: {REPEATS}", width, hanging="  ")


def _rows(
    run: KEpisodesJson,
    families: Sequence[FamilyJson],
    scenarios: Mapping[str, KEpisodesJson],
) -> Iterator[Row]:
    """The run, then each family with its parameter sets, then the other scenarios."""
    if len(scenarios) > 1:
        yield ALL, run
    members: dict[str | None, list[Row]] = defaultdict(list)
    named = {family["name"] for family in families}
    for name, found in scenarios.items():
        family = family_of(name)
        key = family if family in named else None
        members[key].append((short_name(name), found))
    for one in families:
        sets = f"{one['scenarios']} parameter sets"
        yield f"{short_name(one['name'])} ({sets})", one
        yield from members[one["name"]]
    yield from members[None]


def _sentence(found: KEpisodesJson) -> str:
    """`pass^1 50.0 %, pass^2 50.0 %; pass@1 50.0 %, pass@2 50.0 % (2 cases)`."""
    known = {k: n for k, n in found["pass_k_cases"].items() if n}
    parts = [
        ", ".join(f"{name}{k} {percent(shares[k])}" for k in known)
        for name, shares in (
            ("pass^", found["pass_hat_k"]),
            ("pass@", found["pass_at_k"]),
        )
        if known
    ]
    if known:
        parts[-1] += f" ({count(max(known.values()), 'case')})"
    unknown = [k for k in found["pass_k_cases"] if k not in known]
    if unknown:
        parts.append(f"no case has the episodes for k = {', '.join(unknown)}")
    for k, left_out in found["pass_k_left_out"].items():
        if left_out and k in known:
            parts.append(f"k = {k} leaves out {count(left_out, 'case')} with fewer")
    return "; ".join(parts)


def k_table(summary: SummaryJson) -> Iterator[str]:
    """pass^k and pass@k as Markdown, where cases were repeated."""
    gated = [s for s in summary["scenarios"] if not s.get("xfail")]
    # What early versions called pass^k was of all cases in one heap.
    scenarios = {
        s["name"]: cast("KEpisodesJson", s) for s in gated if "pass_k_cases" in s
    }
    run = summary.get("k_episodes")
    if run is None or not any(n for k, n in run["pass_k_cases"].items() if k != "1"):
        return
    yield "### Several episodes of a case"
    yield ""
    ks = list(run["pass_k_cases"])
    titles = [f"{name}{k}" for name in ("pass^", "pass@") for k in ks]
    yield from table_head(["scenario", "cases", *titles])
    rows = list(_rows(run, summary.get("families", ()), scenarios))
    names = codes((name for name, _ in rows), in_table=True)
    for name, (_, found) in zip(names[:MOST_ROWS], rows, strict=False):
        cases = max(found["pass_k_cases"].values(), default=0)
        cells = [name, str(cases)]
        for shares in (found["pass_hat_k"], found["pass_at_k"]):
            cells += [percent(shares.get(k)) for k in ks]
        yield row(cells)
    yield ""
    if len(rows) > MOST_ROWS:
        yield f"And {count(len(rows) - MOST_ROWS, 'more row')}."
    out = [(k, n) for k, n in run["pass_k_left_out"].items() if n]
    which = "; ".join(f"{count(n, 'case')} for k = {k}" for k, n in out)
    rest = f" Left out, as they have fewer episodes: {which}." if out else ""
    yield f"All, or any, of k episodes of a case pass: the mean over the cases.{rest}"


def unplayed_cases(scenarios: Iterable[tuple[str, ListedJson | None]]) -> str | None:
    """How many cases of a list were played, where some were not.

    Args:
        scenarios: Each one's name, and its cases if it lists them.
    """
    counts = [
        (short_name(name), cases["played"], cases["cases"])
        for name, cases in scenarios
        if cases is not None and cases["played"] < cases["cases"]
    ]
    if not counts:
        return None
    if len(counts) == 1:
        [(name, played, cases)] = counts
        return f"{name}: {played} of {cases} listed cases were played"
    texts = [f"{name} {played} of {cases}" for name, played, cases in counts]
    return f"listed cases that were played: {listed(texts, MOST_ROWS)}"


def unplayed_section(summary: RunSummary, width: int) -> Iterator[Line]:
    """The same for the terminal.

    Args:
        summary: The run, added up.
        width: Characters that a line may have.
    """
    found = unplayed_cases((s.name, s.listed_cases) for s in summary.ordered)
    if found is not None:
        yield from wrapped(found, width, hanging="  ")


def failed_cases(summary: SummaryJson) -> Iterator[str]:
    """The cases that failed most, as Markdown."""
    found = [
        (result, scenario["name"])
        for scenario in summary["scenarios"]
        for result in scenario.get("case_results", ())
        if result["failed"] and result["case"] is not None
    ]
    if not found:
        return
    found.sort(key=lambda one: -one[0]["failed"])
    yield "### Cases that failed most"
    yield ""
    yield from table_head(["case", "of scenario", "passed", "failed", "not counted"])
    names = codes((short_name(name) for _, name in found), in_table=True)
    for where, (result, _) in zip(names[:MOST_CASES], found, strict=False):
        numbers = [str(result[key]) for key in ("passed", "failed", "other")]
        yield row([code(str(result["case"]), in_table=True), where, *numbers])
    more = len(found) - MOST_CASES
    more += sum(s.get("case_results_left_out", 0) for s in summary["scenarios"])
    if more > 0:
        yield ""
        yield f"and {count(more, 'more case')}: `summary.json` lists 256 of a scenario"
