"""Our parts among those of Agent Lightning's trainer and of verl, as they are.

They need verl 0.8 (`pip install --no-deps verl==0.8.0` and what it imports), no GPU.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("agentlightning")
pytest.importorskip("verl")

import torch
from agentlightning.verl.agl_rollout_manager import CompletedRollout

from agentgym.errors import UsageError
from agentgym.policy.folders.embedded import embedded_path
from agentgym.scenarios.components import COMPONENTS
from agentgym.training.job.config import TrainingConfig
from agentgym.training.job.plan import TrainingPlan
from agentgym.training.job.task import ScenarioInfo
from agentgym.training.verl import trainer_process
from agentgym.training.verl.composed import compose
from agentgym.training.verl.substitutes import install, own_advantages, substitute
from agentgym.training.verl.verl_batch import ADVANTAGES
from agentgym.training.verl.verl_launch import VerlLaunch
from agentgym.training.verl.verl_settings import job_of
from tests.made_rollouts import SCENARIO, made_call, made_rollout

pytestmark = [
    pytest.mark.slow,
    # Of verl, Ray and what they import.
    pytest.mark.filterwarnings("ignore"),
]


def plan_of(folder: Path, **settings: Any) -> TrainingPlan:
    info = ScenarioInfo(
        scenario=SCENARIO,
        episodes=10,
        train_cases=8,
        held_out_cases=5,
        components=dict.fromkeys(COMPONENTS, True),
    )
    return TrainingPlan(
        scenarios=(info,),
        base=embedded_path(),
        adapter=None,
        base_spec="embedded",
        config=TrainingConfig(**{"groups": 2, "group_size": 4, **settings}),
        seed=0,
        name="agent",
        run_folder=folder,
        root=folder,
        timeout=60.0,
    )


def launch_of(plan: TrainingPlan, file: Path | None = None) -> VerlLaunch:
    return VerlLaunch.of(plan, "http://127.0.0.1:1", "key", file)


def completed(name: str, reward: float | None, **about: Any) -> CompletedRollout:
    made = made_rollout(name, reward, **about)
    return CompletedRollout(
        rollout_id=made.rollout_id,
        data_id=made.data_id,
        step=1,
        sample_idx_in_step=0,
        enqueue_time=0.0,
        input=made.input,
        final_reward=made.final_reward,
        events=made.events,
        rollout_state=made.rollout_state,
        error_message=made.error_message,
    )


def adapter(plan: TrainingPlan) -> Any:
    trainer = substitute(job_of(plan))
    return trainer.RolloutAdapter(
        max_prompt_length=8,
        max_response_length=8,
        device=torch.device("cpu"),
        pad_token_id=0,
        trace_aggregator_level="trajectory",
    )


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = importlib.import_module("agentlightning.verl.trainer")
    for name, value in vars(trainer).copy().items():
        if not name.startswith("__"):
            monkeypatch.setattr(trainer, name, value)


def test_theirs_takes_a_missing_reward_for_zero(tmp_path):
    theirs = importlib.import_module("agentlightning.verl.rollout_adapter")
    made = theirs.RolloutAdapter(
        max_prompt_length=8,
        max_response_length=8,
        device=torch.device("cpu"),
        pad_token_id=0,
    )
    # Where this is mended, ours may go.
    assert made._fillna_reward(completed("a", None)) == 0.0


def test_ours_leaves_it_out_and_fills_the_batch(tmp_path):
    plan = plan_of(tmp_path)
    rollouts = [completed("a", 1.0), completed("b", 0.0), completed("c", None)]
    batch, metrics = adapter(plan).get_train_data_batch(rollouts)
    # 2 cases of 4 episodes are a mini-batch, less would be thrown away.
    assert len(batch) == 8
    names = [str(name) for name in batch.non_tensor_batch["rollout_id_list"]]
    assert {name for name in names if not name.startswith("fill-")} == {"a", "b"}
    assert metrics["agentgym/lost"] == 1
    rows = dict(zip(names, batch.batch[ADVANTAGES], strict=True))
    assert rows["a"].sum() > 0 > rows["b"].sum()
    assert rows["fill-0"].abs().sum() == 0
    at = names.index("a")
    assert batch.batch["prompts"][at].tolist() == [0, 0, 0, 0, 0, 1, 2, 3]
    assert batch.batch["responses"][at].tolist() == [4, 5, 0, 0, 0, 0, 0, 0]
    assert batch.batch["response_mask"][at].tolist() == [1, 1, 0, 0, 0, 0, 0, 0]
    logprobs = batch.batch["rollout_log_probs"][at][:2]
    torch.testing.assert_close(logprobs, torch.tensor([-0.504, -0.505]))


def test_the_advantages_are_the_ones_that_verl_trains_on(tmp_path):
    trainer = substitute(job_of(plan_of(tmp_path)))
    rollouts = [completed("a", 1.0), completed("b", 0.0)]
    batch, _ = adapter(plan_of(tmp_path)).get_train_data_batch(rollouts)
    wanted = batch.batch[ADVANTAGES].clone()
    batch, _ = trainer.compute_rollout_level_advantage(batch, adv_estimator="grpo")
    advantages = trainer.normalize_advantages_by_rollout(
        batch.batch["advantages"], batch.batch["response_mask"], [], num_trained_rows=1
    )
    assert torch.equal(advantages, wanted)
    assert ADVANTAGES not in batch.batch
    from verl.trainer.ppo.metric_utils import compute_data_metrics

    batch.batch["token_level_rewards"] = batch.batch["token_level_scores"]
    numbers = compute_data_metrics(batch=batch, use_critic=False)
    assert numbers["critic/score/max"] == 1.0


def test_the_gradient_is_that_of_a_training_on_one_machine(tmp_path):
    """verl's clipped loss on folded weights, and ours, on the same tokens."""
    from agentgym.training.step.loss import policy_loss
    from agentgym.training.verl.learned import learn

    plan = plan_of(tmp_path, loss="clip_higher")
    calls = [made_call([1, 2, 3], [4, 5, 6], at=1.0)]
    rollouts = [completed("a", 1.0), completed("b", 0.0, calls=calls)]
    made = adapter(plan)
    batch, _ = made.get_train_data_batch(rollouts)
    config = compose(launch_of(plan).overrides, None).actor_rollout_ref.actor
    actor = importlib.import_module("verl.utils.config").omega_conf_to_dataclass(config)
    losses = importlib.import_module("agentlightning.verl.per_rollout_loss")
    old = batch.batch["rollout_log_probs"]
    moved = (old + 0.3 * batch.batch["response_mask"]).requires_grad_()
    batch, _ = own_advantages(batch)
    loss, _ = losses.compute_policy_loss_per_rollout_mean(
        old,
        moved,
        batch.batch["advantages"],
        batch.batch["response_mask"],
        config=actor,
    )
    loss.backward()
    learned = learn(rollouts, job_of(plan), made._components)
    total = 0.0
    for row in learned.rows:
        now = torch.tensor(row.made.row.logprobs) + 0.3
        each, _ = policy_loss(
            now,
            torch.tensor(row.made.row.logprobs),
            torch.tensor(row.made.advantages),
            "clip_higher",
        )
        total += float((each * torch.tensor(row.made.weights)).sum())
    assert loss.item() == pytest.approx(total / len(learned.played), abs=1e-6)
    assert moved.grad is not None
    assert moved.grad.abs().sum() > 0


