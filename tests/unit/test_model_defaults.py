"""Settings that depend on the size of the model."""

from __future__ import annotations

import pytest

pytest.importorskip("pydantic")

from agentgym.policy.folders.embedded import embedded_path
from agentgym.policy.folders.safetensors_header import parameter_count
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
    given = TrainingConfig(learning_rate=1e-2, groups=16)
    assert fit_to_model(given, 135_000_000, gpu=False) == given
    few = TrainingConfig(groups=3)
    chosen = fit_to_model(few, 135_000_000, gpu=False)
    # It counts as given, so that it is written down for a resumed training.
    assert chosen.model_dump(exclude_unset=True) == {
        "groups": 3,
        "learning_rate": 3e-4,
    }
    assert choice_in_words(few, chosen, 134_515_008) == (
        "learning rate 3e-04, as the model has 135 million parameters"
    )


@pytest.mark.parametrize(
    ("parameters", "gpu", "groups"),
    [
        (30_000_000, False, 16),
        (135_000_000, False, 8),
        (135_000_000, True, 16),
        (8_000_000_000, False, 8),
    ],
)
def test_batches_are_smaller_where_an_update_takes_minutes(parameters, gpu, groups):
    chosen = fit_to_model(TrainingConfig(), parameters, gpu=gpu)
    assert chosen.groups == groups
    said = choice_in_words(TrainingConfig(), chosen, parameters)
    assert ("batches of 8 cases" in said) is (groups == 8)
    assert ("trained on a CPU" in said) is (groups == 8)


def test_parameters_are_counted_without_loading_them(tmp_path):
    torch = pytest.importorskip("torch")
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(embedded_path())
    count = sum(p.numel() for p in model.parameters())
    assert parameter_count(embedded_path()) == count
    torch.save({"w": torch.zeros(1_000_000)}, tmp_path / "pytorch_model.bin")
    assert parameter_count(tmp_path) == pytest.approx(2_000_000, rel=0.01)
    (tmp_path / "model.safetensors").write_bytes(b"broken")
    assert parameter_count(tmp_path) == 0
