"""Where an episode is played: what each attempt at it gets anew."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

from agentgym.scenarios.scenario import Scenario
from agentgym.simulators.simulation import Simulation


class World(Protocol):
    """The fresh surroundings of one attempt: the plugin's function-scoped fixtures.

    In a sync scenario neither method waits for anything: no event loop runs there.

    Attributes:
        scenario: The instance of a `Scenario` class, once `set_up` has made it; None
            for a scenario function.
        busy_with: Name of the fixture that is being made or torn down, if any is.
    """

    scenario: Scenario | None
    busy_with: str | None

    async def set_up(self) -> Callable[[], Any]:
        """Makes the world.

        Returns:
            The scenario's body, ready to be called; an async scenario's gives an
            awaitable.
        """

    async def tear_down(self) -> None:
        """Undoes `set_up`, also after it failed half-way."""


class Output(Protocol):
    """Where an attempt's printed text goes."""

    def activate(self) -> AbstractContextManager[object]:
        """Collects what is printed while active."""

    def text(self) -> str:
        """What was printed so far."""


class Stage(Protocol):
    """Makes what each attempt at an episode needs for itself."""

    def make_world(self) -> World:
        """The world, not yet set up."""

    def make_output(self) -> Output:
        """The collector of its printed text."""

    def make_simulation(self) -> Simulation:
        """Its judge and its simulated users."""
