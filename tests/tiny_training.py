"""Rows to train a tiny model on, with log-probabilities of plain forward passes."""

from __future__ import annotations

import random
from typing import Any

import torch
from torch import Tensor

from agentgym.scenarios.components import COMPONENTS
from agentgym.training.batch.batch import BatchRow
from agentgym.training.batch.rows import TrainingRow


def make_rows(
    width: int, *, groups: int = 3, size: int = 3, seed: int = 0
) -> list[TrainingRow]:
    """Rows as a batch has them: groups share a prompt, and all share its beginning.

    Every other row has two turns.
    """
    generator = random.Random(seed)

    def some(least: int, most: int) -> list[int]:
        return [
            generator.randrange(width) for _ in range(generator.randint(least, most))
        ]

    system, rows = some(12, 12), []
    for _ in range(groups):
        prompt = system + some(3, 9)
        for number in range(size):
            ids, sampled, calls = list(prompt), [], []
            for call in range(1 + number % 2):
                ids += some(2, 5) if call else []
                said = some(1, 7)
                sampled += range(len(ids), len(ids) + len(said))
                calls += [call] * len(said)
                ids += said
            rows.append(
                TrainingRow(
                    ids=ids,
                    sampled=sampled,
                    logprobs=[0.0] * len(sampled),
                    calls=calls,
                    components=[COMPONENTS[t % len(COMPONENTS)] for t in sampled],
                )
            )
    return rows


def plain_logprobs(model: Any, row: TrainingRow) -> Tensor:
    """Of a row's sampled tokens, from the whole row alone."""
    ids = torch.tensor([row.ids])
    logits = model(input_ids=ids, use_cache=False).logits[0, :-1]
    at = torch.tensor(row.sampled) - 1
    targets = torch.tensor([row.ids[t] for t in row.sampled])
    return logits.log_softmax(-1)[at, targets]


def record(model: Any, rows: list[TrainingRow]) -> list[TrainingRow]:
    """Writes into the rows what this model would have recorded when it sampled."""
    with torch.no_grad():
        for row in rows:
            row.logprobs = plain_logprobs(model, row).tolist()
    return rows


def as_batch(
    rows: list[TrainingRow], *, frozen: str = "", seed: int = 0
) -> list[BatchRow]:
    """Each row as an episode, with random advantages; one component may be frozen."""
    generator = random.Random(seed)
    made = []
    for row in rows:
        mask = [component != frozen for component in row.components]
        advantage = generator.uniform(-1, 1)
        made.append(
            BatchRow(
                row,
                weights=[m / max(sum(mask), 1) for m in mask],
                advantages=[advantage] * len(mask),
                frozen=[float(not m) for m in mask],
                fresh=[1.0] * len(mask),
            )
        )
    return made
