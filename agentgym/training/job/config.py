"""The settings of a training, checked at the edge."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any, Literal

from agentgym.distribution import install_command
from agentgym.scenarios.components import Component, why_untrainable

try:
    from pydantic import BaseModel, ConfigDict, Field, field_validator
except ImportError:
    raise ImportError(
        f"TrainingConfig needs pydantic: run {install_command('train')}"
    ) from None

Share = Annotated[float, Field(ge=0, le=1)]


class TrainingConfig(BaseModel):
    """How the policy behind an agent is trained.

    `docs/explanation/training.md` says why so.

    Attributes:
        target: Reliability on held-out cases at which training ends.
        updates: The most policy updates.
        minutes: The most minutes, measurements included.
        groups: Cases per update whose episodes earned different rewards. Where it is
            not given, a training on a CPU takes fewer for larger models.
        group_size: Episodes of each case, played by the same policy version.
        learning_rate: Of AdamW, on LoRA weights. Where it is not given, a training
            takes less for larger models.
        lora_rank: Rank of the LoRA matrices on all linear layers, whose alpha is 32. An
            agent that is trained further keeps its own.
        advantage: Reward of an episode less its group's mean ("mean"), that over the
            group's standard deviation ("std"), less the mean of the others ("rloo"),
            or less the mean weighted by squared gradients ("optimal").
        loss: How the ratio of new and sampling probabilities enters: "cispo", "tis",
            "grpo" or "clip_higher". In the first pass all have the same gradient.
        token_mean: Whether the tokens of each episode ("rollout") or of the average
            episode of a case ("case") share a weight of 1.
        epochs: Passes over each batch. Where it is not given, a training on a CPU
            makes one for larger models.
        reward: The weighted share of passed checks ("checks"), 1 for an episode that
            passed and else 0 ("passed"), or that wherever the episodes of a case differ
            in it, and else the share ("passed_first").
        dynamic_sampling: Whether zero-variance groups, whose episodes all earned the
            same, are replaced.
        adaptive_cases: Whether uncertain scenarios are drawn more often.
        frozen_kl: Weight of the KL to the starting policy on frozen tokens.
        components: What is trained in all scenarios; None asks each scenario.
        stale: What happens to a model call of another policy version: its episode is
            left out ("refuse") or its ratio is clamped ("correct").
        device: "auto", "cpu", "cuda", ...
        dtype: "auto", "float32", "bfloat16" or "float16".
        chat_template_kwargs: Variables of the model's chat template, such as
            `enable_thinking`, in every request.
        gradient_checkpointing: None: where activations would take more than half of
            the free memory.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    target: Share = 0.95
    updates: Annotated[int, Field(ge=1)] = 100
    minutes: Annotated[float, Field(gt=0)] = 20.0
    groups: Annotated[int, Field(ge=1)] = 16
    group_size: Annotated[int, Field(ge=2)] = 8
    learning_rate: Annotated[float, Field(gt=0)] = 2e-3
    lora_rank: Annotated[int, Field(ge=1)] = 16
    advantage: Literal["optimal", "std", "mean", "rloo"] = "optimal"
    loss: Literal["cispo", "tis", "grpo", "clip_higher"] = "clip_higher"
    token_mean: Literal["case", "rollout"] = "case"  # noqa: S105
    epochs: Annotated[int, Field(ge=1, le=2)] = 2
    reward: Literal["passed_first", "passed", "checks"] = "passed_first"
    dynamic_sampling: bool = True
    adaptive_cases: bool = True
    frozen_kl: Annotated[float, Field(ge=0)] = 0.01
    components: frozenset[Component] | None = None
    stale: Literal["refuse", "correct"] = "refuse"
    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    chat_template_kwargs: dict[str, Any] = Field(default_factory=dict)
    gradient_checkpointing: bool | None = None

    @field_validator("components", mode="before")
    @classmethod
    def _trainable(cls, value: Any) -> Any:
        if isinstance(value, Collection) and not isinstance(value, str):
            reason = why_untrainable(map(str, value))
            if reason is not None:
                raise ValueError(reason)
        return value
