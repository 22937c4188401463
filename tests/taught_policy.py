"""A tiny model of any family, taught one task that it gets right now and then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from agentgym.policy.chat.dialect import Dialect
from agentgym.policy.chat.probe import find_dialect
from agentgym.policy.chat.prompt_messages import Message
from tests.made_dialects import TEMPLATES, made_tokenizer

TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "Finds it.",
        "parameters": {
            "type": "object",
            "properties": {"place": {"type": "string"}},
            "required": ["place"],
        },
    },
}
ASKED: Message = {"role": "user", "content": "Where is it?"}
PLACES = ("attic", "cellar")
"""What the taught model says its tool shall look for; the first is right."""


def _dialogue(place: str) -> list[Message]:
    function = {"name": "look_up", "arguments": {"place": place}}
    call = {"id": "call00000", "type": "function", "function": function}
    return [
        ASKED,
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "found", "tool_call_id": "call00000"},
        {"role": "assistant", "content": "Done."},
    ]


def _rows(dialect: Dialect) -> list[tuple[list[int], list[bool]]]:
    """Tokens of each dialogue, and which of them the model is to say."""
    rows = []
    for place in PLACES:
        messages = _dialogue(place)
        ids: list[int] = []
        said: list[bool] = []
        for at in (1, 3):
            prompt = dialect.render(messages[:at], [TOOL], generation=True)
            whole = dialect.render(messages[: at + 1], [TOOL], generation=False)
            known = dialect.encode(prompt)
            reply = dialect.encode(whole)[len(known) :]
            said += [False] * (len(known) - len(ids)) + [True] * len(reply)
            ids = [*known, *reply]
        rows.append((ids, said))
    return rows


def make_taught(folder: Path, family: str, *, steps: int = 400) -> Path:
    """Writes a model that calls as a family does, for one place or the other.

    Args:
        folder: Where to.
        family: Name of a template.
        steps: Of its teaching.
    """
    tokenizer = made_tokenizer(TEMPLATES[family])
    dialect = find_dialect(tokenizer, family)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        eos_token_id=[*dialect.ends.values()],
        bos_token_id=None,
        pad_token_id=tokenizer.pad_token_id,
    )
    model: Any = LlamaForCausalLM(config)
    rows = _rows(dialect)
    longest = max(len(ids) for ids, _ in rows)
    ids_BT = torch.full((len(rows), longest), tokenizer.pad_token_id)
    labels_BT = torch.full((len(rows), longest), -100)
    for row, (ids, said) in enumerate(rows):
        ids_BT[row, : len(ids)] = torch.tensor(ids)
        labels = [i if mine else -100 for i, mine in zip(ids, said, strict=True)]
        labels_BT[row, : len(ids)] = torch.tensor(labels)
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    for _ in range(steps):
        loss = model(input_ids=ids_BT, labels=labels_BT).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
