"""One update: what it trains, what it must not, and what can go wrong."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("peft")

import torch

from agentgym.errors import UsageError
from agentgym.policy.engine.loading import load
from agentgym.training.batch.batch import BatchRow
from agentgym.training.batch.rows import TrainingRow
from agentgym.training.job.config import TrainingConfig
from agentgym.training.step import update
from agentgym.training.step.update import PoliciesDisagree, Updater
from tests.tiny_policy import make_tiny
from tests.tiny_training import as_batch, make_rows, record

TEXT = "output_generation"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    return make_tiny(tmp_path_factory.mktemp("tiny") / "m", "qwen3")


@pytest.fixture
def make(folder: Path) -> Any:
    def make(**settings: Any) -> Updater:
        return Updater(load(folder, "cpu"), TrainingConfig(**settings))

    return make


def rows_of(updater: Updater) -> list[TrainingRow]:
    model = updater.model.get_base_model()
    return record(model, make_rows(model.config.vocab_size))


def moved(updater: Updater, batch: list[BatchRow]) -> dict[str, torch.Tensor]:
    """What an update does to the weights."""
    before = {n: p.detach().clone() for n, p in updater.parameters.items()}
    updater.update(batch)
    return {n: p.detach() - before[n] for n, p in updater.parameters.items()}


def test_frozen_tokens_have_no_gradient_at_all(make):
    """Whatever is earned by free text, the same step is taken."""
    steps = []
    for wrong in (0.0, 50.0):
        updater = make(frozen_kl=0.0)
        batch = as_batch(rows_of(updater), frozen=TEXT)
        for made in batch:
            made.advantages = [
                wrong if frozen else advantage
                for advantage, frozen in zip(made.advantages, made.frozen, strict=True)
            ]
        steps.append(moved(updater, batch))
    for name, step in steps[0].items():
        assert torch.equal(step, steps[1][name])
    assert any(step.abs().max() > 0 for step in steps[0].values())


def test_with_all_tokens_frozen_nothing_moves(make):
    updater = make(frozen_kl=0.0)
    batch = as_batch(rows_of(updater))
    for made in batch:
        made.frozen, made.weights = [1.0] * len(made.weights), [0.0] * len(made.weights)
    assert all((step == 0).all() for step in moved(updater, batch).values())


def test_a_small_kl_holds_frozen_tokens_where_they_are(make):
    drifts = []
    for frozen_kl in (0.0, 1.0):
        updater = make(frozen_kl=frozen_kl)
        batches = (as_batch(rows_of(updater), frozen=TEXT) for _ in range(12))
        drifts.append(sum(updater.update(batch)["drift"] for batch in batches))
    assert drifts[1] < 0.8 * drifts[0]


def test_what_earns_more_becomes_likelier(make):
    updater = make()
    batch = as_batch(rows_of(updater))
    before = [sum(made.row.logprobs) for made in batch]
    for _ in range(3):
        metrics = updater.update(batch := as_batch(rows_of(updater)))
    assert metrics["mismatch"] < 1e-4
    after = [sum(made.row.logprobs) for made in batch]
    gains = [
        (a - b) * made.advantages[0]
        for a, b, made in zip(after, before, batch, strict=True)
    ]
    assert sum(gains) > 0


def test_another_policy_than_the_recorded_one_is_refused(make):
    updater = make()
    batch = as_batch(rows_of(updater))
    batch[0].row.logprobs[0] += 0.02
    with pytest.raises(PoliciesDisagree, match=r"differ by 0\.02 "):
        updater.update(batch)
    batch[0].fresh = [0.0] * len(batch[0].fresh)  # of an older version
    updater.update(batch)


def test_half_precision_is_corrected_and_measured(folder):
    updater = Updater(load(folder, "cpu", "bfloat16"), TrainingConfig())
    batch = as_batch(rows_of(updater))
    batch[0].row.logprobs[0] += 0.1  # more than float32 may differ by
    metrics = updater.update(batch)
    assert 0.05 < metrics["mismatch"] < 0.5
    assert 0 < metrics["corrected_share"] < 1
    batch = as_batch(rows_of(updater))
    for made in batch:
        made.row.logprobs = [logprob - 0.4 for logprob in made.row.logprobs]
    with pytest.raises(PoliciesDisagree, match=r"on average .*more than 0\.3"):
        updater.update(batch)


def test_another_engine_is_corrected_by_truncated_importance_weights(make, folder):
    """The gradient is the one of weights written out by hand."""
    updater = make(epochs=1, frozen_kl=0.0)
    batch = as_batch(rows_of(updater))
    wanted = as_batch(rows_of(updater))
    off = [0.0, 0.3, -0.4, 2.0, -2.0]
    for made, by_hand in zip(batch, wanted, strict=True):
        shift = [off[i % 5] / 10 for i in range(len(made.row.logprobs))]
        shift[0] = -1.0  # as if the sampler thought it far less likely
        made.row.logprobs = [
            logprob + by for logprob, by in zip(made.row.logprobs, shift, strict=True)
        ]
        by_hand.weights = [
            weight * min(math.exp(-by), 2.0)
            for weight, by in zip(by_hand.weights, shift, strict=True)
        ]
    config = TrainingConfig(epochs=1, frozen_kl=0.0)
    other = Updater(load(folder, "cpu"), config, sampler="vLLM")
    episodes = len(batch)
    metrics = other.update(batch, episodes=episodes)
    plain = updater.update(wanted, episodes=episodes)
    assert metrics["grad_norm"] == pytest.approx(plain["grad_norm"], rel=1e-4)
    for name, parameter in updater.parameters.items():
        torch.testing.assert_close(other.parameters[name], parameter)
    tokens = sum(len(made.weights) for made in batch)
    assert metrics["truncated_share"] == pytest.approx(len(batch) / tokens)
    assert metrics["corrected_share"] > metrics["truncated_share"]
    assert metrics["mismatch"] == pytest.approx(1.0, abs=1e-4)


def test_our_own_engine_in_float32_is_not_corrected(make):
    metrics = (updater := make()).update(as_batch(rows_of(updater)))
    assert metrics["corrected_share"] == metrics["truncated_share"] == 0


def test_another_engine_with_other_weights_is_refused(folder):
    updater = Updater(load(folder, "cpu"), TrainingConfig(), sampler="vLLM at x")
    batch = as_batch(rows_of(updater))
    for made in batch:
        made.row.logprobs = [logprob - 0.9 for logprob in made.row.logprobs]
    with pytest.raises(PoliciesDisagree, match="vLLM at x does not run the weights"):
        updater.update(batch)


def test_activations_that_are_computed_again_give_the_same_step(make, capfd):
    kept, again = make(), make(gradient_checkpointing=True)
    wanted = moved(kept, as_batch(rows_of(kept)))
    for name, step in moved(again, as_batch(rows_of(again))).items():
        torch.testing.assert_close(step, wanted[name], atol=1e-5, rtol=1e-3)
    assert capfd.readouterr() == ("", "")


def test_a_saved_adapter_is_trained_further(make, folder, tmp_path):
    updater = make()
    updater.update(as_batch(rows_of(updater)))
    updater.save_adapter(tmp_path / "adapter")
    further = Updater(
        load(folder, "cpu"), TrainingConfig(), adapter=tmp_path / "adapter"
    )
    assert further.update(as_batch(rows_of(updater)))["mismatch"] < 1e-4
    moves = [p - updater.parameters[n] for n, p in further.parameters.items()]
    assert any(move.abs().max() > 0 for move in moves)


def test_a_step_that_breaks_the_policy_is_taken_back(make):
    updater = make(learning_rate=1e30)
    with pytest.raises(UsageError, match="lower learning_rate"):
        moved(updater, as_batch(rows_of(updater)))
    for made in rows_of(updater):
        assert all(-100 < logprob <= 0 for logprob in made.logprobs)


def short_of_memory(updater: Updater, most: int) -> None:
    """Has parts of more tokens fail as torch does."""
    forward = updater._forward

    def limited(rows: Any, *, tokens: int, on_part: Any) -> None:
        if tokens > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")
        forward(rows, tokens=tokens, on_part=on_part)

    updater._forward = limited  # type: ignore[assignment]


def test_smaller_parts_where_memory_ends(make):
    whole, parts = make(), make()
    short_of_memory(parts, update.CPU_PART // 4)
    wanted = moved(whole, as_batch(rows_of(whole)))
    for name, step in moved(parts, as_batch(rows_of(parts))).items():
        torch.testing.assert_close(step, wanted[name], atol=1e-5, rtol=1e-3)


def test_too_little_memory_for_anything(make):
    updater = make()
    short_of_memory(updater, 0)
    with pytest.raises(UsageError, match=r"too little memory .*smaller model"):
        updater.update(as_batch(rows_of(updater)))


def test_a_state_goes_on_as_if_nothing_had_been(make):
    first, second = make(), make()
    for _ in range(2):
        first.update(as_batch(rows_of(first)))
    second.restore(first.state())
    wanted = moved(first, as_batch(rows_of(first)))
    for name, step in moved(second, as_batch(rows_of(second))).items():
        assert torch.equal(step, wanted[name])
