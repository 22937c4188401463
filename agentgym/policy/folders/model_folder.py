"""Can this folder be an agent's policy? Asked without importing torch."""

from __future__ import annotations

from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path

from agentgym.errors import UsageError
from agentgym.policy.folders.embedded import is_embedded
from agentgym.policy.folders.gguf import gguf_refused
from agentgym.policy.folders.hub_cache import shown
from agentgym.policy.folders.others.config_sizes import check_sizes
from agentgym.policy.folders.others.plain_file import (
    check_file,
    read_text,
    unreadable,
)
from agentgym.policy.folders.others.validator import read_said
from agentgym.policy.folders.weight_files import MOST_FILES, WEIGHTS, read_held

DTYPES = ("float32", "float16", "bfloat16")
"""What weights can be stored as, and computed in."""
_MEGABYTE = 1_000_000
_MOST_TEMPLATE = 4 * _MEGABYTE
"""Bytes of a chat template; the longest known have some ten thousand."""
_MOST = {
    "tokenizer*.json": 128 * _MEGABYTE,
    "tekken.json": 128 * _MEGABYTE,
    "vocab.json": 64 * _MEGABYTE,
    "added_tokens.json": 8 * _MEGABYTE,
    "*.model": 64 * _MEGABYTE,
    "*.tiktoken": 64 * _MEGABYTE,
    "*.txt": 64 * _MEGABYTE,
    "*.jinja": _MOST_TEMPLATE,
}
"""Bytes of the files that transformers reads: several times the largest known."""
_READ_HERE = ("generation_config.json", "special_tokens_map.json")
_ADAPTER = "adapter_config.json"


def check_folder(folder: Path) -> None:
    """Checks what can be seen from the files alone, in a moment.

    Raises:
        UsageError: The folder is no such model; the message says what is missing.
    """
    try:
        _check_kind(folder)
        if is_embedded(folder):
            return
        _check_files(folder)
        _check_config(folder)
        _check_templates(folder)
    except OSError as error:
        raise unreadable(folder, error) from error


def _check_kind(folder: Path) -> None:
    if not folder.exists():
        raise UsageError(f"policy folder {folder} does not exist")
    if not folder.is_dir():
        if folder.suffix == ".gguf":
            place = str(folder.absolute().parent)
            raise gguf_refused(f"{folder} is a GGUF file", place, folder.name)
        raise UsageError(f"policy {folder} is a file; give the model's folder")


def _check_files(folder: Path) -> None:
    """Checks that the folder is a model's, and what there is of most files' bytes."""
    weights = any(next(folder.glob(pattern), None) for pattern in WEIGHTS)
    gguf = next(folder.glob("*.gguf"), None)
    if gguf is not None and not weights:
        place = str(folder.absolute())
        raise gguf_refused(f"{folder} has only GGUF files", place, gguf.name)
    if not (folder / "config.json").is_file():
        raise UsageError(f"{shown(folder)} is no model folder: it has no config.json")
    if (folder / _ADAPTER).exists():
        raise UsageError(
            f"{shown(folder)} has the files of a LoRA adapter beside a model's "
            f"({_ADAPTER}), and would be both: give each its own folder"
        )
    templates = (folder / "additional_chat_templates").glob("*.jinja")
    for file in islice((*folder.iterdir(), *templates), MOST_FILES):
        pattern = next((p for p in _MOST if fnmatchcase(file.name, p)), None)
        if pattern is not None and file.exists():
            check_file(folder, file, _MOST[pattern])


def _check_config(folder: Path) -> None:
    """Checks the config, and that it can be one of these weights."""
    config = read_said(folder, "config.json")
    held = read_held(folder, config.get("transformers_weights"))
    try:
        check_sizes(config, held)
    except ValueError as error:
        raise UsageError(
            f"{folder / 'config.json'} is not the config of the weights beside it: "
            f"{error}; get both from where the model comes from"
        ) from error
    for name in _READ_HERE:
        if (folder / name).exists():
            read_said(folder, name)


def _check_templates(folder: Path) -> None:
    """Checks that there is a chat template, and that it knows tools."""
    older = ("chat_template.json", "tokenizer_config.json")
    named = [read_said(folder, name) for name in older if (folder / name).exists()]
    template = folder / "chat_template.jinja"
    if template.is_file():
        check_template(folder, read_text(folder, template, _MOST_TEMPLATE))
        return
    several = (folder / "additional_chat_templates").exists()
    if not several and not any("chat_template" in said for said in named):
        check_template(folder, None)


def check_template(folder: Path, template: str | None) -> None:
    """Checks that a chat template is there and can present tools.

    Args:
        folder: Of the model, for error messages.
        template: Jinja; None if the model has none.

    Raises:
        UsageError: It is missing, or knows no tools.
    """
    if not template:
        raise UsageError(
            f"the model in {shown(folder)} has no chat template: "
            "use an instruction-tuned model that can call tools"
        )
    if "tools" not in template:
        raise UsageError(
            f"the chat template of the model in {shown(folder)} knows no tools: "
            "use a model that can call tools"
        )


def stored_dtype(folder: Path) -> str:
    """How a model's weights are stored, by its config; "float32" if it does not say."""
    config = read_said(folder, "config.json")
    dtype = str(config.get("dtype") or config.get("torch_dtype"))
    return dtype if dtype in DTYPES else "float32"
