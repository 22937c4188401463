"""One update: what it trains, what it must not, and what can go wrong."""

from __future__ import annotations

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


def test_half_precision_may_round_but_not_differ(folder):
    updater = Updater(load(folder, "cpu", "bfloat16"), TrainingConfig())
    batch = as_batch(rows_of(updater))
    batch[0].row.logprobs[0] += 0.1  # more than float32 may differ by
    assert 0.05 < updater.update(batch)["mismatch"] < 0.5
    batch = as_batch(rows_of(updater))
    for made in batch:
        made.row.logprobs = [logprob - 0.05 for logprob in made.row.logprobs]
    with pytest.raises(PoliciesDisagree, match=r"more than 0\.02"):
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
