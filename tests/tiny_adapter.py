"""Random LoRA adapters made and read by peft itself."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model

from agentgym.policy.engine.generation import Generation
from agentgym.policy.engine.loading import LoadedPolicy, load


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """peft warns of tied weights, and uses names that transformers will remove."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def make_adapter(base: Path, folder: Path, seed: int = 0, **config: Any) -> Path:
    """Writes an adapter of a model folder that changes it a lot."""
    torch.manual_seed(seed)
    settings = {
        "r": 4,
        "lora_alpha": 8,
        "target_modules": "all-linear",
        "init_lora_weights": False,
        "task_type": "CAUSAL_LM",
    }
    policy = load(base)
    if policy.model.config.model_type == "gpt2":
        settings["fan_in_fan_out"] = True
    with _quiet():
        model = get_peft_model(policy.model, LoraConfig(**(settings | config)))
        model.save_pretrained(folder, save_embedding_layers=False)
    return folder


def with_adapter(base: Path, folder: Path | None) -> LoadedPolicy | PeftModel:
    """The model that sampling is compared with: peft's, not merged."""
    model = load(base).model
    with _quiet():
        return model if folder is None else PeftModel.from_pretrained(model, folder)


def worst_difference(model: Any, done: list[Generation]) -> float:
    """The furthest that a log-probability is from a plain full forward pass's."""
    worst = 0.0
    for g in done:
        ids = torch.tensor([[*g.prompt, *g.token_ids]])
        with torch.inference_mode():
            logprobs = model(input_ids=ids).logits.log_softmax(-1)
        sampled = logprobs[0, len(g.prompt) - 1 : -1]
        expected = sampled.gather(-1, torch.tensor(g.token_ids)[:, None])[:, 0]
        worst = max(worst, float((expected - torch.tensor(g.logprobs)).abs().max()))
    return worst
