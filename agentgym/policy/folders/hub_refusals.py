"""Why a model of the Hugging Face hub cannot be had, each in one sentence."""

from __future__ import annotations

from agentgym.errors import UsageError
from agentgym.policy.folders.gguf import gguf_refused
from agentgym.policy.folders.hub_cache import HubModel

_LOG_IN = "log in (hf auth login), or set HF_TOKEN"


def not_cached(name: str, revision: str, error: Exception) -> UsageError:
    """Says that a model is not in the cache, and why it cannot be fetched.

    Args:
        name: The model.
        revision: Branch, tag or commit.
        error: A `LocalEntryNotFoundError`.
    """
    from huggingface_hub import constants, errors

    what = name if revision == "main" else f"{name}@{revision}"
    cache = f"the Hugging Face hub's cache, {constants.HF_HUB_CACHE}"
    # Early versions of huggingface_hub do not tell.
    if isinstance(error, getattr(errors, "IncompleteSnapshotError", ())):
        missing = f"{what} is only in part in {cache}"
    else:
        missing = f"{what} is neither a folder here nor in {cache}"
    if constants.HF_HUB_OFFLINE:
        return UsageError(
            f"{missing}, and HF_HUB_OFFLINE is set: download it once without that "
            f"(hf download {name}), or give a folder"
        )
    return UsageError(
        f"{missing}, and {constants.ENDPOINT} does not answer as the hub does "
        f"({_reason(error.__cause__ or error)}): check the network, or give a folder"
    )


def not_given(name: str, revision: str, error: Exception) -> UsageError:
    """Says why the hub does not give a model.

    Args:
        name: The model.
        revision: Branch, tag or commit.
        error: What huggingface_hub, or what it asks the network with, raised.
    """
    from huggingface_hub import constants, errors

    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, errors.GatedRepoError):
        text = (
            f"{name} is gated at the Hugging Face hub: accept its conditions on its "
            f"page there, and {_LOG_IN}"
        )
    elif isinstance(error, errors.RevisionNotFoundError):
        text = f"{name} has no revision {revision!r} at the Hugging Face hub"
    elif isinstance(error, errors.RepositoryNotFoundError) or status in (401, 403):
        text = (
            f"{name} is neither a folder here nor a model of the Hugging Face hub that "
            f"you may read: check the name; for a private one, {_LOG_IN}"
        )
    elif isinstance(error, errors.HFValidationError):
        text = f"{name} is neither a folder here nor a name that a hub's model can have"
    else:
        text = (
            f"{name} cannot be downloaded from {constants.ENDPOINT} to "
            f"{constants.HF_HUB_CACHE}: {_reason(error)}"
        )
    return UsageError(text)


def no_weights(model: HubModel, files: list[str] | None) -> UsageError:
    """Says what a repository has in the place of config and safetensors.

    Args:
        model: What is in the cache of it.
        files: All of its files; None if the hub cannot be asked.
    """
    cached = [file.name for file in model.folder.glob("*")]
    files = files or []
    gguf = next((name for name in (*files, *cached) if name.endswith(".gguf")), None)
    if "adapter_config.json" in (*files, *cached):
        text = f"{model.name} is a LoRA adapter: name a whole model"
    elif gguf is not None:
        return gguf_refused(f"{model.name} has only GGUF files", model.name, gguf)
    elif not files:
        text = (
            f"{model.name} is only in part in the Hugging Face hub's cache, "
            f"{model.folder}, and the hub cannot be asked: download it once "
            f"(hf download {model.name})"
        )
    elif "config.json" not in files:
        text = f"{model.name} is no model that transformers loads: no config.json"
    elif "pytorch_model.bin" in files or "pytorch_model.bin.index.json" in files:
        text = (
            f"{model.name} has no safetensors, only pickled weights, which can run any "
            "code when they are loaded: name a model or a revision with safetensors"
        )
    else:
        text = f"{model.name} has no weights in safetensors: name a language model"
    return UsageError(text)


def _reason(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
