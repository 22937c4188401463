"""`pytest --agentgym --train`: all of the plugin that uses `agentgym.training`.

The main process has the hub and the trainer (`hub_process`); the single process, or
each xdist worker, claims rollouts and plays them (`runner`).
"""

from __future__ import annotations

import os
from typing import Any

import pytest


def register_elsewhere(config: pytest.Config) -> None:
    """Registers what has a measurement's episodes played elsewhere, if that is asked.

    Args:
        config: Of the main process, whose reporter is registered.

    Raises:
        pytest.UsageError: It cannot be done here.
    """
    from pytest_agentgym.training.options import LISTEN

    listen = config.stash[LISTEN]
    if listen is None:
        return
    from agentgym.errors import UsageError
    from pytest_agentgym.training.setting_up import check_installed

    try:
        check_installed("--agentgym-listen")
    except UsageError as exc:
        raise pytest.UsageError(str(exc)) from None
    from agentgym.training.hub.gateway import Listening
    from pytest_agentgym.training.elsewhere.measuring_run import MeasuringRun

    host, port, key = listen
    reporter: Any = config.pluginmanager.get_plugin("agentgym-reporter")
    at = Listening(host=host, port=port, key=key)
    run = MeasuringRun(config, at, reporter.say)
    config.pluginmanager.register(run, "agentgym-elsewhere")


def register_training(config: pytest.Config) -> None:
    """Registers what this process of a training needs.

    Raises:
        pytest.UsageError: Training is impossible; says why and what to do.
    """
    # Not above: plain `pytest` imports this package for its options.
    from agentgym.errors import UsageError
    from pytest_agentgym.training.setting_up import Start, check_installed

    register = config.pluginmanager.register
    elsewhere = config.getoption("agentgym_gateway")
    try:
        check_installed()
        main = not hasattr(config, "workerinput") and elsewhere is None
        start = Start.read(config) if main else None
    except UsageError as exc:
        raise pytest.UsageError(str(exc)) from None

    from pytest_agentgym.play.run_context import RUN
    from pytest_agentgym.show.live.screen import Screen
    from pytest_agentgym.show.reporter import register_reporter
    from pytest_agentgym.show.run_writer import RunWriter
    from pytest_agentgym.training.hub_process import MainProcess
    from pytest_agentgym.training.reporter import TrainingReporter
    from pytest_agentgym.training.runner import Runner
    from pytest_agentgym.training.shared_files import SharedFiles

    files = SharedFiles(config.stash[RUN].folder)
    runner = Runner(config, files, "" if elsewhere is None else os.uname().nodename)
    register(runner, "agentgym-runner")
    if elsewhere is not None:
        from pytest_agentgym.training.elsewhere.remote_run import RemoteRun

        register(RemoteRun(config, files, runner, elsewhere), "agentgym-remote-run")
        return
    if start is None:
        return
    # Threads of torch that spin while they wait take the cores from the policy server,
    # the agents and each other: an update then takes 5 times as long. It is read when
    # torch is loaded, here and in the policy server.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    writer, training = RunWriter(config), start.config
    reporter = TrainingReporter(
        config,
        Screen(config),
        writer,
        training.target,
        training.minutes,
        certified=start.certified,
    )
    register_reporter(config, reporter, writer)
    register(MainProcess(config, start, files, reporter, runner), "agentgym-training")