def test_a_batch_that_teaches_nothing_is_dropped_by_verl(tmp_path):
    rollouts = [completed("a", 1.0), completed("b", 1.0)]
    batch, metrics = adapter(plan_of(tmp_path)).get_train_data_batch(rollouts)
    kept = (~batch.batch["is_drop_mask"].bool()).nonzero(as_tuple=True)[0].tolist()
    assert kept == []
    # As the trainer does it: an empty batch, and no update.
    assert len(batch[kept]) == 0
    assert metrics["agentgym/zero_variance_groups"] == 1


def test_a_batch_of_lost_rollouts_ends_the_training(tmp_path):
    from agentgym.errors import AgentGymError

    with pytest.raises(AgentGymError, match="all 1 episodes of an update were lost"):
        adapter(plan_of(tmp_path)).get_train_data_batch([completed("a", None)])


def test_validation_is_of_what_counts(tmp_path):
    made = adapter(plan_of(tmp_path))
    rollouts = [completed("a", 1.0), completed("b", 0.5), completed("c", None)]
    assert made.get_test_metrics(rollouts) == {
        "val/n_rollouts": 3,
        "val/n_lost": 1,
        "val/reward": 0.75,
        "val/passed": 0.5,
    }
    assert made.get_test_metrics([completed("c", None)])["val/n_lost"] == 1


