"""Entry point of the pytest plugin: options and registration, nothing else.

Plain `pytest` pays for this module and the options only; everything else is imported on
demand.
"""

from __future__ import annotations

import pytest

from pytest_agentgym.collect import options as collect_options
from pytest_agentgym.option_groups import add_groups
from pytest_agentgym.play import options as play_options
from pytest_agentgym.play.limits import cost_options
from pytest_agentgym.show import options as show_options
from pytest_agentgym.training import options as training_options

OPTIONS = (
    play_options,
    collect_options,
    cost_options,
    show_options,
    training_options,
)
"""Each has `add_options(groups)` and `check_options(config)`.

Their checked values are named tuples: plain `pytest` makes these classes, and a frozen
dataclass takes three times as long.
"""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the `--agentgym-*` options."""
    groups = add_groups(parser)
    groups.measuring.addoption(
        "--agentgym",
        action="store_true",
        default=False,
        help="run scenarios and report the agent's tool reliability",
    )
    for options in OPTIONS:
        options.add_options(groups)
    parser.addini(
        play_options.INI_STATE_CHECK, "off: as with --agentgym-state-check off"
    )
    parser.addini(
        show_options.INI_K, "which k of pass^k and pass@k to report, such as 1,3,5"
    )


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Declares the hooks of `pytest_agentgym.hookspecs`."""
    from pytest_agentgym import hookspecs

    pluginmanager.add_hookspecs(hookspecs)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config, args: list[str]) -> None:
    """Adds the scenario pack that is asked for by name."""
    if early_config.known_args_namespace.agentgym:
        from pytest_agentgym.root_folder import check_root

        check_root(early_config)
    if early_config.known_args_namespace.agentgym_scenario:
        from pytest_agentgym.collect.named_pack import add_pack

        add_pack(early_config, args)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Registers the parts of the plugin that this run needs."""
    if config.getoption("agentgym"):
        for options in OPTIONS:
            options.check_options(config)
        _register(config)
        return
    if config.getoption("agentgym_train"):
        raise pytest.UsageError(
            "--train trains the agent of agentgym's scenarios: write pytest --agentgym "
            "--train"
        )
    from pytest_agentgym.collect.not_run import NotRun

    config.pluginmanager.register(NotRun(), "agentgym-not-run")


def _register(config: pytest.Config) -> None:
    """Registers what this process needs: xdist's workers play, the main one reports."""
    from pytest_agentgym.collect import collection, fixtures, soft_assert
    from pytest_agentgym.error_hook import ErrorHook
    from pytest_agentgym.play import (
        apart,
        episode_report,
        episodes,
        keeping_secrets,
        process_settings,
    )
    from pytest_agentgym.play.run_context import join_run
    from pytest_agentgym.play.termination import TERMINATION, Termination
    from pytest_agentgym.show.origin import note_origin

    process_settings.prepare_process(config)
    join_run(config)
    for module in (
        *(apart, collection, episodes, fixtures),
        *(episode_report, keeping_secrets, process_settings),
    ):
        config.pluginmanager.register(module, module.__name__)
    config.pluginmanager.register(ErrorHook(config), "agentgym-error-hook")
    note_origin(config)
    config.stash[TERMINATION] = termination = Termination()
    config.pluginmanager.register(termination, "agentgym-termination")
    soft_assert.install(config)
    config.add_cleanup(soft_assert.uninstall)
    main = not hasattr(config, "workerinput")
    otel = config.stash[show_options.OTEL_OPTIONS]
    if main and otel is not None:
        from pytest_agentgym.show.otel import register_otel

        register_otel(config, otel)
    if config.getoption("agentgym_plan"):
        from pytest_agentgym.show.planning import Planner

        config.pluginmanager.register(Planner(config), "agentgym-planner")
        return
    if main and config.getoption("xmlpath", None):
        from pytest_agentgym.show.junit import JUnitVerdicts

        config.pluginmanager.register(JUnitVerdicts(config), "agentgym-junit")
    if config.getoption("agentgym_train"):
        from pytest_agentgym.training import register_training

        register_training(config)
    elif main:
        from pytest_agentgym.show.measurement_reporter import register_measurement
        from pytest_agentgym.training import register_elsewhere

        register_measurement(config)
        register_elsewhere(config)
