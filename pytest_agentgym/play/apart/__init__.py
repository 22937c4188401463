"""Scenarios whose episodes have processes of their own."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from pytest_agentgym.collect.collection import ScenarioItem
from pytest_agentgym.play.apart.making import SERVER, most_processes
from pytest_agentgym.play.run_context import debugging


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    """Makes the copy of this process that episodes begin from, before one is played."""
    config = session.config
    items = [item for item in session.items if isinstance(item, ScenarioItem)]
    isolated = [item for item in items if item.isolated]
    distributes = config.pluginmanager.has_plugin("dsession")
    if not isolated or config.option.collectonly or distributes or debugging(config):
        return (yield)
    from agentgym.playing.isolated.fork_server import ForkServer
    from pytest_agentgym.play.apart.child import EpisodeProcess

    folders: Any = getattr(config, "_tmp_path_factory", None)
    if folders is not None:
        # Else each process would make one for itself, and remove those of others.
        folders.getbasetemp()
    server = ForkServer(EpisodeProcess(isolated), most_processes(config))
    config.stash[SERVER] = server
    try:
        return (yield)
    finally:
        server.close()
