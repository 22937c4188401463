"""`--agentgym-trainer verl`, all of it but the updates: those need CUDA."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("agentlightning")

from agentgym.policy.trained.trained_agent import TrainedAgent
from tests.cluster_project import CONFTEST, SCENARIOS

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
STAND_IN = ROOT / "tests" / "verl_stand_in.py"
IN_PLACE = f"""
import sys
from agentgym.training.verl import trainer_process, verl_launch

trainer_process.TRAINER = (sys.executable, {str(STAND_IN)!r})
verl_launch.check_installed_for_verl = lambda gpu=True: None
"""
FEW = {"groups": 2, "group_size": 4, "updates": 2, "target": 1.0, "lora_rank": 4}


def train(
    folder: Path, *options: str, stand_in: bool = True
) -> tuple[int, str, dict[str, Any]]:
    """Trains a project; its exit code, output and summary."""
    folder.mkdir(exist_ok=True)
    (folder / "conftest.py").write_text((IN_PLACE if stand_in else "") + CONFTEST)
    (folder / "test_it.py").write_text(SCENARIOS)
    (folder / "few.json").write_text(json.dumps(FEW))
    command = [sys.executable, "-m", "pytest", "--agentgym", "--train"]
    command += ["--agentgym-trainer=verl", "--agentgym-train-config=few.json"]
    ended = subprocess.run(
        [*command, "--agentgym-episodes=4", "--agentgym-json=summary.json", *options],
        cwd=folder,
        env={**os.environ, "COLUMNS": "100"},
        capture_output=True,
        text=True,
        check=False,
    )
    summary = folder / "summary.json"
    found = json.loads(summary.read_text()) if summary.exists() else {}
    return ended.returncode, ended.stdout + ended.stderr, found


def test_a_training_ends_in_a_trained_agent(tmp_path):
    pytest.importorskip("verl")
    # The third scenario's episodes never count: they are no reward of 0.
    code, output, summary = train(tmp_path / "project", "-k", "not has_no_world")
    assert code == 1, output
    training = summary["training"]
    assert training["updates"] == training["version"] == 2
    assert training["before"]["value"] is not None
    assert training["after"]["value"] is not None
    agent = TrainedAgent.load(training["agent"])
    assert agent.about["updates"] == 2
    [run] = (tmp_path / "project" / ".agentgym" / "runs").glob("2*")
    lines = [
        json.loads(line) for line in (run / "updates.jsonl").read_text().splitlines()
    ]
    assert [line["update"] for line in lines] == [1, 2]
    assert all(line["lost_share"] == 0 for line in lines)
    assert "batch of 8 rows" in (run / "verl.log").read_text()
    assert "not carried over to verl: dynamic_sampling" in output
    # It has the gateway's key.
    assert not (run / "verl.json").exists()


def test_a_trainer_that_dies_ends_the_run_with_its_last_line(tmp_path):
    pytest.importorskip("verl")
    options = ("--agentgym-save=fail", "-k", "half_passes")
    code, output, _ = train(tmp_path / "project", *options)
    assert code == 4, output
    assert "verl's trainer ended with exit code 1: RuntimeError: CUDA" in output
    assert "Traceback" not in output


def test_a_dry_run_says_what_would_be_done_and_starts_nothing(tmp_path):
    project = tmp_path / "project"
    code, output, _ = train(project, "--agentgym-dry-run", stand_in=False)
    assert code == 0, output
    for said in (
        "trains embedded on 3 scenarios",
        "before and after: 12 held-out episodes, measured by agentgym",
        "2 an update, 4 episodes each",
        "at most 2 updates, and 20 minutes",
        "not carried over: dynamic_sampling: ",
        "missing here: there is no NVIDIA GPU",
        "would start: python -m agentgym.training.verl verl.json",
        "would start: python -m verl.model_merger merge",
    ):
        assert said in output, output
    assert not list(project.glob(".agentgym/runs/*"))
    assert '"lora_rank": 4' in output or "lora_rank: 4" in output
    assert "train_batch_size" in output


def test_wrong_versions_are_one_sentence_before_anything_starts(tmp_path):
    code, output, _ = train(tmp_path / "project", stand_in=False)
    assert code == 4, output
    [line] = [line for line in output.splitlines() if line.startswith("ERROR: ")]
    assert line.startswith("ERROR: --agentgym-trainer verl: ")
    assert "vllm is not installed, and vllm 0.20.2 is needed" in line
    assert not (tmp_path / "project" / ".agentgym").exists()
