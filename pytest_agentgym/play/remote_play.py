"""Where a measurement's episodes are played, if not in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import pytest

from agentgym.playing.pool import Ended
from agentgym.playing.spec import EpisodeSpec
from pytest_agentgym.collect.collection import ScenarioItem


class Elsewhere(Protocol):
    """Has episodes played by runners on other machines."""

    def play(
        self,
        item: ScenarioItem,
        spec: Callable[[int], EpisodeSpec],
        count: int,
        *,
        enough: Callable[[], bool],
        check: Callable[[], None],
    ) -> Iterator[Sequence[Ended]]:
        """Has episodes of a scenario played, and yields them as they come.

        Args:
            item: The scenario.
            spec: What the episode of a number plays.
            count: The most episodes.
            enough: Whether to begin no further episode.
            check: What it raises ends it.
        """


ELSEWHERE = pytest.StashKey[Elsewhere]()
"""Only in the main process of a measurement whose runners are elsewhere."""
