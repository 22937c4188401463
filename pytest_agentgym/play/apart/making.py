"""Makes episodes, in processes of their own where their scenarios want that."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from agentgym.endpoint import PolicyEndpoint
from agentgym.playing.play import EpisodePlay
from agentgym.playing.spec import EpisodeSpec, Limits
from pytest_agentgym.collect.collection import ScenarioItem
from pytest_agentgym.collect.isolation import CASE_ASKED
from pytest_agentgym.collect.policy import POLICY
from pytest_agentgym.play.apart.controls import control_of
from pytest_agentgym.play.options import PLAY_OPTIONS
from pytest_agentgym.play.stage import CONTROL, FixtureStage

if TYPE_CHECKING:
    from agentgym.playing.isolated.fork_server import ForkServer

SERVER: pytest.StashKey[ForkServer] = pytest.StashKey()
"""Starts the processes of isolated episodes; there is none where a debugger follows."""
_FEWEST = 8
_OF_A_CORE = 2


def most_processes(config: pytest.Config) -> int:
    """Isolated episodes that are in flight at a time: they wait most of theirs."""
    asked = config.stash[PLAY_OPTIONS].concurrency
    return asked or max(_FEWEST, _OF_A_CORE * (os.cpu_count() or 1))


def make_play(
    item: ScenarioItem,
    spec: EpisodeSpec,
    limits: Limits,
    endpoint: Callable[[int], PolicyEndpoint],
    *,
    ready: bool = True,
    keep_exceptions: bool = False,
) -> EpisodePlay:
    """Makes an episode of a scenario.

    Args:
        item: The scenario.
        spec: What is played.
        limits: What it may use up.
        endpoint: Where each attempt finds the policy, by its number from 0.
        ready: Whether that is known already: it is not looked for in an isolated
            episode.
        keep_exceptions: See `EpisodePlay`.
    """
    stage = FixtureStage(item, spec.index, spec.case, endpoint)
    server = item.config.stash.get(SERVER, None)
    process = item.settings.process_limits
    if process is None or server is None:
        return EpisodePlay(
            spec, stage, limits, control=CONTROL, keep_exceptions=keep_exceptions
        )
    from agentgym.playing.isolated.isolated_play import IsolatedPlay

    attempts = range(limits.infra_retries + 1 if ready else 0)
    return IsolatedPlay(
        spec,
        stage,
        limits,
        server=server,
        cpu_seconds=process.cpu_seconds,
        request=_request(item, spec, [endpoint(number) for number in attempts]),
        control_of=control_of,
        learn=partial(_learn, item),
    )


def _request(
    item: ScenarioItem, spec: EpisodeSpec, endpoints: Sequence[PolicyEndpoint]
) -> dict[str, Any]:
    case = spec.case
    return {
        "scenario": spec.scenario,
        "id": spec.id,
        "index": spec.index,
        "case": {"split": case.split, "index": case.index},
        "repeat": case.repeat,
        "policy": item.config.stash[POLICY].known(),
        "endpoints": [asdict(endpoint) for endpoint in endpoints],
    }


def _learn(item: ScenarioItem, result: Mapping[str, Any]) -> None:
    if result["case_asked"]:
        item.stash[CASE_ASKED] = True
