"""The run: what all of its processes know and share."""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from agentgym.errors import HarnessError, UsageError
from agentgym.playing.spec import Limits
from agentgym.runs.lines import harmless_lines
from agentgym.runs.prices import Prices
from agentgym.scenarios.cases import CaseSource
from pytest_agentgym.collect.collection import ScenarioFailed, ScenarioItem
from pytest_agentgym.collect.options import MODEL_OPTIONS
from pytest_agentgym.collect.policy import POLICY, RunPolicy
from pytest_agentgym.collect.simulators import SIMULATORS, run_simulators
from pytest_agentgym.play.limits.cost_options import COST_OPTIONS
from pytest_agentgym.play.limits.early_end import LEFT_OUT, EarlyEnd
from pytest_agentgym.play.options import PLAY_OPTIONS
from pytest_agentgym.play.shared_folder import STOP_FILE, SharedFolder

SELECTED_FILE = "selected"
MANY_SCENARIOS = 20
"""Of more, none has a line of its own while the run goes on, unless `-v` is given."""
_LETTERS = {
    "passed": ".",
    "failed": "F",
    "skipped": "s",
    "xfailed": "x",
    "xpassed": "X",
}
_EPISODES_LOG = "Captured log call"


class RunContext:
    """What every process of a run knows.

    Args:
        config: Whose options are checked.
        folder: Temporary folder that the processes of the run share.

    Attributes:
        options: How scenarios are played.
        folder: The temporary folder.
        early_end: Whether further episodes are started.
        prices: What models cost.
        planned: Episodes of all selected scenarios.
        gates: How many scenarios they are of.
    """

    def __init__(self, config: pytest.Config, folder: Path) -> None:
        self.options = config.stash[PLAY_OPTIONS]
        self.folder = folder
        self._verbosity = config.get_verbosity()
        worker = hasattr(config, "workerinput")
        self._parent = os.getppid() if worker else None
        self.early_end = EarlyEnd(folder)
        self.prices = Prices(config.stash[COST_OPTIONS].prices)
        self.planned = 0
        self.gates = 1
        self._places: dict[str, int] = {}
        self._collected: dict[str, int] = {}
        self._selected: list[str] = []

    def episodes_of(self, item: ScenarioItem) -> int:
        """How many episodes the scenario gets."""
        chosen = len(self.options.cases)
        if chosen:
            return chosen * (self.options.episodes or 1)
        return self.options.episodes or item.settings.episodes

    def threshold_of(self, item: ScenarioItem) -> float:
        """The reliability that the scenario must reach."""
        own = item.settings.threshold
        return self.options.threshold if own is None else own

    def limits_of(self, item: ScenarioItem) -> Limits:
        """What one episode of the scenario may use up."""
        return Limits(
            timeout=item.settings.timeout or self.options.timeout,
            max_tool_calls=self.options.max_tool_calls,
            infra_retries=self.options.infra_retries,
            state_check=self.options.state_check,
        )

    def check_stop(self) -> None:
        """Stops this worker when the main process was interrupted, or is gone.

        xdist waits for its workers at the end of a run; a long item would hold it up.
        Where nobody is left to report to, each further episode may still cost money.
        """
        if (self.folder / STOP_FILE).exists():
            pytest.exit("the run was interrupted")
        if self._parent is not None and os.getppid() != self._parent:
            pytest.exit("the main process is gone")

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Skips the scenarios that the end of the run leaves out."""
        if isinstance(item, ScenarioItem) and self.early_end.begun:
            self.early_end.skip(item, played=0, planned=self.episodes_of(item))

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        """Notes the order of the files: plugins may shuffle what is played."""
        self._collected.setdefault(item.nodeid, len(self._collected))

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Counts what is going to be played."""
        items = [item for item in session.items if isinstance(item, ScenarioItem)]
        self.planned = sum(map(self.episodes_of, items))
        self.gates = max(1, len(items))
        self._places = {item.nodeid: place for place, item in enumerate(items)}
        if hasattr(session.config, "workerinput"):
            self._share_selected()

    def _share_selected(self) -> None:
        """Under xdist only workers collect, all of them the same scenarios."""
        partial = self.folder / f"{SELECTED_FILE}.{os.getpid()}"
        with suppress(OSError):
            partial.write_text(json.dumps(list(self._places)), encoding="utf-8")
            partial.replace(self.folder / SELECTED_FILE)

    @property
    def selected(self) -> list[str]:
        """Node ids of the scenarios that are to be played."""
        if self._places:
            return list(self._places)
        if not self._selected:
            with suppress(OSError):
                text = (self.folder / SELECTED_FILE).read_text(encoding="utf-8")
                self._selected = json.loads(text)
        return self._selected

    @property
    def many(self) -> bool:
        """Whether there are too many scenarios for a line each."""
        return self._verbosity == 0 and len(self.selected) > MANY_SCENARIOS

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: Any) -> tuple[str, str, str] | None:
        """Gives a scenario that has no line of its own pytest's letter."""
        of_call = getattr(report, "when", None) == "call"
        if not (of_call and getattr(report, "agentgym", None) and self.many):
            return None
        outcome: str = report.outcome
        if hasattr(report, "wasxfail"):
            outcome = "xfailed" if outcome == "skipped" else "xpassed"
        return outcome, _LETTERS[outcome], outcome.upper()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Marks the reports of scenarios, and explains them without a traceback."""
        report = yield
        if isinstance(item, ScenarioItem):
            error = None if call.excinfo is None else call.excinfo.value
            if isinstance(error, ScenarioFailed | UsageError | HarnessError):
                report.longrepr = harmless_lines(str(error))
            # Each episode has its own part of it; together they have no bound.
            report.sections = [s for s in report.sections if s[0] != _EPISODES_LOG]
            # A debugger gets the failure of an episode as the item's own.
            debugged = call.when == "call" and debugging(item.config)
            report.agentgym = {  # type: ignore[attr-defined]
                "threshold": self.threshold_of(item),
                "usage_error": str(error) if isinstance(error, UsageError) else None,
                "error": None if debugged else _outside(error),
                "below": debugged or isinstance(error, ScenarioFailed),
                "left_out": item.stash.get(LEFT_OUT, False),
                "planned": self.episodes_of(item),
                "collected": self._collected.get(item.nodeid, len(self._collected)),
                "place": self._places.get(item.nodeid),
                "scenarios": self.gates,
            }
        return report


def debugging(config: pytest.Config) -> bool:
    """Whether a debugger is to ask questions in the thread of an episode."""
    # Without a default the options are errors under `-p no:debugging`.
    return bool(config.getoption("usepdb", False) or config.getoption("trace", False))


def captures(config: pytest.Config) -> bool:
    """Whether output is captured: neither `-s` nor `-p no:capture` is asked for."""
    return bool(config.getoption("capture", "no") != "no")


def _outside(error: BaseException | None) -> str | None:
    """What ended a scenario that was not its episodes' doing."""
    if error is None or isinstance(error, ScenarioFailed | UsageError):
        return None
    return "; ".join(dict.fromkeys(_first_lines(error)))


