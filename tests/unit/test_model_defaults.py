"""Settings that depend on the size of the model."""

from __future__ import annotations

import pytest

pytest.importorskip("pydantic")

from agentgym.policy.folders.embedded import embedded_path
from agentgym.policy.folders.weight_files import parameter_count
from agentgym.training.job.config import TrainingConfig
from agentgym.training.job.model_defaults import (
    choice_in_words,
    fit_to_model,
    learning_rate_for,
)


@pytest.mark.parametrize(
    ("parameters", "rate"),
    [
        (0, 2e-3),
        (3_600_000, 2e-3),
        (30_000_000, 7e-4),
        (134_515_008, 3e-4),
        (596_049_920, 2e-4),
        (1_720_574_976, 1e-4),
        (8_030_261_248, 4e-5),
        (70_553_706_496, 2e-5),
    ],
)
def test_larger_models_take_smaller_steps(parameters, rate):
    assert learning_rate_for(parameters) == rate


def test_the_embedded_policys_settings_are_the_defaults():
    size = parameter_count(embedded_path())
    config = fit_to_model(TrainingConfig(), size, gpu=False)
    assert config == TrainingConfig()
    assert choice_in_words(TrainingConfig(), config, size) == ""


def test_what_is_given_is_kept():
    given = TrainingConfig(learning_rate=1e-2, groups=16, epochs=2)
    assert fit_to_model(given, 135_000_000, gpu=False) == given
    few = TrainingConfig(groups=3, epochs=2)
    chosen = fit_to_model(few, 135_000_000, gpu=False)
    # It counts as given, so that it is written down for a resumed training.
    assert chosen.model_dump(exclude_unset=True) == {
        "groups": 3,
        "epochs": 2,
        "learning_rate": 3e-4,
    }
    assert choice_in_words(few, chosen, 134_515_008) == (
        "learning rate 3e-04, as the model has 135 million parameters"
    )
    rest = fit_to_model(TrainingConfig(groups=3), 135_000_000, gpu=False)
    assert choice_in_words(TrainingConfig(groups=3), rest, 134_515_008) == (
        "learning rate 3e-04 and one pass over a batch, as the model has 135 million "
        "parameters and is trained on a CPU"
    )


@pytest.mark.parametrize(
    ("parameters", "gpu", "slow"),
    [
        (30_000_000, False, False),
        (135_000_000, False, True),
        (135_000_000, True, False),
        (8_000_000_000, False, True),
    ],
)
def test_an_update_does_less_where_it_takes_minutes(parameters, gpu, slow):
    chosen = fit_to_model(TrainingConfig(), parameters, gpu=gpu)
    assert (chosen.groups, chosen.epochs) == ((8, 1) if slow else (16, 2))
    said = choice_in_words(TrainingConfig(), chosen, parameters)
    assert (", batches of 8 cases and one pass over a batch, as" in said) is slow
    assert ("trained on a CPU" in said) is slow


def test_parameters_are_counted_without_loading_them(tmp_path):
    pytest.importorskip("torch")
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(embedded_path())
    count = sum(p.numel() for p in model.parameters())
    assert parameter_count(embedded_path()) == count
    assert parameter_count(tmp_path) == 0
    (tmp_path / "model.safetensors").write_bytes(b"broken")
    assert parameter_count(tmp_path) == 0
