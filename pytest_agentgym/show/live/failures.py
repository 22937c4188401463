"""One line for each episode that did not pass, as it comes, few of a kind."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

from agentgym.playing.episode import Episode
from agentgym.recording.blame import Outcome
from agentgym.recording.plain import shorten
from agentgym.runs.lines import plain

MOST_ALIKE = 3
"""Failures of one check of one scenario that are shown as they come."""
MOST = 20
"""Failures that are shown at all, unless `-v` asks for more."""
MOST_WORDS = 100
"""Characters of a failure's reason."""


class Failures:
    """Remembers which failures were shown.

    Args:
        verbose: Whether there is no limit to those of all scenarios together.
    """

    def __init__(self, *, verbose: bool = False) -> None:
        self._seen: Counter[tuple[str, str]] = Counter()
        self._left = math.inf if verbose else MOST

    def lines(self, episodes: list[Episode]) -> Iterator[tuple[str, bool]]:
        """The lines, and whether the failure is the agent's."""
        for episode in episodes:
            if episode.outcome is Outcome.passed:
                continue
            why = first_failure(episode)
            kind = (episode.scenario, f"{episode.outcome} {why}")
            self._seen[kind] += 1
            if self._seen[kind] > MOST_ALIKE or not self._left:
                continue
            self._left -= 1
            name = episode.scenario.partition("::")[2] or episode.scenario
            last = self._seen[kind] == MOST_ALIKE or not self._left
            more = "; more are only counted" if last else ""
            yield (
                f"{episode.outcome.value} {name} {case_name(episode)}: "
                f"{shorten(why, MOST_WORDS)}{more}",
                episode.outcome is Outcome.failed,
            )


def first_failure(episode: Episode) -> str:
    """The first check that did not pass, or else the error."""
    if episode.outcome is Outcome.failed:
        for check in episode.checks:
            if check["status"] in ("failed", "errored"):
                return f"assert {plain(check['text'])}"
    return plain(episode.error or "a check was not reached")


def case_name(episode: Episode) -> str:
    """As `--agentgym-case` understands it."""
    case = episode.case
    return f"{case.get('split', 'case')}-{case.get('index', episode.index)}"
