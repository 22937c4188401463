"""Dialogues as rows of tokens behind the prefixes that many of them share."""

from __future__ import annotations

import importlib
import random
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, islice, pairwise
from operator import itemgetter
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from agentgym.errors import UsageError
from agentgym.policy.build.difficulty import Difficulty
from agentgym.policy.build.recipe import Recipe
from agentgym.policy.build.tokenizer import CALL, END, START, encode, render

Dialogues = Callable[..., Iterator[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class RowBlock:
    """Rows that are computed at once.

    Attributes:
        pack: The name of the pack that they speak of.
        scenarios: The name of each row's scenario.
        prefix: Token ids [P] that all of them follow: the system turn with the tools.
        rows: Token ids of B dialogues behind it.
        ids: The same [B, L], padded with 0.
        weights: The loss weight [B, L] of each; 0 for padding.
    """

    pack: str
    scenarios: list[str]
    prefix: Tensor
    rows: list[list[int]]
    ids: Tensor
    weights: Tensor


def load_dialogues(paths: Sequence[Path]) -> dict[str, Dialogues]:
    """The `dialogues` functions of scenario packs' files, by the packs' names."""
    packs: dict[str, Dialogues] = {}
    for path in paths:
        if not path.is_file():
            raise UsageError(f"--dialogues {path}: there is no such file")
        name = path.resolve().parent.name
        if name in packs:
            raise UsageError(f"--dialogues: two packs are called {name}: rename one")
        packs[name] = _load(path.resolve())
    return packs


def _load(path: Path) -> Dialogues:
    pack = path.parent
    sys.path.insert(0, str(pack.parent))
    function: Any = getattr(
        importlib.import_module(f"{pack.name}.{path.stem}"), "dialogues", 0
    )
    if not callable(function):
        raise UsageError(
            f"{path} has no function dialogues(seed, n, *, mistakes, shares)"
        )
    return cast("Dialogues", function)


def in_turn(
    packs: Mapping[str, Dialogues], seed: int, count: int, *, mistakes: float = 0.0
) -> Iterator[dict[str, Any]]:
    """So many dialogues in all, of one pack after the other.

    Args:
        packs: Where they come from.
        seed: Of the dialogues.
        count: Of all packs together.
        mistakes: Share of the dialogues that hold one.
    """
    each = -(-count // len(packs))
    made = [dialogues(seed, each, mistakes=mistakes) for dialogues in packs.values()]
    return islice((one for group in zip(*made, strict=True) for one in group), count)


class Rows:
    """Makes training rows: tokens behind shared prefixes, and their weights.

    Args:
        tokenizer: The policy's.
        packs: Where dialogues come from, by the packs' names.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerFast, packs: Mapping[str, Dialogues]
    ) -> None:
        self.tokenizer = tokenizer
        self.packs = packs
        self.prefixes: dict[str, Tensor] = {}
        self._opening = encode(tokenizer, f"{START}assistant\n")
        self._end = encode(tokenizer, END)[0]
        self.call_token = encode(tokenizer, CALL)[0]

    def batches(
        self,
        seed: int,
        count: int,
        *,
        mistakes: float,
        recipe: Recipe,
        difficulty: Difficulty | None = None,
    ) -> list[list[RowBlock]]:
        """The parts of several updates, each of which has parts of several packs.

        Args:
            seed: Of the dialogues.
            count: Updates.
            mistakes: Share of the dialogues that hold one.
            recipe: Says how many dialogues an update has on average.
            difficulty: What is drawn more often; None draws all alike.
        """
        rng = random.Random(seed)  # noqa: S311 - reproducible, not secret
        drawn = difficulty or Difficulty()
        bounds = [0.0, *accumulate(map(drawn.of_pack, self.packs))]
        ends = [round(recipe.batch * count * each / bounds[-1]) for each in bounds]
        placed = []
        for pack, (first, end) in zip(self.packs, pairwise(ends), strict=True):
            made = self.packs[pack](
                seed, end - first, mistakes=mistakes, shares=drawn.shares(pack)
            )
            at_once = min(recipe.at_once, recipe.batch)
            parts = self.parts(made, at_once, recipe, pack)
            rng.shuffle(parts)
            # Each pack's are spread over all of the updates.
            placed += [(n / len(parts), part) for n, part in enumerate(parts)]
        mixed = [part for _, part in sorted(placed, key=itemgetter(0))]
        ends = [len(mixed) * number // count for number in range(count + 1)]
        return [mixed[first:end] for first, end in pairwise(ends)]

    def parts(
        self,
        dialogues: Iterable[dict[str, Any]],
        at_once: int,
        recipe: Recipe,
        pack: str,
    ) -> list[RowBlock]:
        """Parts of one prefix and of similar length, which saves padding.

        Args:
            dialogues: What to make rows of.
            at_once: Dialogues in a part, at most.
            recipe: Says what tokens weigh.
            pack: The name of the pack that they speak of.
        """
        behind: dict[str, list[tuple[list[int], str]]] = defaultdict(list)
        for dialogue in dialogues:
            prefix, row = self.row(dialogue)
            behind[prefix].append((row, dialogue["scenario"]))
        parts = []
        for prefix, rows in behind.items():
            rows.sort(key=lambda each: len(each[0]))
            for first in range(0, len(rows), at_once):
                chosen, names = zip(*rows[first : first + at_once], strict=True)
                ids, weights = self.tensors(chosen, recipe.rest_weight)
                parts.append(
                    RowBlock(
                        pack=pack,
                        scenarios=list(names),
                        prefix=self.prefixes[prefix],
                        rows=list(chosen),
                        ids=ids,
                        weights=weights,
                    )
                )
        return parts

    def row(self, dialogue: dict[str, Any]) -> tuple[str, list[int]]:
        """The text of a dialogue's prefix, and the tokens behind it."""
        text = render(self.tokenizer, dialogue["messages"], dialogue["tools"])
        cut = text.index(END) + len(END) + 1
        prefix = text[:cut]
        if prefix not in self.prefixes:
            self.prefixes[prefix] = torch.tensor(encode(self.tokenizer, prefix))
        return prefix, encode(self.tokenizer, text[cut:])

    def answers(self, row: list[int]) -> Iterator[tuple[int, int]]:
        """Where the assistant's own tokens begin and end, the end token included."""
        size = len(self._opening)
        for position in range(len(row) - size):
            if row[position : position + size] == self._opening:
                yield position + size, row.index(self._end, position + size) + 1

    def right_calls(self, row: list[int], guesses: list[int]) -> Iterator[bool]:
        """Whether each answer of the assistant is right that is a call, or must be one.

        Of a text only that it is none is asked: there is more than one good text.

        Args:
            row: A dialogue's tokens.
            guesses: What the policy would say behind each of them.
        """
        for start, end in self.answers(row):
            if row[start] == self.call_token:
                yield guesses[start - 1 : end - 1] == row[start:end]
            elif guesses[start - 1] == self.call_token:
                yield False

    def tensors(
        self, rows: Sequence[list[int]], rest_weight: float
    ) -> tuple[Tensor, Tensor]:
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
