"""Plays a pack's scenarios in this process, by an agent that follows a script."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import agentgym
from agentgym.playing.episode import Episode
from agentgym.scenarios.cases import Case, Split
from agentgym.scenarios.checks import specs_of
from tests.played import made_play

SCENARIOS = Path(__file__).parents[1] / "scenarios"
BLAND = "I will look into it. Is there anything else I can do for you?"
SPLITS: tuple[Split, ...] = ("train", "held_out")

Calls = Sequence[tuple[str, dict[str, Any]]]


def cases_of_both(count: int) -> list[Case]:
    """Cases, those of train and of held-out ones in turn."""
    return [Case(index=i, seed=1000 + i, split=SPLITS[i % 2]) for i in range(count)]


def scenario_functions(
    pack: str, config: pytest.Config
) -> dict[str, Callable[..., Any]]:
    """All scenario functions of a pack, with their asserts made checks."""
    from pytest_agentgym.collect.soft_assert import SoftAssertFinder

    found, finder = {}, SoftAssertFinder(config)
    for path in sorted((SCENARIOS / pack).glob("test_*.py")):
        spec = finder.find_spec(f"scenarios.{pack}.{path.stem}", [str(path.parent)])
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found.update(
            {name: f for name, f in vars(module).items() if name.startswith("test_")}
        )
    return found


def scripted(
    tools: Iterable[Callable[..., Any]],
    calls: Calls,
    reply: str,
    error: type[Exception],
) -> Callable[[str], str]:
    """An agent that makes these calls, whatever they raise of a kind, and replies."""
    known = {tool.__name__: agentgym.tool(tool) for tool in tools}

    def agent(message: str) -> str:
        for name, arguments in calls:
            with contextlib.suppress(error):
                known[name](**arguments)
        return reply

    return agent


def played(
    body: Callable[..., Any],
    case: Case,
    agent: Callable[[str], str],
    world: Mapping[str, Any],
) -> Episode:
    """An episode of a scenario with what its fixtures would give."""

    def fixtures() -> dict[str, Any]:
        return {"agent": agentgym.wrap(agent), "case": case, **world}

    checks = specs_of(body) or ()
    episode = made_play(body, case=case, checks=checks, fixtures=fixtures).run()
    assert episode is not None
    return episode
