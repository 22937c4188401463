"""A training that is ended again and again ends as if nothing had been."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("agentlightning")

from tests.faults.clock import DAY, jump, jumping_clock
from tests.faults.killing import Killing
from tests.faults.trainings import json_lines, left_over, taught, training, verdict

pytestmark = pytest.mark.slow


def killed(project: Killing, moment: str, *more: str) -> str:
    """Has it killed at a moment: all is there that the user was told of."""
    left = project.kill(None, *more, MOMENT=moment)
    assert left.code == -9, left.output
    assert project.lines("died")[-1] == moment
    assert left.missing == frozenset()
    assert left.running == ()
    return left.output


def test_it_ends_as_if_nothing_had_been(tmp_path: Path) -> None:
    project = training(tmp_path, taught(tmp_path / "model"))
    project.environment = jumping_clock(tmp_path)
    killed(project, "in_an_update")
    (run,) = project.runs
    assert not (run / "updates.jsonl").exists()

    code, output = project.run("--agentgym-resume", MOMENT="without_room")
    assert code == 4, output
    said = " ".join(output.split())
    assert f"there is no room for the files of the training in {run}" in said, output
    assert "Traceback" not in output

    # The day before: nothing is overdue, and the run is still the latest.
    jump(tmp_path, -DAY)
    output = killed(project, "before_the_report", "--agentgym-resume")
    assert "resumed after 0 updates" in output
    assert "in time" not in output
    assert len(list((tmp_path / ".agentgym/agents").glob("*/v*"))) == 1

    jump(tmp_path, DAY)
    code, output = project.run("--agentgym-resume")
    assert code == 0, output
    assert project.runs == [run]
    training_ = verdict(project)["training"]
    assert training_["met"]
    assert training_["updates"] >= 1
    updates = json_lines(run / "updates.jsonl")
    assert [row["update"] for row in updates] == [
        *range(1, training_["updates"] + 1)
    ], output
    # Saved once, and measured no episode twice.
    (agent,) = (tmp_path / ".agentgym/agents").glob("*/v*")
    assert agent.name == "v1.0"
    measured = [
        (row["phase"], row["version"], row["case"], row["repeat"])
        for row in json_lines(run / "measured.jsonl")
    ]
    assert len(set(measured)) == len(measured)
    ids = {episode.id for episode in project.stored()}
    assert {row["id"] for row in json_lines(run / "measured.jsonl")} <= ids
    assert left_over(project) == []
    assert not (run / "training").exists()
    code, output = project.run("--agentgym-resume")
    assert code == 4, output
    assert "there is no training" in output
