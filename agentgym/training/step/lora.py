"""LoRA layers on a model."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import peft
from safetensors.torch import load_file

from agentgym.errors import UsageError
from agentgym.policy.chat.opened_tokenizer import one_line
from agentgym.policy.engine.adapter import AdaptedWeights, read_adapter
from agentgym.policy.folders.adapter_folder import WEIGHTS
from agentgym.policy.folders.hub_cache import HubModel
from agentgym.training.job.config import TrainingConfig

LORA_ALPHA = 32
"""LoRA's scale is this over the rank."""


def with_lora(model: Any, config: TrainingConfig, adapter: Path | None) -> Any:
    """Puts LoRA layers on all linear layers (Hu et al., arXiv:2106.09685).

    Args:
        model: A Hugging Face causal LM; it is changed.
        config: Rank of new layers.
        adapter: Folder of LoRA weights that training goes on from, if any.

    Raises:
        UsageError: The adapter does not fit, or the model has no linear layers.
    """
    if adapter is not None:
        return _from_adapter(model, adapter)
    try:
        with quiet():
            return peft.get_peft_model(
                model,
                peft.LoraConfig(
                    r=config.lora_rank,
                    lora_alpha=LORA_ALPHA,
                    lora_dropout=0.0,
                    target_modules="all-linear",
                    task_type="CAUSAL_LM",
                ),
            ).eval()
    except ValueError as error:
        raise UsageError(f"the model takes no LoRA weights: {error}") from error


def pin_base(model: Any, base: HubModel | None) -> None:
    """Has adapters name the commit of a base model of the hub, as peft reads it.

    Args:
        model: With LoRA layers.
        base: Where it comes from; None if not from the hub.
    """
    for config in model.peft_config.values():
        config.revision = None if base is None else base.revision


def _from_adapter(model: Any, adapter: Path) -> Any:
    read = read_adapter(adapter)
    AdaptedWeights(model, name=model.name_or_path).check(read)
    try:
        with quiet():
            config = peft.LoraConfig.from_pretrained(str(adapter))
            config.inference_mode = False
            _name_modules(config, read.factors)
            made = peft.get_peft_model(model, config).eval()
            peft.set_peft_model_state_dict(made, load_file(adapter / WEIGHTS))
    except Exception as error:  # peft checks a config where it uses it.
        raise UsageError(
            f"the adapter in {adapter} cannot be trained further: {one_line(error)}"
        ) from error
    return made


def _name_modules(config: peft.LoraConfig, modules: Iterable[str]) -> None:
    """Has the adapter's own weights say which modules it is for.

    A pattern is somebody else's regular expression, which may never end.

    Args:
        config: Is changed if it has a pattern.
        modules: Those that there are weights for.
    """
    patterns = (config.exclude_modules, config.layers_pattern)
    if isinstance(config.target_modules, str) or any(patterns):
        config.target_modules = sorted(modules)
        config.exclude_modules = config.layers_pattern = None
        config.layers_to_transform = None


@contextmanager
def quiet() -> Iterator[None]:
    """Silences peft and transformers.

    peft uses names that transformers will remove, and warns of choices that are meant,
    such as how it turns the matrices of GPT-2's layers.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.filterwarnings("ignore", module=r"peft\.")
        yield
