"""The gate's decision and the verdicts in JUnit's file.

A verdict is corrected for the scenarios that it is given together with, so it is known
when all of them are over. The other properties come with a scenario's own report.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import SubElement

import pytest
from _pytest.junitxml import xml_key

from agentgym.runs.lines import plain
from pytest_agentgym.play.scenario_result import PREFIX

if TYPE_CHECKING:
    from _pytest.junitxml import _NodeReporter

    from agentgym.runs.gate import GateDecision


class JUnitVerdicts:
    """Main process: adds what `summary.json` says to the test cases of the scenarios.

    Args:
        config: Of a run whose `--junitxml` names a file.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._cases: dict[str, _NodeReporter] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: Any) -> None:
        """Notes the test case of a scenario, before pytest closes it."""
        if getattr(report, "agentgym", None) is not None:
            xml = self._config.stash[xml_key]
            self._cases[report.nodeid] = xml.node_reporter(report)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """Adds the verdicts, before pytest writes the file."""
        self._drop_nameless()
        self._fail_late()
        reporter = self._config.pluginmanager.get_plugin("agentgym-reporter")
        if reporter is None:
            return
        summary = reporter.summary
        self._add_decision(summary.decision)
        for scenario in summary.to_json()["scenarios"]:
            verdict = scenario["reliability"]["verdict"]
            case = self._cases.get(scenario["name"])
            if case is not None and verdict is not None:
                # Of a closed case pytest keeps the element, which has our properties.
                for properties in case.to_xml().iter("properties"):
                    name = f"{PREFIX}verdict"
                    SubElement(properties, "property", name=name, value=verdict)

    def _fail_late(self) -> None:
        """Gives failures to closed cases that only the gate has failed."""
        late = self._config.pluginmanager.get_plugin("agentgym-late-failures")
        counted = self._config.stash[xml_key].stats
        for nodeid, text in ({} if late is None else late.failed).items():
            case = self._cases.get(nodeid)
            if case is not None:
                element = SubElement(case.to_xml(), "failure", message=plain(text))
                element.text = plain(text)
                counted["passed"] -= 1
                counted["failure"] += 1

    def _drop_nameless(self) -> None:
        """Drops what pytest begins for episodes of an item that it has no report of.

        In a training the workers send episodes, and the main process reports items.
        """
        cases = self._config.stash[xml_key].node_reporters_ordered
        cases[:] = [case for case in cases if case.to_xml().get("name")]

    def _add_decision(self, decision: GateDecision) -> None:
        """The run's gate is a property of the whole suite."""
        xml = self._config.stash[xml_key]
        xml.add_global_property(f"{PREFIX}gate", plain(decision.sentence))
        xml.add_global_property(f"{PREFIX}exit_code", str(int(decision.exit_code)))
        for reason in decision.of_scenarios:
            xml.add_global_property(f"{PREFIX}reason", plain(str(reason)))
