"""Episodes that runners on other machines send to a training."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Any

import pytest

from agentgym.training.hub.rollout_result import RolloutResult
from pytest_agentgym.play.episode_report import EpisodeReport

_LOOK_SECONDS = 0.5
"""How often the trainer looks whether anybody still takes them in."""


class Arrivals:
    """Hands them from the trainer's thread to the main one, which reports episodes.

    Args:
        config: Of the main process.
        wake: Has the main thread call `report` soon.
    """

    def __init__(self, config: pytest.Config, wake: Callable[[], None]) -> None:
        self._config = config
        self._wake = wake
        self._queue: SimpleQueue[tuple[Sequence[RolloutResult], threading.Event]]
        self._queue = SimpleQueue()
        self._closed = threading.Event()

    def put(self, results: Sequence[RolloutResult]) -> None:
        """Trainer: has episodes reported, and so stored, and waits for it.

        Args:
            results: Each has an episode.
        """
        done = threading.Event()
        self._queue.put((results, done))
        self._wake()
        while not done.wait(_LOOK_SECONDS) and not self._closed.is_set():
            pass

    def report(self) -> None:
        """Main thread: reports what has come."""
        while True:
            try:
                results, done = self._queue.get_nowait()
            except Empty:
                return
            try:
                for result in results:
                    assert result.episode is not None
                    report = _reported(result.task.scenario, result.episode)
                    self._config.hook.pytest_runtest_logreport(report=report)
            finally:
                done.set()

    def close(self) -> None:
        """Main thread: nothing is reported any more."""
        self._closed.set()


def _reported(scenario: str, sent: dict[str, Any]) -> EpisodeReport:
    return EpisodeReport(
        lines=[sent["line"]],
        planned=0,
        prompts=sent["prompts"],
        one_case=sent["one_case"],
        nodeid=scenario,
        location=tuple(sent["location"]),
        keywords={},
        outcome="passed",
        longrepr=None,
        when="episode",
        duration=0.0,
    )
