"""A small Qwen3 model, and its loss on dialogues that begin alike."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional
from transformers import (
    GenerationConfig,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)
from transformers.cache_utils import DynamicCache

from agentgym.policy.build.recipe import Recipe
from agentgym.policy.build.tokenizer import END, PAD


def make_model(tokenizer: PreTrainedTokenizerFast, recipe: Recipe) -> Qwen3ForCausalLM:
    """A model with random weights, the same ones for the same seed.

    Args:
        tokenizer: Says the size of the vocabulary.
        recipe: Says the other sizes, and the seed.
    """
    torch.manual_seed(recipe.seed)
    vocabulary = tokenizer.get_vocab()
    end, pad = vocabulary[END], vocabulary[PAD]
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=recipe.hidden,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.heads,
        head_dim=recipe.hidden // recipe.heads,
        intermediate_size=recipe.feed_forward,
        max_position_embeddings=recipe.context,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=end,
        pad_token_id=pad,
    )
    model = Qwen3ForCausalLM(config)
    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        eos_token_id=[end], pad_token_id=pad, do_sample=True, temperature=1.0
    )
    return model


def behind_prefix(model: Qwen3ForCausalLM, prefix_P: Tensor, ids_BL: Tensor) -> Tensor:
    """Last hidden states [B, L, D] of rows that all continue the same prefix.

    The prefix, most of a prompt, is computed once for all rows, with its gradient.

    Args:
        model: The model.
        prefix_P: Token ids of the prefix.
        ids_BL: Token ids of the rows behind it, padded on the right.
    """
    rows = ids_BL.shape[0]
    shared = model.model(prefix_P[None], use_cache=True).past_key_values
    cache = DynamicCache()
    for number, layer in enumerate(shared.layers):
        keys, values = (x.expand(rows, -1, -1, -1) for x in (layer.keys, layer.values))
        cache.update(keys, values, number)
    # Padding comes last and weighs nothing, so a causal mask is all that is needed.
    hidden: Tensor = model.model(ids_BL, past_key_values=cache).last_hidden_state
    return hidden


def imitation_loss(
    model: Qwen3ForCausalLM, prefix_P: Tensor, ids_BL: Tensor, weights_BL: Tensor
) -> tuple[Tensor, Tensor]:
    """Weighted sum of the cross entropies of the rows' tokens, and what is likeliest.

    Args:
        model: The model.
        prefix_P: Tokens of the system turn, without weight.
        ids_BL: Tokens of the rows, padded on the right.
        weights_BL: How much each token counts; 0 for padding.

    Returns:
        The sum, and the likeliest token [B, L - 1] behind each; 0 before padding.
    """
    hidden = behind_prefix(model, prefix_P, ids_BL[:, :-1])
    weights = weights_BL[:, 1:]
    counted = weights > 0
    logits = model.lm_head(hidden[counted])
    losses = functional.cross_entropy(logits, ids_BL[:, 1:][counted], reduction="none")
    guesses = torch.zeros_like(ids_BL[:, 1:])
    guesses[counted] = logits.detach().argmax(-1)
    return (losses * weights[counted]).sum(), guesses


def save_policy(
    model: Qwen3ForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    folder: Path,
    *,
    temperature: float,
) -> None:
    """Writes a Hugging Face model folder in half precision.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        folder: The folder to write.
        temperature: What all logits are divided by.
    """
    weights = {name: value.half() for name, value in model.state_dict().items()}
    norm = model.model.norm.weight.detach() / temperature
    weights["model.norm.weight"] = norm.half()
    if model.config.tie_word_embeddings:
        weights.pop("lm_head.weight", None)
    dtype, model.config.dtype = model.config.dtype, torch.float16
    model.save_pretrained(folder, state_dict=weights)
    model.config.dtype = dtype
    tokenizer.save_pretrained(folder)
