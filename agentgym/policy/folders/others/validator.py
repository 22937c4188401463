"""The one reader of JSON that somebody else wrote about a model or an agent.

What it gives has passed the pydantic model of its file, so that later code finds the
types and sizes that it expects.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentgym.distribution import install_command
from agentgym.errors import UsageError
from agentgym.policy.folders.others.plain_file import read_file
from agentgym.policy.folders.others.plain_json import quoted, read_json

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

CARD_FORMAT = 1
"""Of a trained agent's card."""
_MEGABYTE = 1_000_000
MOST_JSON = 24 * _MEGABYTE
"""Of a file that is read here: made of empty lists it takes half a gigabyte."""


@dataclass(frozen=True, slots=True)
class _Rule:
    """What holds for the files of one name.

    Attributes:
        module: Where its pydantic model is.
        model: The model's name.
        most: Bytes.
    """

    module: str
    model: str
    most: int


_RULES = {
    "agent.json": _Rule("card_model", "AgentCard", 8 * _MEGABYTE),
    "adapter_config.json": _Rule("adapter_config", "AdapterConfig", _MEGABYTE),
    "config.json": _Rule("model_config", "ModelConfig", 4 * _MEGABYTE),
    "generation_config.json": _Rule("model_config", "GenerationConfig", _MEGABYTE),
    "tokenizer_config.json": _Rule("model_config", "TokenizerConfig", MOST_JSON),
    "special_tokens_map.json": _Rule("model_config", "TokensByName", _MEGABYTE),
    "chat_template.json": _Rule("model_config", "TemplateFile", 2 * _MEGABYTE),
    "model.safetensors.index.json": _Rule("model_config", "WeightIndex", MOST_JSON),
}


def read_said(folder: Path, name: str) -> dict[str, Any]:
    """Reads a JSON file of somebody else's folder.

    Args:
        folder: The folder.
        name: The file's, which says what may be in it.

    Returns:
        The whole object.

    Raises:
        UsageError: It is missing, corrupted, or not what such a file may be.
    """
    file, rule = folder / name, _RULES[name]
    text = read_file(folder, file, rule.most)
    try:
        said = read_json(text)
    except ValueError as error:
        raise UsageError(f"{file} is corrupted: it {error}") from error
    if not isinstance(said, dict):
        raise UsageError(f"{file} is corrupted: it is {quoted(said)}, and no object")
    model, invalid = _model(rule, file)
    try:
        model.model_validate(said)
    except invalid as error:
        raise UsageError(f"{file} {_sentence(error)}") from error
    return said


def _model(rule: _Rule, file: Path) -> tuple[type[BaseModel], type[ValidationError]]:
    """The model, and what it raises; only here pydantic is imported."""
    try:
        from pydantic import ValidationError
    except ImportError:
        raise UsageError(
            f"{file} cannot be checked without pydantic: run "
            f"{install_command('policy')}"
        ) from None
    package = __name__.rpartition(".")[0]
    module = importlib.import_module(f"{package}.{rule.module}")
    return getattr(module, rule.model), ValidationError


def _sentence(error: ValidationError) -> str:
    """What is wrong first of all, and where."""
    first = error.errors(include_url=False)[0]
    if first["type"] == "refused":
        return first["msg"]
    place = quoted(".".join(str(part) for part in first["loc"]))
    if first["type"] == "missing":
        return f"is corrupted: it has no {place}"
    wrong = first["msg"].removeprefix("Value error, ")
    if not first["loc"]:
        return f"is corrupted: {wrong}"
    value = quoted(first["input"])
    return f"is corrupted: {place} is {value}: {wrong[:1].lower()}{wrong[1:]}"
