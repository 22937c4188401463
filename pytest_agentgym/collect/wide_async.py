"""Async fixtures of a wider scope than an episode, which have no loop to live on."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from _pytest.compat import getlocation
from _pytest.fixtures import FixtureDef
from _pytest.scope import Scope

from agentgym.errors import UsageError
from pytest_agentgym.collect.fixture_definitions import definitions


def refuse_wide_async(item: pytest.Function, names: list[str]) -> None:
    """Refuses what an async scenario would use on another loop than its own.

    Before anything is set up: who made the value first does not matter.

    Args:
        item: The scenario.
        names: Fixtures that it uses.

    Raises:
        UsageError: Names the first fixture that is async and wide, used by one of
            `names` or one of them.
    """
    if not inspect.iscoroutinefunction(item.function):
        return
    seen: set[tuple[str, int]] = set()
    waiting = [(name, 0) for name in reversed(names)]
    while waiting:
        name, depth = waiting.pop()
        defined = definitions(item, name)
        if (name, depth) in seen or depth >= len(defined):
            continue
        seen.add((name, depth))
        definition = defined[-1 - depth]
        if _is_wide_async(definition):
            raise UsageError(_sentence(item, definition))
        # A fixture that asks for its own name gets the one that it overrides.
        waiting += [(n, depth + 1 if n == name else 0) for n in definition.argnames]


def refuse_unmade(item: pytest.Function, definition: FixtureDef[Any]) -> None:
    """Refuses an async fixture which no plugin has made one that can be called.

    pytest-asyncio and anyio do so for their own fixtures. What they make on a loop of
    theirs serves a sync scenario, if it needs no loop later.

    Args:
        item: The scenario.
        definition: Of a fixture that is about to be called for it.

    Raises:
        UsageError: Names the fixture.
    """
    if _is_wide_async(definition):
        raise UsageError(_sentence(item, definition))


def _is_wide_async(definition: FixtureDef[Any]) -> bool:
    function = definition.func
    return definition._scope is not Scope.Function and (
        inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
    )


def _sentence(item: pytest.Function, definition: FixtureDef[Any]) -> str:
    where = getlocation(definition.func, item.config.rootpath)
    return (
        f"{item.nodeid}: the async fixture {definition.argname!r} ({where}) has the "
        f"scope {definition.scope!r}, and scenarios play on event loops of their own, "
        "where what it makes cannot be used; leave its scope out, so that each episode "
        "has its own, or write a sync fixture that returns a factory or connects at "
        "its first use"
    )
