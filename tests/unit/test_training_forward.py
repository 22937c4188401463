"""Shared prefixes give the log-probabilities and gradients of plain whole rows."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("peft")

import peft
import torch
from transformers import (
    CohereConfig,
    Gemma2Config,
    GraniteConfig,
    MistralConfig,
    Qwen3Config,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from agentgym.policy.engine.loading import load
from agentgym.policy.folders.embedded import embedded_path
from agentgym.training.batch.rows import TrainingRow
from agentgym.training.step import forward as module_forward
from agentgym.training.step import head
from agentgym.training.step.forward import Forward, Part
from tests.tiny_policy import make_tiny
from tests.tiny_training import make_rows, plain_logprobs

SMALL = {
    "vocab_size": 67,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 4,
    "bos_token_id": None,
    "eos_token_id": 0,
    "initializer_range": 0.3,
}


def with_lora(model: Any, targets: Any = "all-linear") -> Any:
    """Random LoRA layers, whose weights alone are trained."""
    config = peft.LoraConfig(
        r=2, target_modules=targets, init_lora_weights=False, task_type="CAUSAL_LM"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return peft.get_peft_model(model, config).eval().get_base_model()


def built(config: Any) -> Any:
    torch.manual_seed(0)
    return MODEL_FOR_CAUSAL_LM_MAPPING[type(config)](config).double().eval()


@pytest.fixture(params=["qwen3", "llama", "gpt2"])
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    torch.manual_seed(0)
    return with_lora(load(make_tiny(tmp_path / "m", request.param)).model.double())


def run(forward: Forward, rows: list[TrainingRow], tokens: int = 64) -> tuple[Any, ...]:
    """Log-probabilities and entropies by row, and the gradients of a weighted sum."""
    logprobs: dict[int, torch.Tensor] = {}
    entropies: dict[int, torch.Tensor] = {}
    parts: list[Part] = []

    def on_part(part: Part) -> torch.Tensor:
        parts.append(part)
        sizes = [len(rows[i].sampled) for i in part.rows]
        logprobs.update(
            zip(part.rows, part.logprobs_N.detach().split(sizes), strict=True)
        )
        entropies.update(zip(part.rows, part.entropies_N.split(sizes), strict=True))
        places = [float(t) for i in part.rows for t in rows[i].sampled]
        return (part.logprobs_N * torch.tensor(places).sin()).sum()

    forward._model.zero_grad(set_to_none=True)
    forward(rows, tokens=tokens, on_part=on_part)
    return logprobs, entropies, gradients(forward._model), parts


def gradients(model: Any) -> dict[str, torch.Tensor]:
    return {
        n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None
    }


def plain(model: Any, rows: list[TrainingRow]) -> tuple[Any, ...]:
    """The same, each row alone and whole."""
    logprobs, entropies = {}, {}
    model.zero_grad(set_to_none=True)
    for i, row in enumerate(rows):
        if not row.sampled:
            continue
        found = plain_logprobs(model, row)
        (found * torch.tensor([float(t) for t in row.sampled]).sin()).sum().backward()
        logprobs[i] = found.detach()
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([row.ids])).logits[0].log_softmax(-1)
            entropy = -(logits.exp() * logits).sum(-1)
            entropies[i] = entropy[torch.tensor(row.sampled) - 1]
    return logprobs, entropies, gradients(model)


def compare(found: tuple[Any, ...], wanted: tuple[Any, ...]) -> None:
    for these, those in zip(found, wanted, strict=False):
        assert these.keys() == those.keys()
        for key in those:
            # The forward pass sums logits in float32.
            torch.testing.assert_close(
                these[key].double(),
                those[key],
                rtol=2e-5,
                atol=2e-5,
                msg=lambda text, key=key: f"{key}: {text}",
            )


@pytest.mark.parametrize("tokens", [1, 40, 10_000])
def test_a_shared_prefix_changes_nothing(model, tokens):
    rows = make_rows(model.config.vocab_size)
    forward = Forward(model)
    assert forward.shares
    found = run(forward, rows, tokens)
    compare(found, plain(model, rows))
    assert all(g.abs().max() > 0 for g in found[2].values())
    numbers = sorted(i for part in found[3] for i in part.rows)
    assert numbers == list(range(len(rows)))
    # Prefixes were really shared: the rows are longer than what was run of them.
    assert len(found[3]) >= (len(rows) if tokens == 1 else 1)


@pytest.mark.parametrize("tokens", [40, 10_000])
def test_activations_that_are_computed_again_change_nothing(model, tokens):
    rows = make_rows(model.config.vocab_size)
    forward = Forward(model, recompute=True)
    assert forward.shares
    wanted = run(Forward(model, recompute=False), rows, tokens)
    again = run(forward, rows, tokens)
    for these, those in zip(again[:3], wanted[:3], strict=True):
        assert these.keys() == those.keys()
        for key, value in those.items():
            torch.testing.assert_close(these[key], value, rtol=1e-6, atol=1e-9)
    # The model is left as it was.
    assert not any("forward" in vars(module) for module in model.modules())


def test_activations_are_computed_again_where_memory_is_short(tmp_path, monkeypatch):
    base = load(make_tiny(tmp_path / "m", layers=4)).model
    model = with_lora(base)
    rows = make_rows(model.config.vocab_size, groups=2)
    forward = Forward(model)
    layer = model.model.layers[0].mlp
    seen = []
    layer.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape[1]))
    run(forward, rows, 10_000)
    kept = len(seen)
    # Far more than the hidden states between layers is kept of a token.
    assert forward._kept_bytes > 3 * 4 * 4 * model.config.hidden_size
    monkeypatch.setattr(module_forward, "free_memory", lambda device: 1)
    seen.clear()
    run(forward, rows, 10_000)
    assert len(seen) == 2 * kept
    with torch.no_grad():
        seen.clear()
        forward(rows, tokens=10_000, on_part=lambda part: None)
        assert len(seen) == kept


def test_without_sharing_it_is_the_same(model):
    rows = make_rows(model.config.vocab_size)
    forward = Forward(model, share=False)
    assert not forward.shares
    compare(run(forward, rows), plain(model, rows))


def test_a_prefix_is_computed_once(model):
    rows = make_rows(model.config.vocab_size, groups=1, size=6)
    read = []
    embedding = model.get_input_embeddings()
    handle = embedding.register_forward_hook(lambda _, given, __: read.append(given[0]))
    forward = Forward(model)
    read.clear()
    run(forward, rows, tokens=10_000)
    handle.remove()
    # A prefix of the prompt but its last token, then the rest of all rows, padded.
    prompt = min(row.sampled[0] for row in rows) - 1
    longest = max(row.sampled[-1] + 1 for row in rows) - prompt
    assert [tuple(ids.shape) for ids in read] == [(1, prompt), (6, longest)]


def test_what_cannot_be_trained_or_need_not_be(model):
    rows = make_rows(model.config.vocab_size, groups=1)
    # Nothing was sampled; tokens follow that no reply follows; a row twice.
    rows[0].sampled = []
    rows[1].ids = [*rows[1].ids, 1, 2, 3]
    rows.append(rows[2])
    forward = Forward(model)
    compare(run(forward, rows), plain(model, rows))
    run_of_none = run(forward, [])
    assert run_of_none[0] == {}
    assert run_of_none[3] == []
    seen: list[Part] = []
    model.zero_grad(set_to_none=True)
    with torch.no_grad():
        forward(rows, tokens=99, on_part=seen.append)
    assert seen
    assert not any(part.logprobs_N.requires_grad for part in seen)
    assert gradients(model) == {}


def test_keys_without_lora_weights_need_no_gradient(tmp_path):
    base = load(make_tiny(tmp_path / "m")).model.double()
    model = with_lora(base, ["q_proj", "v_proj"])
    rows = make_rows(model.config.vocab_size)
    forward = Forward(model)
    assert forward.shares
    compare(run(forward, rows), plain(model, rows))


LAYERS = {"layer_types": ["sliding_attention", "full_attention"]}


@pytest.mark.parametrize(
    ("config", "shares"),
    [
        (MistralConfig(**SMALL, sliding_window=5), None),
        (
            Qwen3Config(**SMALL, use_sliding_window=True, sliding_window=5, **LAYERS),
            None,
        ),
        # Logits are scaled behind the output layer.
        (GraniteConfig(**SMALL, logits_scaling=3.0, attention_multiplier=0.5), True),
        (CohereConfig(**SMALL, logit_scale=0.3), True),
        (
            Gemma2Config(
                **SMALL, final_logit_softcapping=5.0, attn_logit_softcapping=None
            ),
            None,
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_other_architectures(config, shares):
    model = built(config)
    forward = Forward(model)
    if shares is not None:
        assert forward.shares == shares
    if type(config) not in (MistralConfig, Qwen3Config):
        # The most memory is that of logits: they are made apart, a few at a time.
        assert forward._head is not None
    rows = make_rows(config.vocab_size)
    compare(run(forward, rows), plain(model, rows))


@pytest.mark.parametrize("targets", ["all-linear", ["q_proj", "lm_head"]])
def test_logits_of_few_tokens_are_in_memory_at_a_time(tmp_path, monkeypatch, targets):
    """Whether the output layer is frozen or trained, and with an adapter of its own."""
    base = load(make_tiny(tmp_path / "m")).model.double()
    model = with_lora(base, targets)
    rows = make_rows(model.config.vocab_size)
    forward = Forward(model)
    whole = run(forward, rows, tokens=10_000)
    monkeypatch.setattr(head, "CHUNK_BYTES", 1)
    seen = []
    layer = model.get_output_embeddings()
    layer.register_forward_hook(lambda _, given, __: seen.append(len(given[0])))
    in_chunks = run(forward, rows, tokens=10_000)
    assert max(seen) == 16
    assert len(seen) > 2
    for these, those in zip(in_chunks[:3], whole[:3], strict=True):
        assert these.keys() == those.keys()
        for key, value in those.items():
            torch.testing.assert_close(these[key], value, rtol=1e-6, atol=1e-6)
    compare(in_chunks, plain(model, rows))
    assert any("lm_head" in name for name in in_chunks[2]) == ("lm_head" in targets)


def test_the_embedded_policy_shares():
    forward = Forward(load(embedded_path(), "cpu").model)
    assert forward.shares
    assert forward._head is not None
