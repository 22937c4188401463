"""Runners on other machines that are heard of, and no more."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

pytest.importorskip("agentlightning")

from agentgym.training.hub.gateway import RunningRollout
from agentgym.training.hub.heard import SILENT_SECONDS, Heard
from agentgym.training.hub.lookout import Lookout
from agentgym.training.job.task import RUNNER_HEADER


def ask(heard: Heard, runner: str | None) -> None:
    named = [] if runner is None else [(RUNNER_HEADER.encode(), runner.encode())]
    scope = {"type": "http", "headers": named}
    asyncio.run(heard(scope, None, None))  # type: ignore[arg-type]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


async def answers(*_: object) -> None:
    pass


def test_who_asks_no_more_is_silent(clock):
    heard = Heard(answers)
    ask(heard, "far.1-")
    ask(heard, "far.2-")
    ask(heard, None)
    assert heard.silent() == ()
    clock[0] += SILENT_SECONDS / 2
    ask(heard, "far.2-")
    clock[0] += SILENT_SECONDS / 2 + 1
    assert heard.silent() == ("far.1-",)
    ask(heard, "far.1-")
    assert heard.silent() == ()


class Hub:
    def __init__(self) -> None:
        self.failed: list[str] = []

    def running(self) -> list[Any]:
        names = {"a": "far.1-", "b": "far.2-", "c": "main-7"}
        return [
            RunningRollout(rollout_id=name, task=None, runner=runner)
            for name, runner in names.items()
        ]

    def silent(self) -> tuple[str, ...]:
        return ("far.1-",)

    def fail(self, rollout_id: str, message: str) -> None:
        self.failed.append(f"{rollout_id}: {message}")


def test_what_a_silent_runner_played_is_played_again(clock):
    hub = Hub()
    lookout = Lookout(hub, 60.0)  # type: ignore[arg-type]
    lookout.look()
    assert hub.failed == ["a: infra_error: its runner far.1- died"]
    # One death says nothing of the episodes it takes with it.
    assert lookout.orphans == {"a"}
