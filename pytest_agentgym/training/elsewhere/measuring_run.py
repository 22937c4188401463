"""The main process of a measurement whose runners are elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Generator

import pytest

from agentgym.errors import UsageError
from agentgym.exit_code import ExitCode
from agentgym.training.hub.gateway import Gateway, Listening
from pytest_agentgym.play.remote_play import ELSEWHERE
from pytest_agentgym.training.elsewhere.measuring import MeasuredElsewhere


class MeasuringRun:
    """Has a gateway for as long as scenarios are measured.

    Args:
        config: Of this process.
        at: Where the gateway listens.
        say: Shows a line.

    Raises:
        pytest.UsageError: Something is asked for that only works here.
    """

    def __init__(
        self, config: pytest.Config, at: Listening, say: Callable[[str], None]
    ) -> None:
        for name, option in (
            ("numprocesses", "-n"),
            ("usepdb", "--pdb"),
            ("trace", "--trace"),
        ):
            if getattr(config.option, name, None):
                raise pytest.UsageError(
                    f"{option} has no place beside --agentgym-listen: this process "
                    "plays nothing itself; start python -m agentgym.cluster.worker"
                )
        self._config = config
        self._at = at
        self._say = say

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(
        self, session: pytest.Session
    ) -> Generator[None, object, object]:
        """Starts the gateway, and ends it."""
        if self._config.option.collectonly:
            return (yield)
        try:
            gateway = Gateway.start(self._at)
        except UsageError as exc:
            pytest.exit(f"agentgym: {exc}", ExitCode.USAGE)
        self._say(
            f"measuring by runners elsewhere: give them AGENTGYM_GATEWAY={gateway.url} "
            "and the same AGL_KEY, and start python -m agentgym.cluster.worker"
        )
        self._config.stash[ELSEWHERE] = MeasuredElsewhere(gateway, self._say)
        try:
            return (yield)
        finally:
            gateway.close()
