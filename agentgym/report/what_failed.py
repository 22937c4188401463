"""What failed in a run, as lines for a terminal: the same of many scenarios once."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any, TypeVar

from agentgym.playing.episode import Episode
from agentgym.report.transcript import transcript
from agentgym.runs.lines import Heading, Line, count, left, short_name, wrapped
from agentgym.runs.summary import RunSummary
from agentgym.runs.tallies import CheckTally, ErrorTally, ScenarioTally

MOST_CHECKS = 5
MOST_ERRORS = 3
MOST_CASES = 10
MOST_LINES = 5

Found = TypeVar("Found")


def alike(
    found: Iterable[Found],
    kind: Callable[[Found], Hashable],
    often: Callable[[Found], int],
) -> list[list[Found]]:
    """What is of the same kind together, the commonest first.

    Args:
        found: Of all scenarios.
        kind: Of one of them.
        often: How often it was seen.
    """
    groups: dict[Hashable, list[Found]] = {}
    for one in found:
        groups.setdefault(kind(one), []).append(one)
    return sorted(groups.values(), key=lambda group: -sum(map(often, group)))


def place_of(check: Mapping[str, Any]) -> Hashable:
    """Where a check is: one of many parameter sets is one check."""
    return check["file"], check["line"], check["id"]


def which(scenarios: Sequence[str]) -> str:
    """A scenario by its name, or how many, and one of them.

    Args:
        scenarios: Node ids.
    """
    name = short_name(scenarios[0])
    if len(scenarios) == 1:
        return name
    return f"{len(scenarios)} scenarios, such as {name}"


def errored_checks(summary: RunSummary, width: int) -> Iterator[Line]:
    """Checks in which the user's own code raised: what they would say, nobody knows.

    Args:
        summary: The run, added up.
        width: Characters that a line may have.
    """
    crashed = alike(
        summary.crashed_checks(),
        lambda found: place_of(found[1].check),
        lambda found: found[1].crashes,
    )
    if not crashed:
        return
    yield Heading("errored checks")
    for same in crashed[:MOST_CHECKS]:
        scenario, check = same[0]
        yield from wrapped(
            f"assert {check.check['text']}", width, markup={"yellow": True}, most=3
        )
        yield Line(left(f"  {_place(scenario, check.check)}", width))
        errored = count(sum(found.crashes for _, found in same), "episode")
        names = which([one.name for one, _ in same])
        often = f"errored in {errored} of {names}, which do not count"
        yield from wrapped(often, width, "  ", most=3)
        text = "" if check.crash is None else check.crash[1]
        yield from wrapped(
            text, width, "E   ", markup={"yellow": True}, most=MOST_LINES
        )
    if len(crashed) > MOST_CHECKS:
        others = count(len(crashed) - MOST_CHECKS, "more check")
        yield Line(f"and {others} that errored: summary.json has them all")


def failed_checks(summary: RunSummary, width: int, shown: set[str]) -> Iterator[Line]:
    """The commonest failed checks with one example trajectory each.

    Args:
        summary: The run, added up.
        width: Characters that a line may have.
        shown: Ids of the episodes that the report has shown; gets those shown here.
    """
    missed = alike(
        summary.missed_checks(),
        lambda found: place_of(found[1].check),
        lambda found: found[1].missed,
    )
    if not missed:
        return
    yield Heading("commonest failed checks")
    yield from _apart(
        _failed_check(same, width, shown) for same in missed[:MOST_CHECKS]
    )
    if len(missed) > MOST_CHECKS:
        yield Line()
        others = count(len(missed) - MOST_CHECKS, "more check")
        yield Line(f"and {others} that did not always pass: summary.json has them all")


def _apart(parts: Iterable[Iterator[Line]]) -> Iterator[Line]:
    """The parts with an empty line between them."""
    for place, part in enumerate(parts):
        if place:
            yield Line()
        yield from part


def _failed_check(
    same: Sequence[tuple[ScenarioTally, CheckTally]], width: int, shown: set[str]
) -> Iterator[Line]:
    scenario, check = min(same, key=lambda found: found[1].example.rank)
    about = check.check
    yield from wrapped(
        f"assert {about['text']}", width, markup={"red": True, "bold": True}, most=3
    )
    yield Line(left(f"  {_place(scenario, about)}", width))
    missed = sum(found.missed for _, found in same)
    judged = missed + sum(found.counts["passed"] for _, found in same)
    often = f"failed in {missed} of {count(judged, 'episode')}"
    names = [one.name for one, _ in same]
    yield from wrapped(f"{often} of {which(names)}", width, "  ", most=3)
    if about["must"]:
        yield from wrapped(f"required: {about['must']}", width, "  ")
    yield from _introspection(check.example.message or "", width)
    if check.example.episode is not None:
        yield from _example(check.example.episode, width, shown)


def _introspection(message: str, width: int) -> Iterator[Line]:
    """The beginning of what pytest says; the rest says where the values come from."""
    lines = (
        line
        for text in message.splitlines()
        for line in wrapped(text, width, "E   ", markup={"red": True}, hanging="E     ")
    )
    yield from itertools.islice(lines, MOST_LINES)


def _place(scenario: ScenarioTally, about: dict[str, Any]) -> str:
    """Where a check is: relative to the root directory if it is in its own file."""
    path = scenario.name.partition("::")[0]
    if PurePath(path).name != PurePath(about["file"]).name:
        path = about["file"]
    return f"{path}:{about['line']}"


def _example(episode: Episode, width: int, shown: set[str]) -> Iterator[Line]:
    """The episode, once in a report."""
    if episode.id in shown:
        yield Line(f"  as in episode #{episode.index} above")
        return
    shown.add(episode.id)
    yield Line(f"  as in episode #{episode.index}:")
    yield from transcript(episode, width)


def agent_errors(summary: RunSummary, width: int, shown: set[str]) -> Iterator[Line]:
    """Errors of the agent that ended episodes.

    Args:
        summary: The run, added up.
        width: Characters that a line may have.
        shown: Ids of the episodes that the report has shown; gets those shown here.
    """
    errors = alike(
        summary.agent_errors(),
        lambda found: found[1].kind,
        lambda found: found[1].count,
    )
    if not errors:
        return
    yield Heading("errors of the agent")
    yield from _apart(_agent_error(same, width, shown) for same in errors[:MOST_ERRORS])
    if len(errors) > MOST_ERRORS:
        yield Line()
        more = count(len(errors) - MOST_ERRORS, "more kind")
        yield Line(f"and {more} of errors: episodes.jsonl has them all")


def _agent_error(
    same: Sequence[tuple[ScenarioTally, ErrorTally]], width: int, shown: set[str]
) -> Iterator[Line]:
    _, error = min(same, key=lambda found: found[1].example.rank)
    episode = error.example.episode
    if episode is None:
        return
    yield from wrapped(
        episode.error or "", width, markup={"red": True, "bold": True}, most=3
    )
    ended = sum(found.count for _, found in same)
    counted = sum(scenario.counted for scenario, _ in same)
    often = f"ended {ended} of {count(counted, 'episode')}"
    names = [scenario.name for scenario, _ in same]
    yield from wrapped(f"{often} of {which(names)}", width, "  ", most=3)
    # The last line of a traceback is the error itself.
    frames = (episode.details or "").splitlines()[:-1]
    for text in [text for text in frames if text.strip(" ^~")][-6:]:
        indent = "    " if text.startswith("  File") else "      "
        yield from wrapped(text, width, indent, most=2)
    yield from _example(episode, width, shown)


def smallest_cases(summary: RunSummary, width: int) -> Iterator[Line]:
    """The smallest failing case of each scenario whose cases have values.

    Args:
        summary: The run, added up.
        width: Characters that a line may have.
    """
    found = [s for s in summary.ordered if s.smallest is not None]
    if not found:
        return
    yield Heading("smallest failing cases")
    for scenario in found[:MOST_CASES]:
        text = f"{short_name(scenario.name)}: {scenario.smallest}"
        yield from wrapped(text, width, hanging="    ", most=4)
    if len(found) > MOST_CASES:
        more = count(len(found) - MOST_CASES, "more scenario")
        yield Line(f"and those of {more}: summary.json has them all")
