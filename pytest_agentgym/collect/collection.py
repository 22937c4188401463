"""Turns scenario functions and classes into pytest items."""

from __future__ import annotations

import inspect
import unittest
from collections.abc import Callable, Generator
from typing import Any

import pytest
from _pytest.fixtures import FixtureDef, SubRequest
from _pytest.scope import Scope

from agentgym.errors import UsageError
from agentgym.scenarios.cases import argument_names
from agentgym.scenarios.checks import CheckSpec, specs_of
from agentgym.scenarios.lint import advice, rewards_idleness
from agentgym.scenarios.scenario import ScenarioSettings, is_scenario_class, settings_of
from pytest_agentgym.collect import fixtures
from pytest_agentgym.collect.fixture_definitions import definitions, missing_fixture
from pytest_agentgym.collect.isolation import CASE_ASKED
from pytest_agentgym.collect.process_wide import CAPTURING, PROCESS_WIDE
from pytest_agentgym.collect.simulators import check_simulators
from pytest_agentgym.collect.wide_async import (
    naming,
    note_asked,
    refuse_unmade,
    refuse_wide_async,
)


class ScenarioFailed(Exception):
    """The scenario did not reach its threshold, or cannot be judged."""


class RewardsIdleness(pytest.PytestWarning):
    """A check holds, and counts, when the agent does nothing."""


class ScenarioClass(pytest.Class):
    """Collects the one item of a `Scenario` subclass: its `play` method."""


