"""Does what samples have the base model that is trained?"""

from __future__ import annotations

import math

import torch

from agentgym.errors import UsageError
from agentgym.policy.engine.loading import LoadedPolicy
from agentgym.training.step.sampler_mismatch import MAX_MEAN_MISMATCH

PROBE = 24
"""Tokens of a prompt and of a reply."""


def probe(policy: LoadedPolicy) -> list[int]:
    """Token ids that any tokenizer has, and none of them ends a turn."""
    special = policy.stop_ids | policy.forbidden_ids
    text = "The quick brown fox jumps over the lazy dog. 0123456789 " * 2
    ids = policy.tokenizer(text, add_special_tokens=False)["input_ids"]
    return [i for i in ids if i not in special][:PROBE]


def check_base(
    policy: LoadedPolicy, prompt: list[int], token_ids: list[int], logprobs: list[float]
) -> None:
    """Compares what was sampled with the model that is trained, before anything is.

    Args:
        policy: The base model, before it gets LoRA layers.
        prompt: Token ids.
        token_ids: What the other engine's base model went on with.
        logprobs: Their log-probabilities there.

    Raises:
        UsageError: It is another model.
    """
    mean = math.inf
    if max(token_ids, default=0) < policy.width:
        mean = _mean_difference(policy, prompt, token_ids, logprobs)
    if not mean <= MAX_MEAN_MISMATCH:
        raise UsageError(
            f"vLLM serves another base model than the one in {policy.path}, which is "
            "trained: their log-probabilities of the same tokens differ by "
            f"{mean:.2g} on average"
        )


def _mean_difference(
    policy: LoadedPolicy, prompt: list[int], token_ids: list[int], logprobs: list[float]
) -> float:
    ids = torch.tensor([[*prompt, *token_ids]], device=policy.model.device)
    with torch.inference_mode():
        logits = policy.model(input_ids=ids, use_cache=False).logits[0].float()
    here = logits.log_softmax(-1)[len(prompt) - 1 : -1]
    chosen = here.gather(-1, ids[0, len(prompt) :, None])[:, 0]
    return float((chosen - chosen.new_tensor(logprobs)).abs().mean())
