"""A base model and its adapter as one plain Hugging Face folder."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import torch
from transformers import PreTrainedModel

from agentgym.errors import UsageError
from agentgym.policy.engine.adapter import AdaptedWeights, read_adapter
from agentgym.policy.engine.loading import load
from agentgym.policy.folders.model_folder import DTYPES, stored_dtype
from agentgym.runs.files.held_folder import HeldFolder


def merge(
    base: Path, adapter: Path, target: Path, *, name: str, dtype: str | None = None
) -> Path:
    """Writes the merged model; it appears at once and whole, or not at all.

    Args:
        base: Folder of the base model.
        adapter: Folder of its adapter.
        target: The new folder.
        name: What error messages call the base model.
        dtype: "float32", "float16" or "bfloat16"; None: as the base model is stored.

    Returns:
        The new folder.

    Raises:
        UsageError: It is there and not empty, or cannot be written, or the model or its
            adapter cannot be used.
    """
    if dtype not in (None, *DTYPES):
        raise UsageError(f"dtype {dtype!r} is unknown: use {', '.join(DTYPES)}")
    target = target.expanduser().absolute()
    _check_free(target)
    stored = stored_dtype(base)
    wanted = dtype or stored
    # Rounding comes last: what an adapter adds is often smaller than a half's digits.
    policy = load(base, "cpu", stored if stored == wanted else "float32")
    weights = AdaptedWeights(policy.model, name=name)
    factors = read_adapter(adapter)
    weights.check(factors)
    weights.use(factors)
    _untie(policy.model)
    policy.model.to(getattr(torch, wanted))
    try:
        # Where a file is in its place, what follows says that.
        with suppress(FileExistsError):
            target.parent.mkdir(parents=True)
        with HeldFolder(target.parent, f".{target.name}.agentgym-") as held:
            part = held / "model"
            policy.model.save_pretrained(part)
            policy.tokenizer.save_pretrained(part)
            part.rename(target)
    except (
        Exception
    ) as error:  # safetensors and transformers raise errors of their own.
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{target} cannot be written: {reason}") from error
    return target


def _check_free(target: Path) -> None:
    if target.is_dir():
        if any(target.iterdir()):
            raise UsageError(f"{target} is not empty: give a new folder")
    elif target.exists():
        raise UsageError(f"{target} is a file: give a new folder")


def _untie(model: PreTrainedModel) -> None:
    """Has an output layer saved that no longer is the embedding it was tied to."""
    output = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    inputs = model.get_input_embeddings()
    if output is not None and output.weight is not inputs.weight:
        model.config.tie_word_embeddings = False