def test_the_hook_of_rays_workers_finds_all_it_replaces():
    install()
    trainer = importlib.import_module("agentlightning.verl.trainer")
    assert trainer.AgentLightningRayPPOTrainer.agentgym
    theirs = trainer.AgentLightningRayPPOTrainer
    install()
    assert trainer.AgentLightningRayPPOTrainer is theirs


def test_the_hook_imports_no_trainer_and_replaces_it_when_it_is_imported():
    script = """
import sys
from agentgym.training.verl.substitutes import install
install()
install()
print("agentlightning.verl.trainer" in sys.modules)
from agentlightning.verl.trainer import AgentLightningRayPPOTrainer
print(AgentLightningRayPPOTrainer.agentgym)
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.split()[-2:] == ["False", "True"], done.stderr


def check(launch: VerlLaunch, folder: Path) -> subprocess.CompletedProcess[str]:
    job = folder / "verl.json"
    job.write_text(json.dumps(launch.to_json()))
    command = [*trainer_process.TRAINER, str(job), "--check"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_verl_accepts_the_whole_configuration(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(
        "trainer: {n_gpus_per_node: 8, nnodes: 2}\n"
        "actor_rollout_ref: {rollout: {engine_kwargs: {vllm: {max_num_seqs: 64}}}}\n"
    )
    plan = plan_of(tmp_path, groups=16, group_size=8, learning_rate=1e-5, lora_rank=8)
    checked = check(launch_of(plan, file), tmp_path)
    assert checked.returncode == 0, checked.stderr
    from omegaconf import OmegaConf

    # What verl's own checks print comes first.
    text = checked.stdout.partition("successfully!\n")[2]
    config = OmegaConf.create(text)
    model, rollout = config.actor_rollout_ref.model, config.actor_rollout_ref.rollout
    assert (model.lora_rank, model.lora_alpha, model.lora.merge) == (8, 32, True)
    assert (rollout.n, config.data.train_batch_size) == (8, 16)
    assert config.actor_rollout_ref.actor.optim.lr == 1e-5
    assert (config.trainer.n_gpus_per_node, config.trainer.nnodes) == (8, 2)
    vllm = rollout.engine_kwargs.vllm
    assert (vllm.tool_call_parser, vllm.max_num_seqs) == ("hermes", 64)
    assert config.agentlightning.agentgym.mini_batch == 128


def test_a_setting_that_verl_does_not_know_is_one_sentence(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("trainer: {n_gpus: 8}\n")
    checked = check(launch_of(plan_of(tmp_path), file), tmp_path)
    assert checked.returncode == 4
    [line] = checked.stderr.strip().splitlines()[-1:]
    assert line.startswith(f"agentgym: --agentgym-trainer-config {file}: ")
    assert "n_gpus" in line


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("[1, 2]", "write verl's settings as a mapping"), ("a: [", "not valid YAML")],
)
def test_a_file_that_is_no_mapping_is_one_sentence(tmp_path, text, sentence):
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(UsageError, match=sentence):
        compose(launch_of(plan_of(tmp_path)).overrides, str(file))


def test_its_python_is_ours():
    assert trainer_process.TRAINER[0] == sys.executable
