"""Whether a model's config can be true of the weights that lie beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from agentgym.policy.folders.others.plain_json import quoted

MOST_TOKENS = 4_000_000
"""Of a vocabulary: many times the largest that there is."""
_MOST_MODULES = 10_000
_MODULES = re.compile(
    r"(?:.*_)?(?:layers?|blocks?|stages?|heads?|groups?|experts?|depths?)"
)
"""Keys whose numbers say how many there are of something that is made one by one."""
_LAYERS = frozenset(
    ("num_hidden_layers", "num_layers", "n_layers", "n_layer", "decoder_layers")
)
_WIDTHS = frozenset(
    (
        *("hidden_size", "intermediate_size", "moe_intermediate_size", "head_dim"),
        *("d_model", "d_ff", "n_embd", "n_inner", "ffn_dim", "word_embed_proj_dim"),
        *("q_lora_rank", "kv_lora_rank", "vocab_size", "num_attention_heads", "n_head"),
    )
)
"""Keys of numbers that a weight has as one of its sizes."""
_AT_LEAST_ONE = frozenset(
    ("hidden_size", "d_model", "n_embd", "vocab_size", "num_attention_heads", "n_head")
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """What a model's weight files hold, by their headers.

    Attributes:
        tensors: How many there are.
        numbers: In all of them.
        size: Bytes of all of them.
    """

    tensors: int
    numbers: int
    size: int


def check_sizes(config: Mapping[str, Any], held: Held) -> None:
    """Checks the sizes in a config, and in those of the models that it is made of.

    Args:
        config: What `config.json` says.
        held: What the weights hold.

    Raises:
        ValueError: One cannot be true; the text says which.
    """
    for key, value in _said(config):
        layers, width = key in _LAYERS, key in _WIDTHS
        if value is None or not (layers or width or _MODULES.fullmatch(key)):
            continue
        if type(value) is not int:
            if layers or width:
                raise ValueError(
                    f"{key} is {quoted(value)}, and should be a whole number"
                )
            continue
        _check_size(key, value, held)


def _said(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    waiting = [config]
    while waiting:
        for key, value in waiting.pop().items():
            for each in value if isinstance(value, list) else [value]:
                if isinstance(each, dict):
                    waiting.append(each)
                yield key, each


def _check_size(key: str, value: int, held: Held) -> None:
    least = 1 if key in _AT_LEAST_ONE else 0
    most, why = _MOST_MODULES, f"at most {_MOST_MODULES:,} are taken"
    if key in _WIDTHS:
        most, why = held.numbers, f"its weights are {held.numbers:,} numbers"
        if key == "vocab_size" and most > MOST_TOKENS:
            most, why = MOST_TOKENS, f"at most {MOST_TOKENS:,} are taken"
    elif key in _LAYERS and held.tensors < most:
        most, why = held.tensors, f"its weights are {held.tensors:,} tensors"
    if not least <= value <= most:
        raise ValueError(
            f"{quoted(key)} is {quoted(value)}, and "
            + (f"should be at least {least}" if value < least else why)
        )
