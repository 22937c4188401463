"""Where a scenario's episodes are played: fresh fixtures, output, simulators."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING
from unittest import SkipTest

from _pytest.outcomes import Exit, Skipped, XFailed

from agentgym.scenarios.cases import Case
from agentgym.simulators.simulation import Simulation
from pytest_agentgym.collect.collection import ScenarioItem
from pytest_agentgym.collect.isolation import FixtureWorld
from pytest_agentgym.collect.simulators import make_simulation
from pytest_agentgym.play.capture import EpisodeOutput

if TYPE_CHECKING:
    from agentgym.endpoint import PolicyEndpoint

SKIPS = (Skipped, SkipTest)
"""What leaves out a case, in a fixture or in the scenario."""
CONTROL = (*SKIPS, XFailed, Exit)
"""What pytest itself acts on: no result of an agent."""


def skip_reason(skip: BaseException | None) -> str:
    """Why a case was left out, in one line."""
    return " ".join(str(skip).split()) or "no reason was given"


@dataclass(frozen=True, slots=True)
class FixtureStage:
    """Stage of one episode: see `agentgym.playing.stage.Stage`.

    Attributes:
        item: The scenario.
        index: Number of the episode.
        case: Its case.
        endpoint: Where the agent of an attempt finds the policy, by the attempt's
            number from 0; asked when the agent is.
    """

    item: ScenarioItem
    index: int
    case: Case
    endpoint: Callable[[int], PolicyEndpoint]
    _attempts: Iterator[int] = field(default_factory=itertools.count)

    def make_world(self) -> FixtureWorld:
        """Fixtures of their own for an attempt."""
        endpoint = partial(self.endpoint, next(self._attempts))
        return FixtureWorld(self.item, self.index, self.case, endpoint)

    def make_output(self) -> EpisodeOutput:
        """What keeps an attempt's printed text apart from the others'."""
        return EpisodeOutput()

    def make_simulation(self) -> Simulation:
        """Judge and simulated users, as the run's options say."""
        return make_simulation(self.item, self.item.settings, self.case)
