"""Wider-scoped fixtures of many scenarios that are all set up at the same time.

pytest sets up one item at a time, and each fixture definition holds one value: that of
the present module or parameter. In a training the episodes of all scenarios take turns,
so each module, class and parameter has a copy of the definition, and all of them are
torn down at the end.
"""

from __future__ import annotations

import copy
import dataclasses
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from _pytest.fixtures import FixtureDef, get_scope_node
from _pytest.outcomes import TEST_OUTCOME
from _pytest.runner import SetupState
from _pytest.scope import Scope

if TYPE_CHECKING:
    import pytest

    from pytest_agentgym.collect.collection import ScenarioItem

_Key = tuple[Any, ...]
_lock = threading.Lock()
"""Of the whole process: pytest has one `SetupState`, and threads set up their items."""


class ManyItems(SetupState):
    """pytest's set-up stack, but an item does not have to go before the next comes."""

    def setup(self, item: pytest.Item) -> None:
        """Sets up the item and those of its collectors that are not set up yet."""
        for node in item.listchain():
            if node in self.stack:
                error = self.stack[node][1]
                if error is not None:
                    raise error[0].with_traceback(error[1])
                continue
            self.stack[node] = ([node.teardown], None)
            try:
                node.setup()
            except TEST_OUTCOME as exc:
                self.stack[node] = (self.stack[node][0], (exc, exc.__traceback__))
                raise


class OwnDefinitions(dict[str, Sequence[FixtureDef[Any]]]):
    """The fixture definitions of one item, which those of other items may share.

    Args:
        item: The scenario.
        copies: All copies made so far, for all items of the session.
    """

    def __init__(self, item: ScenarioItem, copies: dict[_Key, FixtureDef[Any]]) -> None:
        super().__init__()
        self._item = item
        self._copies = copies
        self._originals = item._fixtureinfo.name2fixturedefs

    def get(self, name: str, default: Any = None) -> Any:
        """The definitions visible under a name, the nearest one last.

        Args:
            name: Of a fixture.
            default: What is returned where there is none.
        """
        if name in self:
            return self[name]
        # Episodes in many threads may ask for it first.
        with _lock:
            originals = self._find(name)
            if not originals:
                return default
            self[name] = [self._own(definition) for definition in originals]
            return self[name]

    def _find(self, name: str) -> Sequence[FixtureDef[Any]]:
        definitions = self._originals.get(name)
        if definitions is None:
            manager = self._item.session._fixturemanager
            definitions = manager.getfixturedefs(name, self._item)
        return definitions or ()

    def _own(self, definition: FixtureDef[Any]) -> FixtureDef[Any]:
        scope = definition._scope
        if scope is Scope.Function:
            return definition
        params = self._parameters(definition)
        node = get_scope_node(self._item, scope)
        key = (definition, node, params)
        if key not in self._copies:
            made = copy.copy(definition)
            made._finalizers = []  # type: ignore[misc]
            made.cached_result = None
            self._copies[key] = made
        return self._copies[key]

    def _parameters(self, definition: FixtureDef[Any]) -> _Key:
        """Which parameters its value depends on, and their places."""
        callspec = getattr(self._item, "callspec", None)
        if callspec is None:
            return ()
        seen, waiting = set[str](), [definition.argname]
        while waiting:
            name = waiting.pop()
            if name not in seen:
                seen.add(name)
                for other in self._find(name):
                    waiting += other.argnames
        return tuple(
            (name, callspec.indices[name])
            for name in sorted(seen & callspec.params.keys())
        )


def share_fixtures(session: pytest.Session, items: Sequence[ScenarioItem]) -> None:
    """Prepares the items for being set up at the same time.

    Args:
        session: Whose set-up stack is replaced.
        items: Scenarios, each of which gets fixture definitions of its own.
    """
    session._setupstate = ManyItems()
    copies: dict[_Key, FixtureDef[Any]] = {}
    for item in items:
        definitions = OwnDefinitions(item, copies)
        item._fixtureinfo = dataclasses.replace(
            item._fixtureinfo, name2fixturedefs=definitions
        )
        item._initrequest()
