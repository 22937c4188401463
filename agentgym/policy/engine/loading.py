"""Loads a language model folder that can be the policy of an agent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.utils import logging as hf_logging

from agentgym.errors import UsageError
from agentgym.policy.chat.opened_tokenizer import one_line
from agentgym.policy.chat.trial import trial_beside
from agentgym.policy.engine.claimed_size import check_claims
from agentgym.policy.engine.free_memory import free_memory
from agentgym.policy.engine.room import check_room, too_small
from agentgym.policy.engine.token_model import (
    TokenModel,
    describe,
    load_tokenizer,
    read_config,
)
from agentgym.policy.folders.embedded import is_embedded
from agentgym.policy.folders.hub_cache import shown
from agentgym.policy.folders.model_folder import check_folder
from agentgym.policy.folders.weight_files import parameter_count

SMALL = 30_000_000
"""Parameters below which one thread is faster: the products are too small to share."""
_DTYPES = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadedPolicy(TokenModel):
    """A model with its weights."""

    model: PreTrainedModel


def load(
    path: str | Path,
    device: str = "auto",
    dtype: str = "auto",
    *,
    name: str = "",
    template: Mapping[str, Any] | None = None,
) -> LoadedPolicy:
    """Loads a local Hugging Face causal LM whose chat template knows tools.

    Args:
        path: Folder with config, weights and tokenizer.
        device: "cpu", "cuda", ... or "auto": a GPU if there is one.
        dtype: "float32", "float16", "bfloat16" or "auto": as stored, but float32 on a
            CPU, where half precision is slower and less exact.
        name: Name of the model in the API; the hub's or the folder's if empty.
        template: Variables of its chat template, such as `enable_thinking`.

    Raises:
        UsageError: The folder cannot be used; the message says why.
    """
    folder = Path(path).expanduser()
    check_folder(folder)
    with trial_beside(folder):
        place, torch_dtype = _chosen(device, dtype)
        check_room(folder, place, torch_dtype)
        if not is_embedded(folder):
            check_claims(folder, read_config(folder))
    tokenizer = load_tokenizer(folder)
    model = _load_weights(folder, place, torch_dtype)
    # peft writes it into adapters, where a path of the hub's cache helps nobody.
    model.name_or_path = shown(folder)
    model = model.eval().requires_grad_(requires_grad=False)
    configs = (model.config, model.generation_config)
    known = describe(folder, tokenizer, *configs, name, template)
    return LoadedPolicy(model=model, **known)


def _chosen(device: str, dtype: str) -> tuple[torch.device, Any]:
    """Where the weights will be, and as what; see `load`."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if dtype == "auto":
        torch_dtype: Any = torch.float32 if device == "cpu" else "auto"
    elif dtype in _DTYPES:
        torch_dtype = _DTYPES[dtype]
    else:
        raise UsageError(f"dtype {dtype!r} is unknown: use auto, {', '.join(_DTYPES)}")
    try:
        torch.empty(0, device=device)
    except Exception as error:  # of another kind for each device
        raise UsageError(
            f"device {device!r} cannot be used ({one_line(error)}): use auto or cpu"
        ) from error
    return torch.device(device), torch_dtype


def _load_weights(folder: Path, place: torch.device, dtype: Any) -> Any:
    """The model with its weights on a device.

    Raises:
        UsageError: It cannot be loaded, or does not fit any more.
    """
    hf_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            attn_implementation="sdpa",
        )
        return loaded.to(place)
    except torch.OutOfMemoryError as error:
        # Somebody else took it meanwhile: the trainer beside the sampler, say.
        count = parameter_count(folder)
        raise too_small(
            folder, place, count=count, each=2.0, free=free_memory(place)
        ) from error
    except Exception as error:  # Loaders of many formats raise what they like.
        raise UsageError(
            f"the model in {shown(folder)} cannot be loaded: {one_line(error)}"
        ) from error
