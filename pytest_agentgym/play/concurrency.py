"""How many of a scenario's episodes are in flight."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agentgym.playing.in_flight import InFlight
from pytest_agentgym.collect.policy import POLICY
from pytest_agentgym.play.apart.making import most_processes
from pytest_agentgym.play.limits.cost_options import COST_OPTIONS
from pytest_agentgym.play.options import PLAY_OPTIONS

if TYPE_CHECKING:
    from pytest_agentgym.collect.collection import ScenarioItem

_ENDPOINTS = pytest.StashKey[dict[object, InFlight]]()


def in_flight_of(item: ScenarioItem, policy: str | None) -> InFlight:
    """Decides it for a scenario.

    What was found to pay is kept for the scenarios that ask the same endpoint: those of
    the same policy, or whose agent is made by the same fixture.

    Args:
        item: The scenario.
        policy: The model behind its agent, where it is known.
    """
    config = item.config
    options = config.stash[PLAY_OPTIONS]
    if item.one_at_a_time:
        return InFlight(limit=1, fixed=True)
    if item.isolated:
        return InFlight(limit=most_processes(config), fixed=True)
    if options.concurrency is not None:
        return InFlight(limit=options.concurrency, fixed=True)
    costs = config.stash[COST_OPTIONS]
    limited = costs.max_usd is not None or costs.max_tokens is not None
    # What is in flight at the end is played, and paid, though it is needed no more.
    if options.stop == "sequential" or limited:
        return InFlight(fixed=True)
    local = config.stash[POLICY].in_flight
    if local is not None:
        return InFlight(limit=local, fixed=True)
    endpoints = config.stash.setdefault(_ENDPOINTS, {})
    return endpoints.setdefault(policy or _agent(item), InFlight())


def _agent(item: ScenarioItem) -> object:
    """What makes the scenario's agent; None where no fixture does."""
    defined = item._fixtureinfo.name2fixturedefs.get("agent")
    return defined[-1] if defined else None
