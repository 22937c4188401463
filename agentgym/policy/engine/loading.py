"""Loads a language model folder that can be the policy of an agent."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers.utils import logging as hf_logging

from agentgym.errors import UsageError
from agentgym.policy.engine.end_of_turn import end_of_turn
from agentgym.policy.folders.model_folder import check_folder, check_template

SMALL = 30_000_000
"""Parameters below which one thread is faster: the products are too small to share."""
_DTYPES = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadedPolicy:
    """A model with its tokenizer and what sampling needs to know about them."""

    path: Path
    name: str
    model: PreTrainedModel
    tokenizer: Any
    stop_ids: frozenset[int]
    """Tokens that end a turn."""
    forbidden_ids: frozenset[int]
    """Tokens that are never sampled: padding, and ids that mean no token."""
    width: int
    """Logits per token: at least the size of the vocabulary."""
    context: int
    """The most tokens that a prompt and its reply may have together."""


def load(
    path: str | Path, device: str = "auto", dtype: str = "auto", *, name: str = ""
) -> LoadedPolicy:
    """Loads a local Hugging Face causal LM whose chat template knows tools.

    Args:
        path: Folder with config, weights and tokenizer.
        device: "cpu", "cuda", ... or "auto": a GPU if there is one.
        dtype: "float32", "float16", "bfloat16" or "auto": as stored, but float32 on a
            CPU, where half precision is slower and less exact.
        name: Name of the model in the API; the folder's name if empty.

    Raises:
        UsageError: The folder cannot be used; the message says why.
    """
    folder = Path(path).expanduser()
    check_folder(folder)
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
            f"device {device!r} cannot be used ({_one_line(error)}): use auto or cpu"
        ) from error
    tokenizer = _load_tokenizer(folder)
    hf_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=torch_dtype,
            local_files_only=True,
            attn_implementation="sdpa",
        )
    except Exception as error:  # Loaders of many formats raise what they like.
        raise UsageError(
            f"the model in {folder} cannot be loaded: {_one_line(error)}"
        ) from error
    model = model.to(torch.device(device)).eval().requires_grad_(requires_grad=False)
    width = int(model.config.vocab_size)
    stop_ids = _stop_ids(model, tokenizer)
    return LoadedPolicy(
        path=folder,
        name=name or folder.resolve().name,
        model=model,
        tokenizer=tokenizer,
        stop_ids=stop_ids,
        forbidden_ids=_forbidden_ids(tokenizer, width) - stop_ids,
        width=width,
        context=_context(model),
    )


def _load_tokenizer(folder: Path) -> Any:
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:
        raise UsageError(
            f"the tokenizer in {folder} cannot be loaded: {_one_line(error)}"
        ) from error
    template = tokenizer.chat_template
    if isinstance(template, dict):
        template = template.get("tool_use") or template.get("default")
    check_template(folder, template)
    return tokenizer


def _stop_ids(model: PreTrainedModel, tokenizer: Any) -> frozenset[int]:
    ids: set[int] = set()
    for source in (model.generation_config, model.config):
        eos = getattr(source, "eos_token_id", None)
        ids.update(eos if isinstance(eos, list) else [eos] if eos is not None else [])
    if tokenizer.eos_token_id is not None:
        ids.add(tokenizer.eos_token_id)
    end = end_of_turn(tokenizer)
    tail = tokenizer(end, add_special_tokens=False)["input_ids"]
    if tail and tail[0] in tokenizer.added_tokens_decoder:
        ids.add(tail[0])
    return frozenset(ids)


def _forbidden_ids(tokenizer: Any, width: int) -> frozenset[int]:
    ids = set(range(len(tokenizer), width))
    if tokenizer.pad_token_id is not None:
        ids.add(tokenizer.pad_token_id)
    return frozenset(ids)


def _context(model: PreTrainedModel) -> int:
    for key in ("max_position_embeddings", "n_positions", "max_seq_len"):
        size = getattr(model.config, key, None)
        if isinstance(size, int) and size > 0:
            return size
    return 1 << 20


def _one_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
