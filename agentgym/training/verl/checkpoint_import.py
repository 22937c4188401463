"""What verl saved -> an adapter's folder, as a trained agent has it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from agentgym.errors import UsageError
from agentgym.policy.folders.adapter_folder import CONFIG, WEIGHTS, check_adapter
from agentgym.policy.folders.hub_cache import shown
from agentgym.policy.folders.others.validator import read_said

LATEST = "latest_checkpointed_iteration.txt"
ADAPTER = "lora_adapter"
"""Where verl's merger puts the LoRA weights, in the folder that it writes."""
_SIZES = (
    *("model_type", "hidden_size", "num_hidden_layers", "intermediate_size"),
    *("num_attention_heads", "num_key_value_heads", "vocab_size"),
)
"""What tells two models apart without their weights."""


def latest_step(folder: Path) -> int | None:
    """The last step whose weights verl has saved whole; None without any.

    Args:
        folder: verl's `trainer.default_local_dir`.
    """
    try:
        return int((folder / LATEST).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def actor_folder(folder: Path, step: int) -> Path:
    """Where verl's processes saved the policy of a step.

    Args:
        folder: verl's `trainer.default_local_dir`.
        step: Its number.
    """
    return folder / f"global_step_{step}" / "actor"


def check_same_base(actor: Path, base: Path) -> None:
    """Checks that a checkpoint is of the base model that was trained.

    Args:
        actor: As `actor_folder` has it.
        base: The base model's folder.

    Raises:
        UsageError: It is of another one, or damaged.
    """
    theirs = read_said(actor / "huggingface", "config.json")
    ours = read_said(base, "config.json")
    for name in _SIZES:
        if theirs.get(name) != ours.get(name):
            raise UsageError(
                f"the checkpoint {actor} is of another base model than {shown(base)}: "
                f"its {name} is {theirs.get(name)}, not {ours.get(name)}"
            )


def import_adapter(merged: Path, base: Path, folder: Path) -> None:
    """Copies the LoRA weights that verl's merger has written.

    Args:
        merged: The merger's folder.
        base: The base model's folder, which the adapter names from then on.
        folder: Gets them; it is made.

    Raises:
        UsageError: There are none, or they are damaged.
    """
    adapter = merged / ADAPTER
    check_adapter(adapter)
    folder.mkdir(parents=True, exist_ok=True)
    config = read_said(adapter, CONFIG)
    config["base_model_name_or_path"] = shown(base)
    (folder / CONFIG).write_text(json.dumps(config, indent=2), encoding="utf-8")
    shutil.copyfile(adapter / WEIGHTS, folder / WEIGHTS)
