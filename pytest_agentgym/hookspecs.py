"""Hooks that other plugins and conftest files may implement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from agentgym.playing.episode import Episode
    from agentgym.runs.summary import RunSummary
    from agentgym.scenarios.cases import Case
    from pytest_agentgym.collect.collection import ScenarioItem


@pytest.hookspec(firstresult=True)
def pytest_agentgym_agent_made(item: ScenarioItem, agent: Any) -> Any:
    """An `agent` fixture returned `agent`; return another object to replace it.

    Called in the thread of each episode, before the agent is wrapped.
    """


@pytest.hookspec
def pytest_agentgym_episode_started(item: ScenarioItem, index: int, case: Case) -> None:
    """Episode `index` of the scenario is about to be played on `case`."""


@pytest.hookspec
def pytest_agentgym_reward_computed(item: ScenarioItem, episode: Episode) -> None:
    """The episode's checks were judged and `episode.reward` follows from them.

    Called in the process that played the episode, before it is reported; what is
    changed on `episode` here is what the run stores.
    """


@pytest.hookspec(firstresult=True)
def pytest_agentgym_classify_error(exception: BaseException) -> str | None:
    """An exception ended an episode, or a call of its model; say who is to blame.

    Return "infra_error", "failed", "harness_error" or "simulator_error", or None to
    leave it to agentgym. Called in the process and thread that play the episode, for
    the exception and then for each of its causes.
    """


@pytest.hookspec
def pytest_agentgym_secret_patterns() -> list[str] | None:
    """Regular expressions of more secrets to mask in all that is shown and stored.

    Called in each process, for each scenario that it plays.
    """


@pytest.hookspec
def pytest_agentgym_episode_finished(episode: Episode) -> None:
    """An episode is in the run: called once per episode, in the main process."""


@pytest.hookspec
def pytest_agentgym_report_section(summary: RunSummary) -> list[str] | None:
    """Lines to add to the terminal report, before the verdict."""
