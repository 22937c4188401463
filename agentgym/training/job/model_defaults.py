"""The settings whose best value depends on the model that is trained."""

from __future__ import annotations

import math

from agentgym.training.job.config import TrainingConfig

_SIZE = 4_000_000
"""Parameters up to which the defaults of `TrainingConfig` were measured."""
_SLOW_ON_A_CPU = 50_000_000
"""Parameters from which an update of the usual batch takes minutes on a CPU."""
_SMALL_BATCH = 8


def learning_rate_for(parameters: int) -> float:
    """The learning rate of a model's LoRA weights, to one digit.

    It falls with the square root of the size: 2e-3 for the embedded policy and 3e-4 for
    135 million parameters were measured, and 7 billion get what is usual for them.

    Args:
        parameters: How many the model has.
    """
    most: float = TrainingConfig.model_fields["learning_rate"].default
    return float(f"{most * math.sqrt(_SIZE / max(parameters, _SIZE)):.0e}")


def fit_to_model(
    config: TrainingConfig, parameters: int, *, gpu: bool
) -> TrainingConfig:
    """The settings with those that were not given chosen for the model.

    They count as given from then on, so that a resumed training has the same.

    Args:
        config: As the user gave it.
        parameters: How many the model has.
        gpu: Whether it is trained on one.
    """
    chosen: dict[str, float] = {"learning_rate": learning_rate_for(parameters)}
    if parameters >= _SLOW_ON_A_CPU and not gpu:
        # Three times as many updates in the same time. A second pass takes as long as
        # the first, and makes the policy sure before it has tried enough.
        chosen |= {"groups": _SMALL_BATCH, "epochs": 1}
    given = config.model_fields_set
    return config.model_copy(
        update={name: value for name, value in chosen.items() if name not in given}
    )


def choice_in_words(
    given: TrainingConfig, fitted: TrainingConfig, parameters: int
) -> str:
    """What `fit_to_model` chose, in one line; nothing where it is as always.

    Args:
        given: What it took.
        fitted: What it gave.
        parameters: How many the model has.
    """
    parts = []
    if fitted.learning_rate != given.learning_rate:
        parts.append(f"learning rate {fitted.learning_rate:.0e}")
    if fitted.groups != given.groups:
        parts.append(f"batches of {fitted.groups} cases")
    if fitted.epochs != given.epochs:
        parts.append("one pass over a batch")
    if not parts:
        return ""
    size = f"{parameters / 1e6:.3g} million"
    if parameters >= 1e9:
        size = f"{parameters / 1e9:.2g} billion"
    why = f"as the model has {size} parameters"
    if (fitted.groups, fitted.epochs) != (given.groups, given.epochs):
        why += " and is trained on a CPU"
    *first, last = parts
    said = f"{', '.join(first)} and {last}" if first else last
    return f"{said}, {why}"
