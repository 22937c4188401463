"""What is known of a model without its weights: tokenizer, stop tokens, sizes.

Where another engine samples, this is all that the server needs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentgym.errors import UsageError
from agentgym.policy.chat.dialect import Dialect
from agentgym.policy.chat.opened_tokenizer import (
    OWN_CODE,
    is_its_own,
    needs_own_code,
    not_opened,
    one_line,
    open_tokenizer,
)
from agentgym.policy.chat.probe import find_dialect
from agentgym.policy.chat.trial import finish_trial, trial_beside
from agentgym.policy.folders.hub_cache import model_name, shown
from agentgym.policy.folders.model_folder import check_folder
from agentgym.policy.folders.others.config_sizes import MOST_TOKENS
from agentgym.policy.folders.others.plain_json import quoted

_CONTEXT_KEYS = ("max_position_embeddings", "n_positions", "max_seq_len")
_SWITCHED = ("longrope", "su")
"""Kinds of position embeddings with one set of frequencies for short rows and one for
long ones."""

_STEERING = re.compile(r"[\x1b\x80-\x9f]")


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenModel:
    """A model's tokenizer, and what sampling needs to know."""

    path: Path
    name: str
    tokenizer: Any
    dialect: Dialect
    """How conversations are written, and replies read."""
    stop_ids: frozenset[int]
    """Tokens that end a turn."""
    forbidden_ids: frozenset[int]
    """Tokens that are never sampled: padding, and ids that mean no token."""
    width: int
    """Logits per token: at least the size of the vocabulary."""
    context: int
    """The most tokens that a prompt and its reply may have together."""


def read_token_model(
    path: str | Path, *, name: str = "", template: Mapping[str, Any] | None = None
) -> TokenModel:
    """Reads all but the weights of a local Hugging Face causal LM.

    Args:
        path: Folder with config, weights and tokenizer.
        name: Name of the model in the API; the hub's or the folder's if empty.
        template: Variables of its chat template, such as `enable_thinking`.

    Raises:
        UsageError: The folder cannot be used; the message says why.
    """
    folder = Path(path).expanduser()
    check_folder(folder)
    with trial_beside(folder):
        config = read_config(folder)
        generation = _read_generation(folder)
    tokenizer = load_tokenizer(folder)
    return TokenModel(**describe(folder, tokenizer, config, generation, name, template))


def read_config(folder: Path) -> Any:
    """Reads a model's config, as transformers understands it.

    Raises:
        UsageError: It cannot be read, or is for code that comes with the model.
    """
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # of another kind for each mistake
        if OWN_CODE in str(error):
            raise UsageError(needs_own_code(folder)) from error
        raise UsageError(
            f"the config in {shown(folder)} cannot be read: {one_line(error)}"
        ) from error


def _read_generation(folder: Path) -> Any:
    """What a model says of how it is sampled; None if it says nothing."""
    from transformers import GenerationConfig

    try:
        return GenerationConfig.from_pretrained(folder, local_files_only=True)
    except OSError:
        return None
    except Exception as error:  # transformers compares many of its values
        raise UsageError(
            f"the generation config in {shown(folder)} cannot be read: "
            f"{one_line(error)}"
        ) from error


def load_tokenizer(folder: Path) -> Any:
    """Loads a model's tokenizer, once a trial of it has come to a good end.

    Raises:
        UsageError: It cannot be loaded.
    """
    finish_trial(folder)
    try:
        return open_tokenizer(folder)
    except BaseException as error:
        if not is_its_own(error):
            raise
        raise UsageError(not_opened(folder, error)) from error


def describe(
    folder: Path,
    tokenizer: Any,
    config: Any,
    generation: Any,
    name: str,
    template: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The fields of `TokenModel`.

    Args:
        folder: Of the model.
        tokenizer: Its tokenizer.
        config: Its config.
        generation: Its generation config, if it has one.
        name: Name of the model in the API; the hub's or the folder's if empty.
        template: Variables of its chat template.

    Raises:
        UsageError: Its chat template is of no use; the message says why.
    """
    width = getattr(config, "vocab_size", None)
    if type(width) is not int or not 1 <= width <= MOST_TOKENS:
        raise UsageError(
            f"the config in {shown(folder)} is of no language model: its vocab_size is "
            f"{quoted(width)}"
        )
    _check_marks(folder, tokenizer)
    where = f"the model in {shown(folder)}"
    dialect = find_dialect(tokenizer, where, defaults=template)
    stop_ids = _stop_ids((generation, config), dialect, width)
    return {
        "path": folder,
        "name": name or model_name(folder),
        "tokenizer": tokenizer,
        "dialect": dialect,
        "stop_ids": stop_ids,
        "forbidden_ids": _forbidden_ids(tokenizer, width) - stop_ids,
        "width": width,
        "context": _context(config),
    }


def _check_marks(folder: Path, tokenizer: Any) -> None:
    """Checks that no token of its own steers whatever terminal a reply is shown on."""
    for token in map(str, tokenizer.added_tokens_decoder.values()):
        if _STEERING.search(token):
            raise UsageError(
                f"the tokenizer in {shown(folder)} has a token with an escape "
                f"sequence, {quoted(token)}: get it from where the model comes from"
            )


def _stop_ids(configs: tuple[Any, ...], dialect: Dialect, width: int) -> frozenset[int]:
    ids: set[Any] = set()
    for source in configs:
        eos = getattr(source, "eos_token_id", None)
        ids.update(eos if isinstance(eos, list) else [eos])
    ids.add(dialect.tokenizer.eos_token_id)
    ids.update(dialect.ends.values())
    return _within(ids, width)


def _forbidden_ids(tokenizer: Any, width: int) -> frozenset[int]:
    ids = set(range(len(tokenizer), width))
    return frozenset(ids) | _within([tokenizer.pad_token_id], width)


def _within(ids: Iterable[Any], width: int) -> frozenset[int]:
    """Those that the model can write; many configs have others, or none."""
    return frozenset(i for i in ids if type(i) is int and 0 <= i < width)


def _context(config: Any) -> int:
    sizes = [getattr(config, key, None) for key in _CONTEXT_KEYS]
    known = [size for size in sizes if isinstance(size, int) and size > 0]
    return min([*known[:1], *_steady_lengths(config)], default=1 << 20)


def _steady_lengths(config: Any) -> list[int]:
    """Lengths up to which a model turns positions by the same angles.

    Beyond it, long-rope takes other frequencies for all tokens, those of earlier keys
    included, and for all rows of a batch: what was sampled would have other
    probabilities for the trainer, and for the row beside it.
    """
    rope = getattr(config, "rope_parameters", None)
    if not isinstance(rope, dict):
        rope = getattr(config, "rope_scaling", None)
    if not isinstance(rope, dict):
        return []
    by_layer = [layer for layer in rope.values() if isinstance(layer, dict)]
    found = []
    for layer in by_layer or [rope]:
        kind = layer.get("rope_type") or layer.get("type")
        size = layer.get("original_max_position_embeddings") or getattr(
            config, "original_max_position_embeddings", None
        )
        if kind in _SWITCHED and isinstance(size, int) and size > 0:
            found.append(size)
    return found
