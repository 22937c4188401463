"""What changed from one run to another: on the whole, per scenario, tool and case."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from agentgym.reliability import ATTRITION_LIMIT, CONFIDENCE
from agentgym.runs.differences import (
    Difference,
    EpisodeKey,
    Outcomes,
    by_scenario,
    compare_outcomes,
    partners,
)
from agentgym.runs.drop import MOST_NAMES, Allowance, judge_drop
from agentgym.runs.files.prompt_changes import PromptChange, prompt_changes
from agentgym.runs.lines import count, listed, threshold
from agentgym.runs.side import Played, Side
from agentgym.runs.summary_json import (
    ChangedCaseJson,
    ComparedJson,
    ComparedRunJson,
    ComparisonJson,
    CountsJson,
)

Counts = tuple[int, int]
"""Passed and counted episodes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """A scenario or tool of both runs.

    Attributes:
        before: All counted episodes of the earlier run, also those without a partner.
        after: The same of the later one.
        difference: None if there is nothing to compare.
    """

    name: str
    before: Counts
    after: Counts
    difference: Difference | None
    xfail: bool = False

    def to_json(self) -> ComparedJson:
        """The form in `summary.json`."""
        return {
            "name": self.name,
            "before": _counts_json(self.before),
            "after": _counts_json(self.after),
            "difference": None
            if self.difference is None
            else self.difference.to_json(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedCase:
    """A case that passed in most of its episodes in one run only.

    Attributes:
        case: As `episodes.jsonl` has it.
        examples: Ids of the episodes to look at side by side, of both runs.
    """

    scenario: str
    case: Mapping[str, Any]
    before: Counts
    after: Counts
    examples: tuple[str, str]

    @property
    def change(self) -> float:
        """Of the passed share."""
        return self.after[0] / self.after[1] - self.before[0] / self.before[1]

    @property
    def id(self) -> str:
        """What `--agentgym-case` takes."""
        return f"{self.case.get('split', 'case')}-{self.case.get('index')}"

    def to_json(self) -> ChangedCaseJson:
        """The form in `summary.json`."""
        return {
            "scenario": self.scenario,
            "case": dict(self.case),
            "before": _counts_json(self.before),
            "after": _counts_json(self.after),
            "episodes": list(self.examples),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two runs.

    Attributes:
        difference: Of the scenarios that both have and neither expects to fail.
        worse: Newly failing cases, the largest change first.
        better: Newly fixed ones.
        allowed: None unless a largest drop was given.
        notes: Sentences about what could not be compared, or not well.
        prompts: What changed in what models are asked by.
    """

    before: Side
    after: Side
    difference: Difference | None
    scenarios: tuple[Compared, ...]
    tools: tuple[Compared, ...]
    worse: tuple[ChangedCase, ...]
    better: tuple[ChangedCase, ...]
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]
    allowed: Allowance | None
    notes: tuple[str, ...]
    prompts: tuple[PromptChange, ...] = ()

    def to_json(self) -> ComparisonJson:
        """What `agentgym compare --json` writes; `baseline` in `summary.json`."""
        difference = self.difference
        return {
            "confidence": CONFIDENCE,
            "before": _side_json(self.before),
            "after": _side_json(self.after),
            "difference": None if difference is None else difference.to_json(),
            "scenarios": [compared.to_json() for compared in self.scenarios],
            "tools": [compared.to_json() for compared in self.tools],
            "newly_failing": [case.to_json() for case in self.worse],
            "newly_fixed": [case.to_json() for case in self.better],
            "only_before": list(self.only_before),
            "only_after": list(self.only_after),
            "max_drop": None if self.allowed is None else self.allowed.to_json(),
            "notes": list(self.notes),
            "prompts": [change.to_json() for change in self.prompts],
        }


def compare(before: Side, after: Side, max_drop: float | None = None) -> Comparison:
    """Compares two runs on the scenarios that both have.

    Args:
        before: The earlier run.
        after: The later one.
        max_drop: How much reliability may be lost, in [0, 1].
    """
    first, second = before.outcomes(), after.outcomes()
    shared = before.scenarios & after.scenarios
    xfail = before.xfail | after.xfail
    scenarios = tuple(
        _compared(name, *sides, name in xfail)
        for name, sides in by_scenario(first, second).items()
        if name in shared
    )
    gated = shared - xfail
    sides = _of(first, gated), _of(second, gated)
    difference = compare_outcomes(*sides)
    worse, better = _changed_cases(before, after)
    allowed = None
    if max_drop is not None:
        judgeable = before.judgeable(gated) and after.judgeable(gated)
        allowed = judge_drop(max_drop, *sides, judgeable=judgeable)
    return Comparison(
        before=before,
        after=after,
        difference=difference,
        scenarios=scenarios,
        tools=tuple(_tools(before, after, shared)),
        worse=worse,
        better=better,
        only_before=tuple(sorted(before.scenarios - shared)),
        only_after=tuple(sorted(after.scenarios - shared)),
        allowed=allowed,
        notes=tuple(_notes(before, after, scenarios, gated)),
        prompts=prompt_changes(
            before.asked, after.asked, (before.prompts(), after.prompts())
        ),
    )


def _of(outcomes: Outcomes, scenarios: set[str]) -> dict[EpisodeKey, bool]:
    return {key: ok for key, ok in outcomes.items() if key.scenario in scenarios}


def _compared(
    name: str, before: Outcomes, after: Outcomes, xfail: bool = False
) -> Compared:
    return Compared(
        name=name,
        before=(sum(before.values()), len(before)),
        after=(sum(after.values()), len(after)),
        difference=compare_outcomes(before, after),
        xfail=xfail,
    )


def _tools(before: Side, after: Side, shared: set[str]) -> Iterable[Compared]:
    first, second = before.tools(), after.tools()
    for name in sorted(first.keys() & second.keys()):
        sides = _of(first[name], shared), _of(second[name], shared)
        if all(sides):
            yield _compared(name, *sides)


# The cases.


def _changed_cases(
    before: Side, after: Side
) -> tuple[tuple[ChangedCase, ...], tuple[ChangedCase, ...]]:
    first, second = _by_case(before), _by_case(after)
    worse, better = [], []
    for key in first.keys() & second.keys():
        passed = [_passes(episodes[key]) for episodes in (first, second)]
        if passed[0] and not passed[1]:
            worse.append(_changed(first[key], second[key], passed=True))
        elif passed[1] and not passed[0]:
            better.append(_changed(first[key], second[key], passed=False))

    def place(case: ChangedCase) -> tuple[float, str, int]:
        return -abs(case.change), case.scenario, case.case.get("index") or 0

    return tuple(sorted(worse, key=place)), tuple(sorted(better, key=place))


def _by_case(side: Side) -> dict[tuple[str, str | None], list[Played]]:
    found: dict[tuple[str, str | None], list[Played]] = defaultdict(list)
    for key, episode in side.keyed():
        found[key.scenario, key.case].append(episode)
    return found


def _passes(episodes: list[Played]) -> bool:
    return 2 * sum(e.passed is True for e in episodes) > len(episodes)


def _changed(first: list[Played], second: list[Played], *, passed: bool) -> ChangedCase:
    """With the first episode that passed on one side and that did not on the other."""
    examples = (
        next(e.id for e in first if e.passed is passed),
        next(e.id for e in second if e.passed is not passed),
    )
    return ChangedCase(
        scenario=first[0].scenario,
        case=second[0].case,
        before=(sum(e.passed is True for e in first), len(first)),
        after=(sum(e.passed is True for e in second), len(second)),
        examples=examples,
    )


# What has to be said besides.


def _notes(
    before: Side, after: Side, scenarios: Iterable[Compared], gated: set[str]
) -> Iterable[str]:
    yield from before.notes
    yield from after.notes
    shared = [compared.name for compared in scenarios]
    if not shared:
        yield f"{before.name} and {after.name} have no scenario in common"
        return
    yield from _pairing(before, after, shared)
    for side, other in ((before, after), (after, before)):
        only = sorted(side.scenarios - other.scenarios)
        if only:
            yield f"only in {side.name}, not compared: {listed(only, MOST_NAMES)}"
        if not side.judgeable(gated):
            yield (
                f"{side.name} lost more than {threshold(ATTRITION_LIMIT)} of these "
                "episodes to errors not the agent's: a drop is not judged"
            )
    changed = [
        name
        for name in shared
        if before.checks[name] and before.checks[name] != after.checks[name]
    ]
    if changed:
        yield f"the checks are not the same as before: {listed(changed, MOST_NAMES)}"


def _pairing(before: Side, after: Side, shared: list[str]) -> Iterable[str]:
    """Why episodes are not compared in pairs, or not all of them."""
    if before.counts or after.counts:
        yield "not paired: single episodes are not known"
        return
    apart, left = [], 0
    for name, sides in by_scenario(before.outcomes(), after.outcomes()).items():
        if name not in shared:
            continue
        pairs = partners(*sides) if all(sides) else []
        if pairs is None:
            apart.append(name)
        else:
            left += sum(map(len, sides)) - 2 * len(pairs)
    if apart:
        reason = "most of their cases are not in both runs"
        if before.seed != after.seed and None not in (before.seed, after.seed):
            reason = f"the runs have different seeds, {before.seed} and {after.seed}"
        which = "" if len(apart) == len(shared) else f": {listed(apart, MOST_NAMES)}"
        yield f"not paired, as {reason}{which}"
    if left and len(apart) < len(shared):
        yield f"{count(left, 'episode')} without a partner in the other run left out"


def _counts_json(counts: Counts) -> CountsJson:
    return {"passed": counts[0], "counted": counts[1]}


def _side_json(side: Side) -> ComparedRunJson:
    return {"run": side.name, "policy": side.policy, "seed": side.seed}
