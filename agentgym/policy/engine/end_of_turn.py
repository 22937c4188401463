"""What a chat template writes behind an assistant's reply. Imports no torch."""

from __future__ import annotations

from typing import Any

SENTINEL = "AGENTGYMSENTINEL"
"""A reply that no template changes, or writes by itself."""


def end_of_turn(tokenizer: Any) -> str:
    """The text that a tokenizer's chat template writes behind an assistant's reply."""
    text: str = tokenizer.apply_chat_template(
        [
            {"role": "user", "content": "hello"},
            {"role": "assistant", "content": SENTINEL},
        ],
        tokenize=False,
    )
    return text.rpartition(SENTINEL)[2]
