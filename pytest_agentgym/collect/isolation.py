"""Fresh function-scoped fixtures for each of many concurrent episodes in one item.

pytest keeps one value per fixture and item, and its set-up stack is not made for
threads. So the function-scoped fixtures of a scenario are called here, once per
episode; wider scopes stay pytest's own and are shared as usual.
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from _pytest.fixtures import FixtureDef, SubRequest
from _pytest.scope import Scope

from agentgym.errors import UsageError
from agentgym.scenarios.cases import Case
from agentgym.scenarios.scenario import Scenario
from pytest_agentgym.collect.episode_folders import TMP_PATH, episode_folder
from pytest_agentgym.collect.fixture_definitions import (
    adopt,
    definitions,
    missing_fixture,
)
from pytest_agentgym.collect.process_wide import (
    SUBTESTS,
    EpisodeLog,
    EpisodeSubtests,
    check_alone,
)
from pytest_agentgym.collect.wide_async import (
    naming,
    refuse_in_episode,
    refuse_wide_async,
)

if TYPE_CHECKING:
    from agentgym.endpoint import PolicyEndpoint

_wide_lock = threading.RLock()
"""Of the whole process, as pytest's set-up and what these fixtures change are."""


CASE_ASKED = pytest.StashKey[bool]()
"""Whether a scenario has asked for its case; its episodes are all alike if not."""


class EpisodeRequest:
    """The `request` of a function-scoped fixture within one episode.

    It has what `pytest.FixtureRequest` documents, and the episode's own facts.

    Attributes:
        episode: Index of this episode in its scenario.
    """

    scope = "function"

    def __init__(
        self, world: FixtureWorld, fixturename: str | None, depths: dict[str, int]
    ) -> None:
        item = world.item
        self._world = world
        self._depths = depths
        self.fixturename = fixturename
        self.node = item
        self.config = item.config
        self.session = item.session
        self.function = item.obj
        self.cls = item.cls
        self.module = item.module
        self.path = item.path
        self.keywords = item.keywords
        self.instance = world.instance
        self.episode = world.index
        callspec = getattr(item, "callspec", None)
        if callspec is not None and fixturename in callspec.params:
            self.param = callspec.params[fixturename]
            self.param_index = callspec.indices.get(fixturename, 0)

    @property
    def policy(self) -> PolicyEndpoint:
        """Where this episode's agent finds the policy."""
        return self._world.policy()

    @property
    def case(self) -> Case:
        """The case of this episode."""
        self._world.item.stash[CASE_ASKED] = True
        return self._world.case

    @property
    def fixturenames(self) -> list[str]:
        """Names of all fixtures of the scenario."""
        return list(self.node.fixturenames)

    def getfixturevalue(self, argname: str) -> Any:
        """Value of the fixture in this episode."""
        return self._world.value(argname, self._depths)

    def addfinalizer(self, finalizer: Callable[[], object]) -> None:
        """Calls `finalizer` when the episode is torn down."""
        self._world.add_finalizer(self.fixturename, finalizer)

    def applymarker(self, marker: str | pytest.MarkDecorator) -> None:
        """Marks the item (not only this episode)."""
        self.node.add_marker(marker)

    def raiseerror(self, msg: str | None) -> None:
        """Raises the given message as an error of the fixture."""
        raise UsageError(msg or "the fixture raised an error")


