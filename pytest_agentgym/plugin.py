"""Entry point of the pytest plugin: options and registration, nothing else.

Plain `pytest` pays for this module only; everything else is imported on demand.
"""

from __future__ import annotations

import pytest

from pytest_agentgym.options import add_options


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the `--agentgym-*` options."""
    add_options(parser)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Declares the hooks of `pytest_agentgym.hookspecs`."""
    from pytest_agentgym import hookspecs

    pluginmanager.add_hookspecs(hookspecs)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Registers the parts of the plugin that this run needs."""
    if not config.getoption("agentgym"):
        from pytest_agentgym.not_run import NotRun

        config.pluginmanager.register(NotRun(), "agentgym-not-run")
        return
    from pytest_agentgym import collection, fixtures, measure, reports

    for module in (collection, fixtures, reports):
        config.pluginmanager.register(module, module.__name__)
    measure.start(config)
