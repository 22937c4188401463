"""Our settings as verl's, and what of them it has nothing for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentgym.training.job.plan import TrainingPlan, trained_components
from agentgym.training.verl.verl_job import VerlJob

ALPHA = 32
"""Of LoRA, as in a training on one machine."""
PROMPT_TOKENS = RESPONSE_TOKENS = 4096
"""Room for what comes before the first sampled token, and from there on."""
TRUNCATED = 2.0
"""The most that an importance weight between vLLM and verl's own pass counts."""
CHECK_EVERY = 16
"""Updates between two validations, after which the weights are saved."""
_LOSSES = {
    "clip_higher": ("per_rollout_mean", 0.2, 0.28),
    "grpo": ("per_rollout_mean", 0.2, 0.2),
    "cispo": ("cispo_per_rollout_mean", 0.2, 1.0),
    "tis": ("cispo_per_rollout_mean", 1.0, 1.0),
}
"""verl's loss, and how far below and above 1 it bounds the ratio."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What verl finds where it runs.

    Attributes:
        gateway: Address of the gateway.
        key: The gateway's.
        gpus: On each machine.
        folder: Where it saves weights.
    """

    gateway: str
    key: str
    gpus: int
    folder: Path


def job_of(plan: TrainingPlan) -> VerlJob:
    """What our code in verl's processes must know."""
    config = plan.config
    return VerlJob(
        base=str(plan.base),
        trained={
            info.scenario: sorted(trained_components(info, config))
            for info in plan.scenarios
        },
        advantage=config.advantage,
        reward=config.reward,
        token_mean=config.token_mean,
        mini_batch=config.groups * config.group_size,
        template=dict(config.chat_template_kwargs),
    )


def overrides(plan: TrainingPlan, around: Around) -> dict[str, Any]:
    """What differs from Agent Lightning's own configuration of verl.

    Args:
        plan: What is trained.
        around: Where.
    """
    config = plan.config
    loss, low, high = _LOSSES[config.loss]
    return {
        "algorithm": {
            "adv_estimator": "grpo",
            "use_kl_in_reward": False,
            # As with every engine that is not our own: see `step.sampler_mismatch`.
            "rollout_correction": {
                "rollout_is": "token",
                "rollout_is_threshold": TRUNCATED,
            },
        },
        "data": {
            "train_batch_size": config.groups,
            "max_prompt_length": PROMPT_TOKENS,
            "max_response_length": RESPONSE_TOKENS,
            "shuffle": True,
            "seed": plan.seed,
            "dataloader_num_workers": 0,
        },
        "actor_rollout_ref": {
            "model": _model(plan),
            "actor": {
                "ppo_mini_batch_size": config.groups,
                "ppo_epochs": config.epochs,
                "use_dynamic_bsz": True,
                "ppo_max_token_len_per_gpu": PROMPT_TOKENS + RESPONSE_TOKENS,
                "use_kl_loss": False,
                "clip_ratio_low": low,
                "clip_ratio_high": high,
                "policy_loss": {"loss_mode": loss},
                "optim": {"lr": config.learning_rate},
                "checkpoint": {"save_contents": ["model"]},
            },
            "rollout": {
                "name": "vllm",
                "n": config.group_size,
                "temperature": 1.0,
                "tensor_model_parallel_size": 1,
                "load_format": "safetensors",
                "engine_kwargs": {"vllm": _vllm(plan)},
            },
        },
        "trainer": {
            "logger": ["console", "file"],
            "project_name": "agentgym",
            "experiment_name": plan.name,
            "n_gpus_per_node": around.gpus,
            "nnodes": 1,
            "total_training_steps": config.updates,
            "total_epochs": config.updates + 1,
            "val_before_train": False,
            "test_freq": min(CHECK_EVERY, config.updates),
            "save_freq": min(CHECK_EVERY, config.updates),
            "max_actor_ckpt_to_keep": 1,
            "default_local_dir": str(around.folder),
            "resume_mode": "disable",
        },
        "agentlightning": {
            "agl_base_url": around.gateway,
            "agl_key": around.key,
            "rollout_timeout_seconds": int(plan.timeout) + 1,
            "trace_aggregator": {
                "level": "trajectory",
                "trajectory_max_prompt_length": PROMPT_TOKENS,
                "trajectory_max_response_length": RESPONSE_TOKENS,
            },
            "agentgym": job_of(plan).to_json(),
        },
    }


def _model(plan: TrainingPlan) -> dict[str, Any]:
    """The policy: merged LoRA weights, so that vLLM serves one model under one name."""
    config = plan.config
    checkpointing = config.gradient_checkpointing
    return {
        "path": str(plan.base),
        "lora_rank": config.lora_rank,
        "lora_alpha": ALPHA,
        "target_modules": "all-linear",
        "lora": {"merge": True},
        "lora_adapter_path": None if plan.adapter is None else str(plan.adapter),
        "enable_gradient_checkpointing": checkpointing is not False,
    }


def _vllm(plan: TrainingPlan) -> dict[str, Any]:
    """How vLLM reads and writes calls, as the model's own template has them."""
    from agentgym.policy.trained.vllm import parsers_of

    calls, thoughts = parsers_of(plan.base)
    said: dict[str, Any] = {"enable_auto_tool_choice": True, "tool_call_parser": calls}
    if thoughts is not None:
        said["reasoning_parser"] = thoughts
    if plan.config.chat_template_kwargs:
        said["default_chat_template_kwargs"] = dict(plan.config.chat_template_kwargs)
    return said


def not_carried_over(plan: TrainingPlan) -> Iterator[str]:
    """What of the settings verl has nothing for, a sentence each.

    Args:
        plan: With the settings.
    """
    config = plan.config
    if config.dynamic_sampling:
        yield "dynamic_sampling: zero-variance groups are left out, and not replaced"
    if config.adaptive_cases:
        yield "adaptive_cases: all train cases are drawn alike"
    frozen = any(len(names) < 4 for names in job_of(plan).trained.values())
    if config.frozen_kl and frozen:
        yield "frozen_kl: frozen tokens get no gradient, and no KL holds them"
    if config.dtype != "auto" and "dtype" in config.model_fields_set:
        yield f"dtype={config.dtype}: verl trains in bfloat16"
    yield "target: all updates are made, or the budget ends them, also above it"
    yield "learning_rate: it stays the same where fewer failures are left"
    yield "signs of reward hacking: only held-out cases before and after are looked at"
