"""Whether a config describes a model that the weights beside it can fill.

transformers makes room for weights that no file has, and fills it at random. A config
that claims more layers, experts or tokens than there are would cost memory, and give
a model that nobody trained.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from agentgym.errors import UsageError
from agentgym.policy.chat.opened_tokenizer import OWN_CODE, needs_own_code, one_line
from agentgym.policy.chat.time_limit import time_limit
from agentgym.policy.folders.hub_cache import shown
from agentgym.policy.folders.weight_files import read_held

SECONDS = 60.0
"""Until the model is built without its numbers, which takes a fraction of one."""
_PACKED = 16
"""Numbers of a quantized weight that may be in one number of its file."""
_MORE = 1.02
"""Some models have a few numbers that their files leave out."""
_FEW = 100_000
_MOST_BUFFERS = 256 << 20
"""Bytes of masks and tables that a model makes itself, such as GPT-2's."""


def check_claims(folder: Path, config: Any) -> None:
    """Checks that a model's weights are about as many as its config says.

    Args:
        folder: Of the model.
        config: As transformers read it.

    Raises:
        UsageError: They are fewer, or no model can be built by the config.
    """
    held = read_held(folder, getattr(config, "transformers_weights", None))
    model = _outline(folder, config)
    numbers = _sum(model.parameters(), Tensor.numel)
    made = _sum(model.buffers(), lambda buffer: buffer.numel() * buffer.itemsize)
    packed = getattr(config, "quantization_config", None) is not None
    most = held.numbers * (_PACKED if packed else _MORE) + _FEW
    if numbers > most or made > max(held.size, _MOST_BUFFERS):
        what = f"{numbers:,} numbers"
        if numbers <= most:
            what = f"{made:,} bytes of tables"
        raise UsageError(
            f"{folder / 'config.json'} is not the config of the weights beside it: it "
            f"describes a model of {what}, and they are {held.numbers:,} numbers; get "
            "both from where the model comes from"
        )


def _outline(folder: Path, config: Any) -> Any:
    """The model that a config describes, without memory for its numbers."""
    try:
        with time_limit(SECONDS), torch.device("meta"):
            return AutoModelForCausalLM.from_config(
                config, attn_implementation="sdpa", trust_remote_code=False
            )
    except TimeoutError:
        raise UsageError(
            f"{folder / 'config.json'} describes a model that was not built within "
            f"{SECONDS:g} s: get it from where the model comes from"
        ) from None
    except Exception as error:  # of another kind for each mistake
        if OWN_CODE in str(error):
            raise UsageError(needs_own_code(folder)) from error
        raise UsageError(
            f"the model in {shown(folder)} cannot be built as its config.json says: "
            f"{one_line(error)}"
        ) from error


def _sum(tensors: Iterable[Tensor], size: Any) -> int:
    return sum(map(size, tensors))
