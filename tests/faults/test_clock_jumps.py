"""A clock that is set meanwhile: nothing is overdue, and no id comes twice."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from agentgym.runs.files import store
from agentgym.runs.files.store import RunStore
from tests.faults.clock import DAY, jump, jumping_clock
from tests.faults.killing import ended, measuring, wait_for


@pytest.mark.slow
@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["main", "n2"])
def test_while_it_measures(tmp_path: Path, workers: tuple[str, ...]) -> None:
    project = measuring(tmp_path, *workers, "--agentgym-timeout=300")
    project.environment = jumping_clock(tmp_path)
    begun = time.monotonic()
    process = project.start()
    with ended(process):
        for told, days in ((20, 1.0), (60, -2.0), (100, 0.5)):
            assert wait_for(lambda told=told: len(project.told()) >= told)
            jump(tmp_path, days * DAY)
        output, _ = process.communicate(timeout=300)
    took = time.monotonic() - begun
    assert process.returncode == 0, output
    (run,) = project.runs
    summary = json.loads((run / "summary.json").read_text())
    assert 0 < summary["seconds"] < took
    episodes = project.stored()
    assert {episode.outcome for episode in episodes} == {"passed"}
    for episode in episodes:
        assert 0 <= episode.duration < took
    # It did: some began two days before others.
    starts = [episode.start for episode in episodes]
    assert max(starts) - min(starts) > DAY


def test_two_runs_of_the_same_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same second comes twice, and so do the digits."""
    names = iter(["20260101-120000-abcd"] * 3 + ["20260101-120000-ef01"])
    monkeypatch.setattr(store, "_new_id", lambda: next(names))
    stores = [RunStore(tmp_path) for _ in range(2)]
    for each in stores:
        each.close()
    assert [each.id for each in stores] == [
        "20260101-120000-abcd",
        "20260101-120000-ef01",
    ]
    assert [each.warning for each in stores] == [None, None]


def test_no_rollout_is_given_up_because_the_clock_was_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("agentlightning")
    from agentgym.training.hub.gateway import RunningRollout
    from agentgym.training.hub.lookout import LOOK_SECONDS, Lookout

    class Hub:
        def __init__(self) -> None:
            self.failed: list[str] = []

        def running(self) -> list[Any]:
            return [RunningRollout(rollout_id="a", task=None, runner="main-1")]

        def silent(self) -> tuple[str, ...]:
            return ()

        def fail(self, rollout_id: str, message: str) -> None:
            self.failed.append(message)

    hub, at = Hub(), [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: at[0])
    lookout = Lookout(hub, 60.0)  # type: ignore[arg-type]
    lookout.look()
    monkeypatch.setattr(time, "time", lambda: 10.0**10)
    at[0] += LOOK_SECONDS + 1
    assert lookout.due
    lookout.look()
    assert hub.failed == []
    at[0] += 60
    lookout.look()
    assert hub.failed == ["infra_error: its runner main-1 did not finish in time"]