class ScenarioItem(pytest.Function):
    """One scenario and parameter set; its episodes run inside it.

    Attributes:
        settings: What the scenario says about how it is run.
        specs: Its checks.
        play_one: Plays the one episode that this process is for; None where it plays
            all of them.
    """

    settings: ScenarioSettings
    specs: tuple[CheckSpec, ...]
    play_one: Callable[[], None] | None = None

    @classmethod
    def from_function(
        cls, function: pytest.Function, settings: ScenarioSettings
    ) -> ScenarioItem:
        """The scenario item for an item that pytest generated.

        Args:
            function: The generated item.
            settings: What `@scenario`, or the class, says about how it is run.

        Raises:
            CollectError: Its asserts cannot be read as checks; says what to write.
        """
        item: ScenarioItem = cls.from_parent(
            function.parent,
            name=function.name,
            callspec=getattr(function, "callspec", None),
            fixtureinfo=function._fixtureinfo,
            keywords=dict.fromkeys(
                [function.callspec.id] if hasattr(function, "callspec") else [], True
            ),
            originalname=function.originalname,
        )
        item.settings = settings
        specs = specs_of(item.function)
        if specs is None:
            path, line, _ = item.reportinfo()
            raise pytest.Collector.CollectError(
                f"{path}:{(line or 0) + 1}: the asserts of {item.originalname} are no "
                "checks, because the import of agentgym cannot be seen in this file; "
                "write `from agentgym import scenario` (or Scenario) in it"
            )
        item.specs = specs
        return item

    @property
    def asynchronous(self) -> bool:
        """Whether the scenario is an `async def`."""
        return inspect.iscoroutinefunction(self.function)

    @property
    def isolated(self) -> bool:
        """Whether each of its episodes has a process of its own."""
        return self.settings.isolation is not None

    @property
    def in_loop(self) -> bool:
        """Whether an event loop of the process that runs it plays its episodes."""
        return self.asynchronous and not self.isolated

    @property
    def one_case(self) -> bool:
        """Whether nothing that an episode was made of so far could tell its case."""
        generated = self.settings.cases is None
        return generated and not self.stash.get(CASE_ASKED, False)

    @property
    def one_at_a_time(self) -> bool:
        """Whether it uses fixtures that change a process which has other episodes."""
        return not self.isolated and not PROCESS_WIDE.isdisjoint(self.fixturenames)

    def get_closest_marker(self, name: str, default: Any = None) -> Any:
        """The nearest mark, but not anyio's.

        anyio puts an item of its own, which calls the function once, in the place of
        one that has its mark.

        Args:
            name: Of the mark.
            default: What is returned where there is none.
        """
        if name == "anyio":
            return default
        return super().get_closest_marker(name, default)

    @property
    def takes_output(self) -> bool:
        """Whether it asks for what is printed, which is then no episode's output."""
        return not CAPTURING.isdisjoint(self.fixturenames)

    def setup(self) -> None:
        """Sets up the wider-scoped fixtures; the others are made per episode.

        Those of isolated episodes are made in their processes, too.
        """
        self._check_fixtures()
        refuse_wide_async(self, self.fixturenames)
        check_simulators(self, self.settings)
        if self.isolated and self.play_one is None:
            return
        with naming(self):
            for name in self.fixturenames:
                defined = definitions(self, name)
                if defined and defined[-1]._scope is not Scope.Function:
                    self._request.getfixturevalue(name)
        refuse_wide_async(self, self.fixturenames)

    def _check_fixtures(self) -> None:
        """Checks, before anything is started, that the scenario's arguments exist.

        Raises:
            UsageError: Names the first one that does not.
        """
        drawn = argument_names(self.settings.cases)
        for name in self._fixtureinfo.argnames:
            if name not in drawn and name != "request" and not definitions(self, name):
                raise UsageError(missing_fixture(self, name))
        if "agent" not in self.fixturenames or definitions(self, "tools"):
            return
        if definitions(self, "agent")[-1].func.__module__ == fixtures.__name__:
            raise UsageError(
                f"{self.nodeid}: there is no `agent` fixture; write one in conftest.py "
                "that returns your agent, or a `tools` fixture for the shipped "
                "LangChain agent"
            )


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_pycollect_makeitem(
    collector: pytest.Module | pytest.Class, name: str, obj: object
) -> Generator[None, Any, Any]:
    """Replaces the items of scenario functions; other plugins have had their say."""
    result = yield
    if isinstance(obj, type) and issubclass(obj, unittest.TestCase):
        _refuse_test_case(f"{collector.nodeid}::{name}", obj)
    if isinstance(collector, ScenarioClass):
        if name != "play":
            return []
        settings = settings_of(collector.obj)
    elif is_scenario_class(obj) and not inspect.isabstract(obj):
        _refuse_tests(f"{collector.nodeid}::{name}", obj)
        return ScenarioClass.from_parent(collector, name=name, obj=obj)
    else:
        settings = _settings(obj)
    if settings is None:
        return result
    if not isinstance(result, list):
        result = list(collector._genfunctions(name, obj))
    items = [
        ScenarioItem.from_function(item, settings)
        for item in result
        if isinstance(item, pytest.Function) and not _for_trio(item)
    ]
    if items:
        for spec in rewards_idleness(items[0].specs):
            collector.warn(RewardsIdleness(advice(spec)))
    return items


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Shows a user's mistake in one sentence instead of an import's traceback."""
    report = yield
    excinfo = getattr(getattr(report, "call", None), "excinfo", None)
    if excinfo is not None and isinstance(excinfo.value, UsageError):
        report.longrepr = str(excinfo.value)
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup(fixturedef: FixtureDef[Any], request: SubRequest) -> None:
    """Refuses an async fixture of a wider scope that nothing can await."""
    note_asked(fixturedef, request)
    item = request._pyfuncitem
    if isinstance(item, ScenarioItem):
        try:
            refuse_unmade(item, fixturedef)
        except UsageError:
            # pytest has begun with it: the next scenario met an AssertionError.
            fixturedef._finalizers.clear()
            raise


def _for_trio(item: pytest.Function) -> bool:
    """Whether anyio made it besides that for asyncio, on which scenarios play."""
    callspec = getattr(item, "callspec", None)
    backend = None if callspec is None else callspec.params.get("anyio_backend")
    return (backend[0] if isinstance(backend, tuple) else backend) == "trio"


def _refuse_tests(nodeid: str, scenario: object) -> None:
    for name, value in vars(scenario).items():
        if name.startswith("test") and inspect.isroutine(value):
            raise UsageError(
                f"{nodeid}.{name} is not played: the episode of a Scenario is its "
                "method play(self, agent, environment); rename it, or leave Scenario "
                "out and put @scenario before the method"
            )


def _refuse_test_case(nodeid: str, case: type[unittest.TestCase]) -> None:
    """Refuses what unittest would run once, without an agent."""
    methods = [n for n in dir(case) if _settings(getattr(case, n, None)) is not None]
    for name in methods or (["play"] if is_scenario_class(case) else []):
        raise UsageError(
            f"{nodeid}.{name} is not played: unittest runs the methods of a "
            "unittest.TestCase, and they can have no fixtures; write the scenario as "
            "a function, or in a class without that base, with fixtures in place of "
            "setUp()"
        )


def _settings(obj: object) -> ScenarioSettings | None:
    return settings_of(obj) if inspect.isroutine(obj) else None
