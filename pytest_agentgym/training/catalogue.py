"""What a runner has collected: each scenario set up, with what training must know."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from _pytest.skipping import xfailed_key

from agentgym.errors import UsageError
from agentgym.scenarios.components import TRAINABLE_COMPONENTS, check_mapping
from agentgym.scenarios.scenario import Scenario
from agentgym.training.job.task import ScenarioInfo
from pytest_agentgym.collect.collection import ScenarioItem
from pytest_agentgym.play.run_context import RUN, case_source
from pytest_agentgym.training.shared_files import Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueEntry:
    """One collected scenario.

    Attributes:
        setup: The serialized report of its set-up.
        threshold: What it must reach by its own setting, if it has one.
        timeout: Seconds that one attempt at an episode may take.
        info: What training knows of it; None if it is skipped.
    """

    setup: dict[str, Any]
    threshold: float | None
    timeout: float
    info: ScenarioInfo | None

    def to_json(self) -> dict[str, Any]:
        """The form in the catalogue."""
        return {
            "setup": self.setup,
            "threshold": self.threshold,
            "timeout": self.timeout,
            "info": None if self.info is None else self.info.to_json(),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> CatalogueEntry:
        """The entry that `to_json` described."""
        info = data["info"]
        known = None if info is None else ScenarioInfo.from_json(info)
        return cls(**{**data, "info": known})


class CannotSetUp(Exception):
    """A scenario cannot be played; `failure` says why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.text)
        self.failure = failure


def set_up(items: Sequence[ScenarioItem]) -> list[CatalogueEntry]:
    """Sets all scenarios up, as pytest does before a test.

    Raises:
        CannotSetUp: The first one that could not be.
    """
    return [_entry(item) for item in items]


def _entry(item: ScenarioItem) -> CatalogueEntry:
    call = pytest.CallInfo.from_call(
        lambda: item.ihook.pytest_runtest_setup(item=item),
        when="setup",
        reraise=(pytest.exit.Exception, KeyboardInterrupt),
    )
    report = item.ihook.pytest_runtest_makereport(item=item, call=call)
    if report.passed and is_expected_to_fail(item):
        path, line, _ = item.reportinfo()
        reason = "Skipped: it is expected to fail, so it is not trained"
        report.outcome = "skipped"
        report.longrepr = (str(path), (line or 0) + 1, reason)
    info = None
    if report.passed:
        info = _info(item)
    setup = serialized(item, report)
    if report.failed:
        error = None if call.excinfo is None else call.excinfo.value
        kind = "usage" if isinstance(error, UsageError) else "setup"
        text = str(error) if kind == "usage" else report.longreprtext
        raise CannotSetUp(
            Failure(kind=kind, text=text, report=setup)  # type: ignore[arg-type]
        )
    return CatalogueEntry(
        setup=setup,
        threshold=item.settings.threshold,
        timeout=item.settings.timeout or item.config.stash[RUN].options.timeout,
        info=info,
    )


def is_expected_to_fail(item: ScenarioItem) -> bool:
    """Whether a scenario that was set up is measured, and not trained."""
    expected = item.stash.get(xfailed_key, None)
    return expected is not None and not item.config.getoption("runxfail", False)


def _info(item: ScenarioItem) -> ScenarioInfo:
    cases = case_source(item)
    return ScenarioInfo(
        scenario=item.nodeid,
        episodes=item.config.stash[RUN].episodes_of(item),
        train_cases=cases.count("train"),
        held_out_cases=cases.count("held_out"),
        components=_components(item),
        source=_digest(item.path),
    )


def _components(item: ScenarioItem) -> dict[str, bool]:
    """What `define_trainable_components()` says, checked."""
    cls = item.cls
    if cls is None or not issubclass(cls, Scenario):
        return {**TRAINABLE_COMPONENTS, **(item.settings.trainable_components or {})}
    name = f"{cls.__name__}.define_trainable_components()"
    try:
        defined = cls().define_trainable_components()
    except Exception as exc:
        raise _mistake(f"{name} raised {type(exc).__name__}: {exc}") from exc
    try:
        return {**TRAINABLE_COMPONENTS, **check_mapping(defined, f"{name} returned ")}
    except UsageError as exc:
        raise _mistake(str(exc)) from None


def _mistake(text: str) -> CannotSetUp:
    return CannotSetUp(Failure(kind="usage", text=text))


@lru_cache(maxsize=256)
def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def serialized(item: pytest.Item, report: pytest.TestReport) -> dict[str, Any]:
    """A report as JSON has it: other plugins may have put anything in.

    Args:
        item: The scenario.
        report: Of one of its phases.
    """
    data = item.config.hook.pytest_report_to_serializable(
        config=item.config, report=report
    )
    plain: dict[str, Any] = json.loads(json.dumps(data, default=repr))
    return plain


def deserialized(config: pytest.Config, data: dict[str, Any]) -> pytest.TestReport:
    """The report that `serialized` described; JSON knows no tuples.

    Args:
        config: Of the process that shows it.
        data: What `serialized` returned.
    """
    report: pytest.TestReport = config.hook.pytest_report_from_serializable(
        config=config, data=data
    )
    report.location = tuple(report.location)  # type: ignore[assignment]
    longrepr: Any = report.longrepr
    if isinstance(longrepr, list):
        report.longrepr = tuple(longrepr)
    return report
