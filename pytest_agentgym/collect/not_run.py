"""Without `--agentgym`: scenarios are left out, and the end of the run says so."""

from __future__ import annotations

import sys
from collections.abc import Generator
from typing import Any

import pytest

_COUNT = "agentgym_not_run"
_SCENARIOS = "agentgym.scenarios.scenario"


class NotRun:
    """Drops the scenarios from collection and counts them."""

    def __init__(self) -> None:
        self.count = 0

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_pycollect_makeitem(
        self, name: str, obj: object
    ) -> Generator[None, Any, Any]:
        """Drops scenario functions and classes."""
        result = yield
        if not _is_scenario(obj):
            return result
        self.count += len(result) if isinstance(result, list) else 1
        return []

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Drops those that another collector has made, as of a unittest.TestCase."""
        if _SCENARIOS not in sys.modules:
            return
        kept = [item for item in items if not _is_scenario(getattr(item, "obj", None))]
        self.count += len(items) - len(kept)
        items[:] = kept

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Under xdist: reports the number to the main process."""
        output = getattr(session.config, "workeroutput", None)
        if output is not None:
            output[_COUNT] = self.count

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Under xdist: every worker has collected the same scenarios."""
        output = getattr(node, "workeroutput", {})
        self.count = max(self.count, output.get(_COUNT, 0))

    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter
    ) -> None:
        """Says how to run them."""
        if self.count:
            noun = "scenario" if self.count == 1 else "scenarios"
            terminalreporter.write_line(
                f"agentgym: {self.count} {noun} not run; add --agentgym to run them"
            )


def _is_scenario(obj: object) -> bool:
    # A scenario's module has imported agentgym.scenarios: plain runs never load it.
    module = sys.modules.get(_SCENARIOS)
    if module is None:
        return False
    if isinstance(obj, type):
        return bool(module.is_scenario_class(obj))
    return callable(obj) and module.settings_of(obj) is not None
