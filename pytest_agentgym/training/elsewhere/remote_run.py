"""A process that plays rollouts of a training elsewhere, until it is told to end."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Generator
from typing import Any

import pytest

from agentgym.cluster.worker import patience
from agentgym.errors import UsageError
from agentgym.exit_code import ExitCode
from agentgym.training.hub.runner_client import HubGone, RunnerClient
from pytest_agentgym.play.episode_report import EpisodeReport
from pytest_agentgym.show.live.screen import Screen
from pytest_agentgym.training.runner import Runner
from pytest_agentgym.training.shared_files import SharedFiles

KEY = "AGL_KEY"
IN_FLIGHT = 16
SAY_SECONDS = 60.0
"""How often it says what it has played."""


class RemoteRun:
    """What the main process is to a training on one machine.

    Args:
        config: Of this process.
        files: Where its runner finds the gateway.
        runner: Plays.
        gateway: The gateway's address.

    Raises:
        pytest.UsageError: The environment's settings are wrong, or workers are asked
            for.
    """

    def __init__(
        self, config: pytest.Config, files: SharedFiles, runner: Runner, gateway: str
    ) -> None:
        if getattr(config.option, "numprocesses", None):
            raise pytest.UsageError(
                "--agentgym-gateway plays in one process: start one for each slot "
                "instead of -n"
            )
        self._files = files
        self._runner = runner
        self._gateway = gateway.rstrip("/")
        self._key = os.environ.get(KEY, "")
        try:
            self._wait = patience(os.environ)
        except UsageError as exc:
            raise pytest.UsageError(str(exc)) from None
        self._played: Counter[str] = Counter()
        self._next_line = 0.0
        self._screen = Screen(config)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(
        self, session: pytest.Session
    ) -> Generator[None, object, object]:
        """Waits for the gateway, and has the runner play."""
        if session.config.option.collectonly:
            return (yield)
        self._wait_for_gateway()
        self._files.write_hub(self._gateway, self._key, IN_FLIGHT)
        mine = threading.current_thread() is threading.main_thread()
        before: Any = None
        if mine:
            before = signal.signal(signal.SIGTERM, self._drain)
        try:
            looped = yield
        finally:
            if mine:
                signal.signal(signal.SIGTERM, before)
        self._say()
        failure = self._files.failure()
        if failure is not None:
            usage = failure.kind in ("usage", "collection")
            code = ExitCode.USAGE if usage else ExitCode.CANNOT_JUDGE
            pytest.exit(f"agentgym: {failure.text}", returncode=code)
        if self._runner.gone is not None:
            pytest.exit(f"agentgym: {self._runner.gone}", ExitCode.CANNOT_JUDGE)
        return looped

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Counts what was played, and says what was lost."""
        if not isinstance(report, EpisodeReport):
            return
        for episode in report.episodes:
            self._played[episode.outcome] += 1
            if not episode.counted:
                self._line(f"{episode.outcome}: {episode.id}: {episode.error}")
        if time.monotonic() >= self._next_line:
            self._say()

    def _wait_for_gateway(self) -> None:
        """Waits until the gateway answers.

        Raises:
            Exit: It does not, or not to this key.
        """
        until = time.monotonic() + self._wait
        while True:
            client = RunnerClient(self._gateway, self._key, "start")
            try:
                client.reach()
                return
            except HubGone as exc:
                if not exc.away or time.monotonic() >= until:
                    code = ExitCode.CANNOT_JUDGE if exc.away else ExitCode.USAGE
                    pytest.exit(f"agentgym: {exc}", code)
            finally:
                client.close()

    def _drain(self, *_: object) -> None:
        """SIGTERM: what is in flight is played to its end. A second one ends it."""
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        self._files.drain()

    def _say(self) -> None:
        counts = ", ".join(f"{n} {name}" for name, n in sorted(self._played.items()))
        self._line(f"played {self._played.total()} rollouts: {counts or 'none yet'}")
        self._next_line = time.monotonic() + SAY_SECONDS

    def _line(self, text: str) -> None:
        self._screen.write_line(f"agentgym: {text}")
