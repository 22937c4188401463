"""The run's judge and the model behind its simulated users."""

from __future__ import annotations

import os

import pytest

from agentgym.endpoint import Endpoint
from agentgym.errors import UsageError
from agentgym.scenarios.cases import Case
from agentgym.scenarios.scenario import ScenarioSettings
from agentgym.simulators.role import Role, read_endpoint
from agentgym.simulators.simulation import Simulation, Simulators
from agentgym.simulators.use import roles_in
from pytest_agentgym.collect.options import MODEL_OPTIONS

JUDGE_KEY, USER_KEY = "AGENTGYM_JUDGE_KEY", "AGENTGYM_USER_KEY"
"""Environment variables with the keys: others can see a command line."""

SIMULATORS = pytest.StashKey[Simulators]()


def run_simulators(config: pytest.Config) -> Simulators:
    """The models that the options name.

    Raises:
        pytest.UsageError: One of them is no `URL#MODEL`.
    """
    options, key = config.stash[MODEL_OPTIONS], os.environ.get(JUDGE_KEY)
    try:
        judge = _endpoint("judge", options.judge, key)
        user = _endpoint("user", options.user, os.environ.get(USER_KEY))
    except UsageError as exc:
        raise pytest.UsageError(str(exc)) from None
    return Simulators(
        judge=judge,
        user=user,
        cache=config.rootpath / ".agentgym" / "judge",
        training=config.getoption("agentgym_train"),
    )


def _endpoint(role: Role, spec: str | None, key: str | None) -> Endpoint | None:
    # A client insists on a key; local servers do not care.
    return None if spec is None else read_endpoint(role, spec, key or "agentgym")


def check_simulators(item: pytest.Function, settings: ScenarioSettings) -> None:
    """Checks, before anything is played, what a scenario's body shows that it uses.

    Args:
        item: The scenario.
        settings: Whether it allows a judge's words to be learned from.

    Raises:
        UsageError: The run has no such model, or must not learn from its words.
    """
    simulators = item.config.stash[SIMULATORS]
    for role in sorted(roles_in(item.function)):
        simulators.check(role, item.nodeid, declared=settings.judged)


def make_simulation(
    item: pytest.Function, settings: ScenarioSettings, case: Case
) -> Simulation:
    """Makes the simulation of an attempt at an episode.

    Args:
        item: The scenario.
        settings: Whether it allows a judge's words to be learned from.
        case: The episode's; the simulated user takes its seed.
    """
    return Simulation(
        simulators=item.config.stash[SIMULATORS],
        scenario=item.nodeid,
        seed=case.seed,
        declared=settings.judged,
    )
