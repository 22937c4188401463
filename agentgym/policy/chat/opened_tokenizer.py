"""A model's tokenizer, opened by transformers; and what it raises, in a line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agentgym.policy.folders.hub_cache import shown
from agentgym.recording.plain import shorten

OWN_CODE = "trust_remote_code"
TOO_MUCH_MEMORY = "it takes too much memory"
_MOST_SHOWN = 300


def open_tokenizer(folder: Path) -> Any:
    """Opens a tokenizer; what it raises may be anything, see `is_its_own`.

    Args:
        folder: Of the model, which `check_folder` has let pass.
    """
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False
    )


def is_its_own(error: BaseException) -> bool:
    """Whether a tokenizer raised it, and not somebody who wants the program to end.

    What Rust raises where its code finds itself in a state that it does not know is no
    `Exception`.
    """
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def not_opened(folder: Path, error: BaseException) -> str:
    """Why a tokenizer cannot be used, in one sentence.

    Args:
        folder: Of the model.
        error: What it raised.
    """
    if OWN_CODE in str(error):
        return needs_own_code(folder)
    return f"the tokenizer in {shown(folder)} cannot be loaded: {one_line(error)}"


def needs_own_code(folder: Path) -> str:
    """Says that a model brings code along."""
    return (
        f"the model in {shown(folder)} needs Python code of its own, which is never "
        "run here: use a model that transformers knows"
    )


def one_line(error: BaseException) -> str:
    """The first line of an error's text; its class if it has none."""
    if isinstance(error, MemoryError):
        return TOO_MUCH_MEMORY
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return shorten(lines[0], _MOST_SHOWN)
