"""An episode without the plugin: its world is a body and what its fixtures give.

Only here do tests construct an `EpisodePlay`.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from agentgym.playing.play import EpisodePlay
from agentgym.playing.spec import EpisodeSpec, Limits
from agentgym.scenarios.cases import Case
from agentgym.scenarios.checks import CheckSpec
from agentgym.scenarios.scenario import Scenario
from agentgym.simulators.simulation import Simulation


def no_fixtures() -> Mapping[str, Any]:
    return {}


@dataclass
class BodyWorld:
    """Calls the body with those of the fixtures that it names."""

    body: Callable[..., Any]
    fixtures: Callable[[], Mapping[str, Any]] = no_fixtures
    scenario: Scenario | None = None
    busy_with: str | None = None

    async def set_up(self) -> Callable[[], Any]:
        given = self.fixtures()
        if not given:
            return self.body
        wanted = inspect.signature(self.body).parameters
        return partial(self.body, **{name: given[name] for name in wanted})

    async def tear_down(self) -> None:
        pass


class NoOutput:
    """What is printed is left alone."""

    @contextlib.contextmanager
    def activate(self) -> Iterator[None]:
        yield

    def text(self) -> str:
        return ""


@dataclass
class MadeStage:
    """Makes what it was given the makers of."""

    make_world: Callable[[], BodyWorld]
    make_output: Callable[[], Any]
    make_simulation: Callable[[], Simulation]


def made_play(
    body: Callable[..., Any],
    *,
    index: int = 0,
    case: Case | None = None,
    checks: Sequence[CheckSpec] = (),
    fixtures: Callable[[], Mapping[str, Any]] = no_fixtures,
    world: type[BodyWorld] = BodyWorld,
    make_output: Callable[[], Any] = NoOutput,
    make_simulation: Callable[[], Simulation] = Simulation,
    timeout: float | None = None,
    infra_retries: int = 2,
) -> EpisodePlay:
    """A play of a body, which may be async, ready to be run."""
    spec = EpisodeSpec(
        scenario=getattr(body, "__name__", "test_x"),
        index=index,
        case=case or Case(index=index, seed=1, split="held_out"),
        checks=checks,
    )
    stage = MadeStage(lambda: world(body, fixtures), make_output, make_simulation)
    return EpisodePlay(
        spec, stage, Limits(timeout=timeout, infra_retries=infra_retries)
    )
