"""What came of each case: how many of its episodes passed, failed, or do not count."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from agentgym.playing.episode import Episode
from agentgym.recording.blame import Outcome
from agentgym.reliability import KEpisodes, k_episodes
from agentgym.runs.summary_json import (
    CaseResultJson,
    FamilyJson,
    KEpisodesJson,
    SkippedJson,
)

DEFAULT_KS = (1, 2, 4, 8)
"""The k of pass^k and pass@k, as far as cases were played so often."""

MOST_CASES = 256
"""Cases of a scenario that a summary lists; there may be as many as episodes."""

CaseKey = tuple[str, int]
"""Split and index of a case."""

MOST_REASONS = 50
"""Reasons for skips that a summary lists of a scenario."""

_PASSED, _FAILED, _OTHER = range(3)


@dataclass(slots=True)
class CaseResults:
    """The results of one scenario's cases.

    Attributes:
        one_case: Whether the scenario never asked for its case, so that all of its
            episodes are repeats of the same.
        ks: Which k were asked for; None for the usual ones.
    """

    one_case: bool = False
    ks: Sequence[int] | None = None
    _counts: dict[CaseKey, list[int]] = field(default_factory=dict)

    def add(self, episode: Episode) -> None:
        """Counts one episode."""
        key = (episode.case.get("split", ""), episode.case.get("index", 0))
        counts = self._counts.setdefault(key, [0, 0, 0])
        if not episode.counted:
            counts[_OTHER] += 1
        else:
            passed = episode.outcome is Outcome.passed
            counts[_PASSED if passed else _FAILED] += 1

    @property
    def drawn(self) -> list[tuple[int, int]]:
        """Passed and counted episodes of each case that was drawn."""
        return [(c[_PASSED], c[_PASSED] + c[_FAILED]) for c in self._counts.values()]

    @property
    def cases(self) -> list[tuple[int, int]]:
        """The same of what differs for the scenario: one if it asks for no case."""
        if not (self.one_case and self._counts):
            return self.drawn
        return [(sum(c for c, _ in self.drawn), sum(n for _, n in self.drawn))]

    def to_json(self) -> tuple[list[CaseResultJson], int]:
        """The form in `summary.json`: those that failed most come first.

        Returns:
            As many as a summary lists, and the number of the others.
        """
        if self.one_case:
            counts = [sum(n) for n in zip(*self._counts.values(), strict=True)]
            return ([_case_json(None, counts)] if counts else []), 0
        ordered = sorted(
            self._counts.items(), key=lambda one: (-one[1][_FAILED], one[0])
        )
        listed = [_case_json(key, counts) for key, counts in ordered[:MOST_CASES]]
        return listed, max(0, len(ordered) - MOST_CASES)


def _case_json(key: CaseKey | None, counts: Sequence[int]) -> CaseResultJson:
    passed, failed, other = counts
    return {
        "case": None if key is None else f"{key[0] or 'case'}-{key[1]}",
        "passed": passed,
        "failed": failed,
        "other": other,
    }


def of_k(cases: Sequence[tuple[int, int]], ks: Sequence[int] | None) -> list[KEpisodes]:
    """pass^k and pass@k of some cases.

    Args:
        cases: Passed and counted episodes of each.
        ks: Those that were asked for; None for the usual ones, as far as any case was
            played so often.
    """
    found = [k_episodes(cases, k) for k in ks or DEFAULT_KS]
    return [one for one in found if ks is not None or one.cases]


def of_k_json(found: Iterable[KEpisodes]) -> KEpisodesJson:
    """The form in `summary.json`."""
    rows = list(found)
    return {
        "pass_hat_k": {str(one.k): _rounded(one.all_pass) for one in rows},
        "pass_at_k": {str(one.k): _rounded(one.any_passes) for one in rows},
        "pass_k_cases": {str(one.k): one.cases for one in rows},
        "pass_k_left_out": {str(one.k): one.left_out for one in rows},
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def family_of(scenario: str) -> str | None:
    """The name of a scenario without its parameter set; None if it has none.

    Args:
        scenario: Its node id.
    """
    file, colons, rest = scenario.partition("::")
    # Only a parameter set has a bracket behind the file's name.
    name, bracket, _ = rest.partition("[")
    return f"{file}{colons}{name}" if bracket else None


def families(
    scenarios: Mapping[str, CaseResults], ks: Sequence[int] | None
) -> list[FamilyJson]:
    """Scenarios that are one function with several parameter sets.

    Args:
        scenarios: What came of each, by node id.
        ks: As `of_k` takes them.
    """
    members: dict[str, list[CaseResults]] = defaultdict(list)
    for name, results in scenarios.items():
        family = family_of(name)
        if family is not None:
            members[family].append(results)
    return [
        _family(name, found, ks) for name, found in members.items() if len(found) > 1
    ]


def _family(
    name: str, members: Sequence[CaseResults], ks: Sequence[int] | None
) -> FamilyJson:
    cases = [case for results in members for case in results.cases]
    return {
        "name": name,
        "scenarios": len(members),
        "passed": sum(passed for passed, _ in cases),
        "counted": sum(counted for _, counted in cases),
        **of_k_json(of_k(cases, ks)),
    }


@dataclass(slots=True, kw_only=True)
class Skips:
    """The cases that a scenario left out.

    Attributes:
        planned: Episodes that it was to have.
        reasons: How often it gave each reason.
    """

    planned: int
    reasons: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        return f"{self.reasons.total()} of {self.planned}"

    def to_json(self, name: str) -> SkippedJson:
        """The form in `summary.json`, with the scenario's name."""
        return {
            "name": name,
            "skipped": self.reasons.total(),
            "planned": self.planned,
            "reasons": dict(sorted(self.reasons.items())[:MOST_REASONS]),
        }
