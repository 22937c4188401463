"""What verl learns from of a batch of rollouts: what counts, with our advantages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pydantic")

from agentgym.errors import UsageError
from agentgym.scenarios.components import Component
from agentgym.training.job.config import TrainingConfig
from agentgym.training.job.plan import TrainingPlan
from agentgym.training.job.task import ScenarioInfo
from agentgym.training.verl import checkpoint_import, installed
from agentgym.training.verl.learned import learn
from agentgym.training.verl.trainer_process import WatchedProcess
from agentgym.training.verl.verl_job import VerlJob
from agentgym.training.verl.verl_metrics import (
    MetricsFile,
    trained,
    update_line,
    without_our_parts,
)
from agentgym.training.verl.verl_rows import train_rows, validation_rows
from agentgym.training.verl.verl_settings import not_carried_over
from tests.made_rollouts import SCENARIO, made_call, made_rollout

ALL = ["output_generation", "parameter_selection", "reasoning", "tool_selection"]
JOB = VerlJob(
    base="base",
    trained={SCENARIO: ALL},
    advantage="mean",
    reward="checks",
    token_mean="rollout",
    mini_batch=8,
)


def components(prompt: Sequence[int], ids: Sequence[int]) -> list[Component]:
    """The first token says which tool, all others are text."""
    return ["tool_selection", *["output_generation"] * (len(ids) - 1)]  # type: ignore[list-item]


def test_what_is_not_the_agents_doing_is_no_reward_of_zero():
    rollouts = [made_rollout("a", 1.0), made_rollout("b", 0.0), made_rollout("c", None)]
    learned = learn(rollouts, JOB, components)
    assert [row.rollout_id for row in learned.rows] == ["a", "b"]
    # Against a mean of 1/2; with the lost one as a third it would be 1/3.
    assert [row.made.advantages for row in learned.rows] == [[0.5] * 2, [-0.5] * 2]
    assert (learned.lost, learned.groups) == (1, 1)
    assert learned.why_lost == "infra_error: the model server was away"


def test_a_success_and_an_error_teach_nothing():
    learned = learn([made_rollout("a", 1.0), made_rollout("b", None)], JOB, components)
    assert learned.rows == []
    assert (learned.zero_variance, learned.lost) == (1, 1)


def test_a_skipped_case_is_not_lost():
    skipped = made_rollout("a", None, error="harness_error: skipped: no licence")
    learned = learn([skipped], JOB, components)
    assert (learned.lost, learned.played) == (0, [])


def test_groups_are_compared_each_with_itself():
    rollouts = [
        made_rollout("a", 1.0, group="one"),
        made_rollout("b", 0.5, group="two"),
        made_rollout("c", 0.5, group="one"),
        made_rollout("d", 0.5, group="two"),
    ]
    learned = learn(rollouts, JOB, components)
    assert {row.data_id for row in learned.rows} == {"one"}
    assert learned.zero_variance == 1


def test_frozen_tokens_are_masked():
    job = replace(JOB, trained={SCENARIO: ["tool_selection"]})
    learned = learn([made_rollout("a", 1.0), made_rollout("b", 0.0)], job, components)
    assert [sorted(row.tokens) for row in learned.rows] == [[3], [3]]
    assert learned.metrics()["agentgym/frozen_tokens"] == 2


def test_each_step_has_its_own_advantage():
    calls = [
        made_call([1, 2, 3], [4, 5], at=1.0),
        made_call([1, 2, 3, 4, 5, 6], [7], at=2.0),
    ]
    rollouts = [
        made_rollout("a", 1.0, calls=calls, steps=[1.0, 0.0]),
        made_rollout("b", 1.0, calls=calls, steps=[0.0, 0.0]),
    ]
    first, second = learn(rollouts, JOB, components).rows
    assert first.made.advantages == [0.75, 0.75, -0.25]
    assert second.made.advantages == [-0.25] * 3


def test_the_mean_is_over_a_cases_tokens_where_that_is_asked_for():
    long = [made_call([1, 2, 3], [4, 5, 6, 7, 8, 9], at=1.0)]
    rollouts = [made_rollout("a", 1.0), made_rollout("b", 0.0, calls=long)]
    by_rollout = learn(rollouts, JOB, components).rows
    assert [row.made.weights[0] for row in by_rollout] == [1 / 2, 1 / 6]
    job = replace(JOB, token_mean="case")
    by_case = learn(rollouts, job, components).rows
    assert [row.made.weights[0] for row in by_case] == [2 / 8, 2 / 8]


def test_calls_without_their_tokens_are_lost():
    call = made_call([1, 2], [3])
    call["data"]["response"]["choices"][0]["logprobs"] = None
    learned = learn([made_rollout("a", 1.0, calls=[call])], JOB, components)
    assert learned.lost == 1


def plan(train_cases: int | None, **settings: Any) -> TrainingPlan:
    scenarios = tuple(
        ScenarioInfo(
            scenario=f"t.py::test_{name}",
            episodes=10,
            train_cases=train_cases,
            held_out_cases=5,
            components=dict.fromkeys(ALL, True),
        )
        for name in "ab"
    )
    return TrainingPlan(
        scenarios=scenarios,
        base=Path("base"),
        adapter=None,
        base_spec="base",
        config=TrainingConfig(**settings),
        seed=0,
        name="agent",
        run_folder=Path("run"),
        root=Path(),
        timeout=60.0,
    )


def test_train_cases_are_the_dataset_and_validation_cases_are_not_among_them():
    rows, held = train_rows(plan(8)), validation_rows(plan(8))
    learned = {(row["scenario"], row["case"]) for row in rows}
    assert learned == {(f"t.py::test_{n}", case) for n in "ab" for case in range(6)}
    assert {row["phase"] for row in rows} == {"train"}
    validated = {(row["scenario"], row["case"]) for row in held}
    assert validated == {(f"t.py::test_{n}", case) for n in "ab" for case in (6, 7)}
    assert {(row["split"], row["phase"]) for row in held} == {("train", "validate")}


def test_the_dataset_fills_a_batch_and_lasts_for_all_updates():
    # verl drops a batch that is not full: 2 cases are repeated to 16.
    assert len(train_rows(plan(1))) == 16
    drawn = train_rows(plan(None, updates=10, groups=4))
    assert len({(row["scenario"], row["case"]) for row in drawn}) == 40


def test_what_is_not_carried_over_is_said_by_name():
    said = list(not_carried_over(plan(8, dtype="float32", components=["reasoning"])))
    names = [sentence.partition(":")[0] for sentence in said]
    assert names == [
        *("dynamic_sampling", "adaptive_cases", "frozen_kl", "dtype=float32"),
        *("target", "learning_rate", "signs of reward hacking"),
    ]
    fewer = plan(8, dynamic_sampling=False, adaptive_cases=False)
    assert [s.partition(":")[0] for s in not_carried_over(fewer)] == names[4:]


def test_wrong_versions_are_told_at_once(monkeypatch):
    there = {"agentlightning": "1.0.2", "verl": "0.9.0", "vllm": "0.20.2+cu130"}
    monkeypatch.setattr(installed, "installed", {**there, "numpy": "1.26"}.get)
    monkeypatch.setattr(installed, "nvidia_gpus", lambda: 0)
    with pytest.raises(UsageError) as refused:
        installed.check_installed_for_verl()
    assert str(refused.value) == (
        "--agentgym-trainer verl: verl 0.9.0 is installed, and 0.8 is needed; ray is "
        "not installed, and ray 2 is needed; numpy 1.26 is installed, and vLLM 0.20.2 "
        "needs numpy 2: override verl's own numpy<2 when you install it; there is no "
        "NVIDIA GPU with CUDA on this machine"
    )
    good = {**there, "verl": "0.8.0", "ray": "2.60.0", "numpy": "2.5.5"}
    monkeypatch.setattr(installed, "installed", good.get)
    installed.check_installed_for_verl(gpu=False)


def test_metrics_are_read_as_they_grow(tmp_path):
    file = MetricsFile(tmp_path / "metrics.jsonl")
    assert list(file.new()) == []
    first = {"agentgym/episodes": 6, "agentgym/lost": 2, "agentgym/passed": 0.5}
    line = json.dumps({"step": 1, "data": first})
    (tmp_path / "metrics.jsonl").write_text(f'{line}\n{{"step": 2, "da')
    [(step, data)] = file.new()
    assert trained(data)
    row = update_line(step, data, episodes=8, elapsed=3.0)
    assert (row["update"], row["lost_share"], row["passed"]) == (1, 0.25, 0.5)
    with (tmp_path / "metrics.jsonl").open("a") as stream:
        stream.write('ta": {"val/passed": 0.75, "x": "text"}}\n')
    assert list(file.new()) == [(2, {"val/passed": 0.75})]
    assert not without_our_parts(data)
    assert without_our_parts({"training/n_rollouts": 8.0})
    assert list(file.new()) == []


def test_a_checkpoint_of_another_base_is_refused(tmp_path):
    sizes = {"model_type": "llama", "hidden_size": 32, "num_hidden_layers": 2}
    actor, base = tmp_path / "actor", tmp_path / "base"
    (actor / "huggingface").mkdir(parents=True)
    base.mkdir()
    (base / "config.json").write_text(json.dumps(sizes))
    theirs = actor / "huggingface" / "config.json"
    theirs.write_text(json.dumps(sizes))
    checkpoint_import.check_same_base(actor, base)
    theirs.write_text(json.dumps({**sizes, "hidden_size": 64}))
    with pytest.raises(UsageError, match="its hidden_size is 64, not 32"):
        checkpoint_import.check_same_base(actor, base)


def test_the_last_step_is_the_one_that_was_saved_whole(tmp_path):
    assert checkpoint_import.latest_step(tmp_path) is None
    (tmp_path / checkpoint_import.LATEST).write_text("32")
    assert checkpoint_import.latest_step(tmp_path) == 32


def test_a_process_that_dies_is_known_by_its_last_line(tmp_path):
    script = "print('starting'); print('no space left'); print(); raise SystemExit(3)"
    child = WatchedProcess(["python3", "-c", script], tmp_path / "log")
    assert child.wait() == 3
    assert child.last_line == "no space left"
    child.end()


def test_a_process_ends_with_all_that_it_started(tmp_path):
    script = "import subprocess; subprocess.run(['sleep', '600'])"
    child = WatchedProcess(["python3", "-c", script], tmp_path / "log")
    child.end()
    assert child.poll() is not None
