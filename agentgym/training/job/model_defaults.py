"""The settings whose best value depends on the model that is trained."""

from __future__ import annotations

import math

from agentgym.training.job.config import TrainingConfig

_SIZE = 4_000_000
"""Parameters up to which the default of `TrainingConfig` was measured."""


def learning_rate_for(parameters: int) -> float:
    """The learning rate of a model's LoRA weights, to one digit.

    It falls with the square root of the size: 2e-3 for the embedded policy and 3e-4 for
    135 million parameters were measured, and 7 billion get what is usual for them.

    Args:
        parameters: How many the model has.
    """
    most: float = TrainingConfig.model_fields["learning_rate"].default
    return float(f"{most * math.sqrt(_SIZE / max(parameters, _SIZE)):.0e}")


def fit_to_model(config: TrainingConfig, parameters: int) -> TrainingConfig:
    """The settings with those that were not given chosen for the model.

    They count as given from then on, so that a resumed training has the same.

    Args:
        config: As the user gave it.
        parameters: How many the model has.
    """
    if "learning_rate" in config.model_fields_set:
        return config
    rate = learning_rate_for(parameters)
    return config.model_copy(update={"learning_rate": rate})


def rate_in_words(config: TrainingConfig, parameters: int) -> str:
    """What `fit_to_model` chose, in one line.

    Args:
        config: What it gave.
        parameters: How many the model has.
    """
    size = f"{parameters / 1e6:.3g} million"
    if parameters >= 1e9:
        size = f"{parameters / 1e9:.2g} billion"
    return (
        f"learning rate {config.learning_rate:.0e}, as the model has {size} parameters"
    )
