"""Who of the simulators a scenario uses, as far as its code shows."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import CodeType
from typing import Any

from agentgym.simulators.endpoint import Role

_HOMES: dict[str, Role] = {
    "agentgym.simulators.judging": "judge",
    "agentgym.simulators.user": "user",
}


def roles_in(function: Any) -> set[Role]:
    """The roles that a scenario's body names: what can be said before it is played.

    What a helper or a fixture uses is seen only when it does so.
    """
    function = getattr(function, "__func__", function)
    roles: set[Role] = set()
    names = set(_names(function.__code__))
    for name in names & function.__globals__.keys():
        value = function.__globals__[name]
        if value is sys.modules.get("agentgym"):
            roles |= {"judge"} if "judge" in names else set()
            roles |= {"user"} if "SimulatedUser" in names else set()
            continue
        home = getattr(value, "__module__", None)
        if isinstance(home, str) and home in _HOMES:
            roles.add(_HOMES[home])
    return roles


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
