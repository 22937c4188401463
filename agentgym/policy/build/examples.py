"""Dialogues as rows of tokens behind the prefix that they share."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from agentgym.errors import UsageError
from agentgym.policy.build.recipe import Recipe
from agentgym.policy.build.tokenizer import CALL, END, START, encode, render

Dialogues = Callable[..., Iterator[dict[str, Any]]]
Batch = tuple[Tensor, Tensor]


def load_dialogues(path: Path) -> Dialogues:
    """The `dialogues` function of a scenario pack's file."""
    if not path.is_file():
        raise UsageError(f"--dialogues {path}: there is no such file")
    pack = path.resolve().parent
    sys.path.insert(0, str(pack.parent))
    function: Any = getattr(
        importlib.import_module(f"{pack.name}.{path.stem}"), "dialogues", 0
    )
    if not callable(function):
        raise UsageError(f"{path} has no function dialogues(seed, n, *, mistakes)")
    return cast("Dialogues", function)


class Rows:
    """Makes training rows: tokens behind the shared prefix, and their weights."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerFast, dialogues: Dialogues
    ) -> None:
        self.tokenizer = tokenizer
        self._dialogues = dialogues
        text = self._text(next(iter(dialogues(0, 1))))
        self._prefix_text = text[: text.index(END) + len(END) + 1]
        self.prefix = encode(tokenizer, self._prefix_text)
        self._opening = encode(tokenizer, f"{START}assistant\n")
        self._end = encode(tokenizer, END)[0]
        self.call_token = encode(tokenizer, CALL)[0]

    def batches(
        self, seed: int, count: int, *, mistakes: float, recipe: Recipe
    ) -> list[list[Batch]]:
        """Rows of several updates, in parts of similar length, which saves padding.

        Args:
            seed: Of the dialogues.
            count: Updates.
            mistakes: Share of the dialogues that hold one.
            recipe: Says how many dialogues an update has.

        Returns:
            The parts of each update: token ids and loss weights, both [B, L].
        """
        size = recipe.batch
        made = self._dialogues(seed, count * size, mistakes=mistakes)
        rows = [self.row(dialogue) for dialogue in made]
        updates = []
        for first in range(0, len(rows), size):
            chosen = sorted(rows[first : first + size], key=len)
            updates.append(
                [
                    self.tensors(chosen[i : i + recipe.at_once], recipe.rest_weight)
                    for i in range(0, size, recipe.at_once)
                ]
            )
        return updates

    def clean(self, seed: int, count: int) -> list[list[int]]:
        """Rows of dialogues without mistakes.

        Args:
            seed: Of the dialogues.
            count: Dialogues.
        """
        return [self.row(dialogue) for dialogue in self._dialogues(seed, count)]

    def row(self, dialogue: dict[str, Any]) -> list[int]:
        """The tokens of a dialogue behind the prefix."""
        text = self._text(dialogue)
        if not text.startswith(self._prefix_text):
            raise UsageError("dialogues() must give all dialogues the same tools")
        return encode(self.tokenizer, text[len(self._prefix_text) :])

    def answers(self, row: list[int]) -> Iterator[tuple[int, int]]:
        """Where the assistant's own tokens begin and end, the end token included."""
        size = len(self._opening)
        for position in range(len(row) - size):
            if row[position : position + size] == self._opening:
                yield position + size, row.index(self._end, position + size) + 1

    def tensors(self, rows: list[list[int]], rest_weight: float) -> Batch:
        """Token ids [B, L], padded with 0, and the loss weight [B, L] of each.

        Args:
            rows: Token ids of B dialogues, of any lengths.
            rest_weight: Of the tokens that are not the assistant's; its own have 1.
        """
        length = max(map(len, rows))
        ids = torch.zeros(len(rows), length, dtype=torch.long)
        weights = torch.zeros(len(rows), length)
        for number, row in enumerate(rows):
            ids[number, : len(row)] = torch.tensor(row)
            weights[number, : len(row)] = rest_weight
            for start, end in self.answers(row):
                weights[number, start:end] = 1.0
        return ids, weights

    def _text(self, dialogue: dict[str, Any]) -> str:
        return render(self.tokenizer, dialogue["messages"], dialogue["tools"])
