"""Async fixtures of a wider scope than an episode, which have no loop to live on."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from typing import Any

import pytest
from _pytest.compat import getlocation
from _pytest.fixtures import FixtureDef, SubRequest
from _pytest.scope import Scope

from agentgym.errors import UsageError
from agentgym.recording.recorder import current
from pytest_agentgym.collect.fixture_definitions import definitions

_ASKED = pytest.StashKey[dict[FixtureDef[Any], set[str]]]()
"""What fixtures of a wide scope asked for by name, which no signature says."""


class _Unmade(UsageError):
    """Of no scenario: pytest keeps it for all that use what asked for the fixture."""


@contextlib.contextmanager
def naming(item: pytest.Function) -> Iterator[None]:
    """Has each scenario named for which `refuse_unmade` refuses a fixture.

    Args:
        item: One whose wider fixtures are made within.
    """
    try:
        yield
    except _Unmade as exc:
        raise UsageError(f"{item.nodeid}: {exc}") from None


def note_asked(definition: FixtureDef[Any], request: SubRequest) -> None:
    """Has it noted which fixtures a wide one asks for while it is made.

    Whichever item it is made for: pytest keeps the value for those that follow.

    Args:
        definition: Of the fixture that is about to be made.
        request: What it asks.
    """
    if definition._scope is Scope.Function or "request" not in definition.argnames:
        return
    asked: set[str] = set()
    known: dict[FixtureDef[Any], set[str]] = {}
    request.session.stash.setdefault(_ASKED, known)[definition] = asked
    ask = request.getfixturevalue

    def getfixturevalue(argname: str) -> Any:
        asked.add(argname)
        if current() is not None:
            refuse_in_episode(request._pyfuncitem, argname)
        return ask(argname)

    request.getfixturevalue = getfixturevalue  # type: ignore[method-assign]


def refuse_wide_async(item: pytest.Function, names: list[str], depth: int = 0) -> None:
    """Refuses what an async scenario would use on another loop than its own.

    Who made the value first does not matter. Asked before anything is set up, and
    again once it is: what a fixture asks for by name is known only then.

    Args:
        item: The scenario.
        names: Fixtures that it uses.
        depth: How many overrides of them are meant to be passed over.

    Raises:
        UsageError: Names the first fixture that is async and wide, used by one of
            `names` or one of them.
    """
    if inspect.iscoroutinefunction(item.function):
        for definition in _wide_async(item, names, depth):
            raise UsageError(f"{item.nodeid}: {_sentence(definition, item)}")


def refuse_in_episode(item: pytest.Function, name: str, depth: int = 0) -> None:
    """Refuses what a plugin would have to make while an episode is played.

    It has no loop there: one runs, or it is another thread than that of the tests.

    Args:
        item: The scenario.
        name: A fixture of a wider scope that is asked for.
        depth: How many overrides of it are meant to be passed over.

    Raises:
        UsageError: Names the first fixture that is async and wide, and not made.
    """
    for definition in _wide_async(item, [name], depth):
        if definition.cached_result is None:
            raise _Unmade(
                _beginning(definition, item)
                + "and is asked for by name while an episode plays, when nothing can "
                "make it; name it as an argument of the scenario or of a fixture"
            )


def _wide_async(
    item: pytest.Function, names: list[str], depth: int
) -> Iterator[FixtureDef[Any]]:
    """The fixtures among these, and among those that they use."""
    seen: set[tuple[str, int]] = set()
    asked = item.session.stash.get(_ASKED, {})
    waiting = [(name, depth) for name in reversed(names)]
    while waiting:
        name, depth = waiting.pop()
        defined = definitions(item, name)
        if (name, depth) in seen or depth >= len(defined):
            continue
        seen.add((name, depth))
        definition = defined[-1 - depth]
        if _is_wide_async(definition):
            yield definition
        # A fixture that asks for its own name gets the one that it overrides.
        uses = {*definition.argnames, *asked.get(definition, ())}
        waiting += [(n, depth + 1 if n == name else 0) for n in sorted(uses)]


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
        raise _Unmade(_sentence(definition, item))


def _is_wide_async(definition: FixtureDef[Any]) -> bool:
    function = definition.func
    return definition._scope is not Scope.Function and (
        inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
    )


def _sentence(definition: FixtureDef[Any], item: pytest.Function) -> str:
    return _beginning(definition, item) + (
        "and scenarios play on event loops of their own, where what it makes cannot be "
        "used; leave its scope out, so that each episode has its own, or write a sync "
        "fixture that returns a factory or connects at its first use"
    )


def _beginning(definition: FixtureDef[Any], item: pytest.Function) -> str:
    where = getlocation(definition.func, item.config.rootpath)
    return (
        f"the async fixture {definition.argname!r} ({where}) has the scope "
        f"{definition.scope!r}, "
    )