def _first_lines(error: BaseException) -> Iterator[str]:
    """The error, or those that several tear-downs raised, each in one line."""
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _first_lines(each)
        return
    first = str(error).strip().partition("\n")[0]
    kind = type(error).__name__
    yield f"{kind}: {first}" if first else kind


class _Preparation:
    """Main process: has a model of the hub at hand before xdist's workers start."""

    def __init__(
        self, config: pytest.Config, policy: RunPolicy, shared: SharedFolder
    ) -> None:
        self._policy = policy
        self._shared = shared
        # A training finds its own.
        others = ("collectonly", "agentgym_train", "agentgym_plan")
        self._needed = not any(config.getoption(name) for name in others)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Prepares the policy; not earlier, since nobody could say so."""
        if not self._needed:
            return
        try:
            self._shared.for_workers["hub_model"] = self._policy.prepare()
        except UsageError as error:
            raise pytest.UsageError(str(error)) from None


RUN = pytest.StashKey[RunContext]()


def join_run(config: pytest.Config) -> None:
    """Keeps what this process knows of the run: the main one begins it, workers join.

    Raises:
        pytest.UsageError: A judge or a simulated user is named wrongly.
    """
    register = config.pluginmanager.register
    given: Any = getattr(config, "workerinput", {}).get("agentgym")
    shared = SharedFolder(config) if given is None else None
    if shared is not None:
        register(shared, "agentgym-folder")
    main = given if shared is None else shared.for_workers
    folder = Path(main["folder"])
    config.stash[RUN] = run = RunContext(config, folder)
    register(run, "agentgym-run")
    config.stash[POLICY] = policy = RunPolicy(
        config.stash[MODEL_OPTIONS].policy,
        folder,
        main["pid"],
        _speaker(config),
        config.rootpath,
        config.stash[MODEL_OPTIONS].engine,
        main.get("hub_model"),
        config.stash[MODEL_OPTIONS].sampler,
        config.stash[MODEL_OPTIONS].template,
    )
    if shared is not None:
        register(_Preparation(config, policy, shared), "agentgym-preparation")
    config.stash[SIMULATORS] = simulators = run_simulators(config)
    config.add_cleanup(simulators.close)


def case_source(item: ScenarioItem, seed: int | None = None) -> CaseSource:
    """The cases of a scenario.

    Args:
        item: The scenario.
        seed: Draws them; by default this run's.
    """
    only = item.settings.split
    return CaseSource(
        item.settings.cases,
        seed=item.config.stash[RUN].options.seed if seed is None else seed,
        scenario=item.name,
        only=None if only == "auto" else only,
    )


def _speaker(config: pytest.Config) -> Any:
    def say(line: str) -> None:
        # An xdist worker has none: what it writes would be its item's output.
        reporter = config.pluginmanager.get_plugin("agentgym-reporter")
        if reporter is not None:
            reporter.say(line)

    return say
