"""Wishes that change logits by what was said: penalties and biases.

As OpenAI's reference (presence, frequency, bias) and Keskar et al., arXiv:1909.05858
(repetition) define them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from torch import Tensor

from agentgym.policy.engine.generation import SamplingParams


def reshape(
    logits_V: Tensor,
    params: SamplingParams,
    prompt: Sequence[int],
    said: Sequence[int],
) -> Tensor:
    """One row's logits as its wishes change them; the given ones stay as they are.

    Args:
        logits_V: Raw logits over V tokens.
        params: The row's wishes.
        prompt: The prompt's tokens, which only the repetition penalty knows.
        said: The tokens sampled so far.
    """
    logits_V = logits_V.float().clone()
    if params.repetition_penalty != 1:
        seen = logits_V.new_tensor(sorted({*prompt, *said})).long()
        raw = logits_V[seen]
        by = params.repetition_penalty
        logits_V[seen] = (raw / by).where(raw > 0, raw * by)
    for token, times in Counter(said).items():
        logits_V[token] -= params.presence_penalty + times * params.frequency_penalty
    for token, bias in params.logit_bias:
        logits_V[token] += bias
    return logits_V
