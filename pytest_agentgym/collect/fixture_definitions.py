"""What pytest knows of an item's fixtures, and what is made of a fixture's value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from _pytest.compat import getlocation
from _pytest.fixtures import FixtureDef

import agentgym
from agentgym.errors import UsageError


def definitions(item: pytest.Function, name: str) -> Sequence[FixtureDef[Any]]:
    """The fixture definitions visible to an item, the nearest one last.

    Args:
        item: The scenario.
        name: The fixture's name.

    Returns:
        Empty if there is no such fixture.
    """
    defined = item._fixtureinfo.name2fixturedefs.get(name)
    if defined is None:
        defined = item.session._fixturemanager.getfixturedefs(name, item)
    return defined or ()


def missing_fixture(item: pytest.Function, name: str) -> str:
    """The sentence for a fixture that does not exist.

    Args:
        item: The scenario that asks for it.
        name: The fixture's name.
    """
    return (
        f"{item.nodeid}: there is no fixture {name!r}; write one in conftest.py "
        "(pytest --fixtures lists those that exist)"
    )


def adopt(item: pytest.Function, name: str, value: Any) -> Any:
    """Wraps what an `agent` fixture returned; passes other values on.

    Args:
        item: The scenario.
        name: The fixture's name.
        value: What the fixture returned in one episode.

    Raises:
        UsageError: It is no agent.
    """
    if name != "agent":
        return value
    replaced = item.ihook.pytest_agentgym_agent_made(item=item, agent=value)
    try:
        return agentgym.wrap(value if replaced is None else replaced)
    except UsageError as exc:
        where = getlocation(definitions(item, name)[-1].func, item.config.rootpath)
        raise UsageError(f"{where}: the `agent` fixture: {exc}") from None