class FixtureWorld:
    """World of one episode: see `agentgym.playing.stage.World`.

    Args:
        item: The scenario.
        index: Number of the episode.
        case: Its case.
        policy: Says where this episode's agent finds the policy.
    """

    def __init__(
        self,
        item: pytest.Function,
        index: int,
        case: Case,
        policy: Callable[[], PolicyEndpoint],
    ) -> None:
        self.item = item
        self.index = index
        self.case = case
        self.policy = policy
        self.scenario: Scenario | None = None
        self.instance: Any = None
        self.busy_with: str | None = None
        self._finalizers: list[tuple[str | None, Callable[[], object]]] = []
        # By name and depth: an override and what it overrides are two values.
        self._values = {(name, 0): value for name, value in case.params.items()}
        self._log = EpisodeLog(item) if "caplog" in item.fixturenames else None
        self._asynchronous = _kind(item.function) == "coroutine"

    async def set_up(self) -> Callable[[], Any]:
        """Makes instance and fixtures, the async ones first.

        Returns:
            The scenario's body with its arguments.
        """
        item = self.item
        if self._log is not None:
            self._log.enter("setup")
        function = item.obj
        if item.cls is not None:
            self.instance = item.cls()
            function = getattr(self.instance, item.originalname)
            if isinstance(self.instance, Scenario):
                self.scenario = self.instance
                self.scenario.case = self.case
                item.stash[CASE_ASKED] = True
        wanted = [name for name in item.fixturenames if name != "request"]
        if self._asynchronous:
            for name in wanted:
                await self._prepare_async(name, {})
        for name in wanted:
            self.value(name, {})
        names = item._fixtureinfo.argnames
        arguments = {name: self.value(name, {}) for name in names}
        if self._log is not None:
            self._log.enter("call")
        return functools.partial(function, **arguments)

    async def tear_down(self) -> None:
        """Runs the finalizers, the last one first; raises their first error."""
        errors: list[BaseException] = []
        if self._log is not None:
            self._log.enter("teardown")
        while self._finalizers:
            self.busy_with, finalizer = self._finalizers.pop()
            try:
                result = finalizer()
                if self._asynchronous and inspect.isawaitable(result):
                    await result
            except BaseException as exc:  # noqa: BLE001 - all finalizers must run
                errors.append(exc)
        if errors:
            raise errors[0]

    def add_finalizer(self, name: str | None, finalizer: Callable[[], object]) -> None:
        """Calls `finalizer` in the tear-down, before those that were added earlier.

        Args:
            name: The fixture that it belongs to.
            finalizer: Called without arguments.
        """
        self._finalizers.append((name, finalizer))

    def environment(self) -> Any:
        """What `Scenario.create_environment` made for this episode."""
        if self.scenario is None:
            raise UsageError(
                f"{self.item.nodeid}: `environment` is what a Scenario class's "
                "create_environment() returns; a scenario function takes fixtures"
            )
        return self.scenario.create_environment()

    def value(self, name: str, depths: dict[str, int]) -> Any:
        """Value of a fixture, made at its first use in the episode.

        Args:
            name: The fixture's name.
            depths: How many overrides of each name are being made already: a fixture
                that asks for its own name gets the one it overrides.
        """
        depth = depths.get(name, 0)
        if (name, depth) in self._values:
            return self._values[name, depth]
        if name == "request":
            return EpisodeRequest(self, None, depths)
        definition = self._definition(name, depth)
        if definition._scope is not Scope.Function:
            value = self._wide(name, definition, depth)
        else:
            value = self._make(name, definition, depths)
        return self._keep(name, depth, value)

    def _keep(self, name: str, depth: int, value: Any) -> Any:
        # What an override asks for is its own business: only its value is an agent.
        kept = value if depth else adopt(self.item, name, value)
        self._values[name, depth] = kept
        return kept

    def _definition(self, name: str, depth: int) -> FixtureDef[Any]:
        defined = definitions(self.item, name)
        if depth >= len(defined):
            raise UsageError(missing_fixture(self.item, name))
        return defined[-1 - depth]

    def _make(
        self, name: str, definition: FixtureDef[Any], depths: dict[str, int]
    ) -> Any:
        function = definition.func
        kind = _kind(function)
        if kind in ("coroutine", "async generator"):
            raise UsageError(
                f"{self.item.nodeid}: the fixture {name!r} is async and the scenario "
                "is not: write `async def` before the scenario's name"
            )
        if function is TMP_PATH:
            return episode_folder(self.item, self.index)
        if function is SUBTESTS:
            return EpisodeSubtests()
        check_alone(self.item, name)
        function, arguments = self._call(name, definition, depths)
        self.busy_with = name
        if kind != "generator":
            return function(**arguments)
        generator = function(**arguments)
        try:
            value = next(generator)
        except StopIteration:
            raise UsageError(f"the fixture {name!r} did not yield a value") from None
        self.add_finalizer(name, functools.partial(_finish, name, generator))
        return value

    def _call(
        self, name: str, definition: FixtureDef[Any], depths: dict[str, int]
    ) -> tuple[Callable[..., Any], dict[str, Any]]:
        inner = depths | {name: depths.get(name, 0) + 1}
        arguments = {
            argument: (
                EpisodeRequest(self, name, inner)
                if argument == "request"
                else self.value(argument, inner)
            )
            for argument in definition.argnames
        }
        function: Any = definition.func
        bound_to = getattr(function, "__self__", None)
        if bound_to is not None and isinstance(self.instance, type(bound_to)):
            # pytest bound it to an instance of its own; this episode has another.
            function = function.__func__.__get__(self.instance)
        return function, arguments

    async def _prepare_async(self, name: str, depths: dict[str, int]) -> None:
        """Makes the async fixtures that `name` needs, so that `value` finds them."""
        depth = depths.get(name, 0)
        defined = definitions(self.item, name)
        # There is none of `request`; of any other one `value` says that it is missing.
        if (name, depth) in self._values or depth >= len(defined):
            return
        definition = defined[-1 - depth]
        if definition._scope is not Scope.Function:
            return
        for argument in definition.argnames:
            await self._prepare_async(argument, depths | {name: depth + 1})
        kind = _kind(definition.func)
        if kind == "coroutine":
            function, arguments = self._call(name, definition, depths)
            self.busy_with = name
            value = await function(**arguments)
        elif kind == "async generator":
            function, arguments = self._call(name, definition, depths)
            generator = function(**arguments)
            self.busy_with = name
            value = await anext(generator)
            finish = functools.partial(_finish_async, name, generator)
            self.add_finalizer(name, finish)
        else:
            return
        self._keep(name, depth, value)

    def _wide(self, name: str, definition: FixtureDef[Any], depth: int) -> Any:
        if depth == 0 and name in self.item.fixturenames:
            # The item's set-up has made it, and refused what cannot be used.
            return self._wide_value(name, definition, depth)
        refuse_wide_async(self.item, [name], depth)
        with naming(self.item):
            refuse_in_episode(self.item, name, depth)
        try:
            return self._wide_value(name, definition, depth)
        finally:
            # Also where it raised: its plugin has no loop within that of an episode.
            refuse_wide_async(self.item, [name], depth)

    def _wide_value(self, name: str, definition: FixtureDef[Any], depth: int) -> Any:
        # pytest's own set-up is not made for threads: one at a time.
        with _wide_lock, naming(self.item):
            request = self.item._request
            if depth == 0:
                return request.getfixturevalue(name)
            callspec = getattr(self.item, "callspec", None)
            param, index = None, 0
            if callspec is not None and name in callspec.params:
                param, index = callspec.params[name], callspec.indices[name]
            scope = definition._scope
            subrequest = SubRequest(
                request, scope, param, index, definition, _ispytest=True
            )
            return definition.execute(subrequest)


@functools.lru_cache(maxsize=1024)
def _kind(function: Callable[..., Any]) -> str:
    if inspect.iscoroutinefunction(function):
        return "coroutine"
    if inspect.isasyncgenfunction(function):
        return "async generator"
    return "generator" if inspect.isgeneratorfunction(function) else "plain"


def _finish(name: str, generator: Any) -> None:
    try:
        next(generator)
    except StopIteration:
        return
    raise UsageError(f"the fixture {name!r} has more than one yield")


async def _finish_async(name: str, generator: Any) -> None:
    try:
        await anext(generator)
    except StopAsyncIteration:
        return
    raise UsageError(f"the fixture {name!r} has more than one yield")
