"""Entry point of the pytest plugin: options and registration, nothing else.

Plain `pytest` pays for this module only; everything else is imported on demand.
"""

from __future__ import annotations

import pytest

from pytest_agentgym.options.measure import add_options


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
        if config.getoption("agentgym_train"):
            raise pytest.UsageError(
                "--train trains the agent of agentgym's scenarios: write pytest "
                "--agentgym --train"
            )
        from pytest_agentgym.collect.not_run import NotRun

        config.pluginmanager.register(NotRun(), "agentgym-not-run")
        return
    _start(config)


def _start(config: pytest.Config) -> None:
    """Registers what this process needs: xdist's workers play, the main one reports."""
    import os
    import warnings
    from pathlib import Path

    from pytest_agentgym.collect import collection, fixtures, soft_assert
    from pytest_agentgym.play import episode_report, episodes
    from pytest_agentgym.play.run_context import RUN, Run, SharedFolder
    from pytest_agentgym.show.reporter import Reporter

    # CrewAI's telemetry holds up the end of a process until its server answers.
    os.environ.setdefault("CREWAI_DISABLE_TELEMETRY", "true")
    # Few agents close their clients. Under `-W error` the garbage collector's complaint
    # at the end would fail a run whose gate is met.
    unclosed = "ignore:unclosed:ResourceWarning"
    config.addinivalue_line("filterwarnings", unclosed)
    warnings.filterwarnings("ignore", "unclosed", ResourceWarning)
    register = config.pluginmanager.register
    worker = getattr(config, "workerinput", {}).get("agentgym")
    if worker is None:
        shared = SharedFolder()
        register(shared, "agentgym-folder")
        run = Run(config, shared.path, os.getpid())
    else:
        run = Run(config, Path(worker["folder"]), worker["pid"])
    config.stash[RUN] = run
    register(run, "agentgym-run")
    for module in (collection, episodes, fixtures, episode_report):
        register(module, module.__name__)
    soft_assert.install(config)
    config.add_cleanup(soft_assert.uninstall)
    if worker is None and config.getoption("agentgym_otel") is not None:
        from pytest_agentgym.show.otel import OtelExport

        def run_id() -> str:
            reporter = config.pluginmanager.get_plugin("agentgym-reporter")
            store = getattr(reporter, "store", None)
            return "" if store is None else str(store.id)

        register(OtelExport(config, run_id), "agentgym-otel")
    elif config.getoption("agentgym_otel_content") and worker is None:
        raise pytest.UsageError(
            "--agentgym-otel-content belongs to an export: add --agentgym-otel"
        )
    if run.options.plan:
        from pytest_agentgym.show.planning import Planner

        register(Planner(config), "agentgym-planner")
        return
    if worker is None and config.getoption("xmlpath", None):
        from pytest_agentgym.show.junit import JUnitVerdicts

        register(JUnitVerdicts(config), "agentgym-junit")
    if run.options.train is not None:
        from pytest_agentgym.training import register_training

        register_training(config, run)
    elif worker is None:
        reporter = Reporter(config)
        register(reporter, "agentgym-reporter")
        limits = run.options.cost
        if limits.max_usd is not None or limits.max_tokens is not None:
            from pytest_agentgym.play.budget import Budget

            budget = Budget(
                limits,
                lambda: reporter.summary.spent,
                reporter.stop,
                reporter.usage_errors.append,
            )
            register(budget, "agentgym-budget")
