"""Rows -> verl's `DataProto`. Axes: B rows, P prompt tokens, R response tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agentgym.training.verl.learned import LearnedRow

ADVANTAGES = "agentgym_advantages"
"""The weighted advantages on their way through Agent Lightning's trainer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """What a row of verl's batch has room for.

    Attributes:
        prompt: P, the most tokens before the first sampled one.
        response: R, the most from there on.
        pad: The token that fills up.
    """

    prompt: int
    response: int
    pad: int


@dataclass(slots=True)
class Fitted:
    """What became of rows at these sizes.

    Attributes:
        rows: Those that fit, cut at their end where they are too long.
        too_long: Rows that are left out, for their prompt is too long.
        cut: Rows that were cut.
    """

    rows: list[LearnedRow]
    too_long: int = 0
    cut: int = 0


def fit(rows: Sequence[LearnedRow], sizes: Sizes) -> Fitted:
    """Leaves out what verl has no room for.

    Args:
        rows: Any.
        sizes: What there is room for.
    """
    fitted = Fitted([])
    for row in rows:
        first = row.made.row.sampled[0]
        if first > sizes.prompt or min(row.tokens) >= first + sizes.response:
            fitted.too_long += 1
            continue
        fitted.cut += len(row.made.row.ids) - first > sizes.response
        fitted.rows.append(row)
    return fitted


def data_proto(
    rows: Sequence[LearnedRow], sizes: Sizes, *, mini_batch: int, episodes: int
) -> Any:
    """The batch, with rows that teach nothing until it fills whole mini-batches.

    verl throws away what does not fill one: of 128 rows one that is left out would cost
    all others.

    Args:
        rows: Those that fit; without any, the batch is one row that verl drops.
        sizes: What there is room for.
        mini_batch: Rows of an optimizer step.
        episodes: What the loss is the mean over.
    """
    from tensordict import TensorDict
    from verl import DataProto

    made = [_tensors(row, sizes, episodes) for row in rows]
    names = [(row.data_id, row.rollout_id) for row in rows]
    missing = -len(rows) % mini_batch if rows else 0
    if missing:
        # The shortest costs the least.
        least = min(range(len(rows)), key=lambda place: len(rows[place].made.row.ids))
        made += [_muted(made[least])] * missing
        names += [(f"fill-{number}", f"fill-{number}") for number in range(missing)]
        # Each mini-batch gets its share of those that teach.
        steps = len(made) // mini_batch
        order = [
            place for step in range(steps) for place in range(step, len(made), steps)
        ]
        made, names = [made[i] for i in order], [names[i] for i in order]
    if not made:
        made, names = [_nothing(sizes)], [("none", "none")]
    batch = {name: torch.stack([row[name] for row in made]) for name in made[0]}
    proto = DataProto(batch=TensorDict(batch, batch_size=len(made)))
    data_ids, rollout_ids = zip(*names, strict=True)
    proto.non_tensor_batch["data_id_list"] = np.array(data_ids)
    proto.non_tensor_batch["rollout_id_list"] = np.array(rollout_ids)
    return proto


def _tensors(row: LearnedRow, sizes: Sizes, episodes: int) -> dict[str, Tensor]:
    """The columns of one row."""
    ids, first = row.made.row.ids, row.made.row.sampled[0]
    prompt, response = ids[:first], ids[first:][: sizes.response]
    columns = _columns(prompt, response, sizes)
    for place, (advantage, logprob) in row.tokens.items():
        at = place - first
        if at < len(response):
            columns["response_mask"][at] = 1
            columns[ADVANTAGES][at] = advantage / episodes
            columns["rollout_log_probs"][at] = logprob
    columns["token_level_scores"][len(response) - 1] = row.reward
    return columns


def _columns(
    prompt: Sequence[int], response: Sequence[int], sizes: Sizes
) -> dict[str, Tensor]:
    """A row on which nothing is trained yet."""
    before, behind = sizes.prompt - len(prompt), sizes.response - len(response)
    prompts = torch.tensor([sizes.pad] * before + [*prompt])
    responses = torch.tensor([*response] + [sizes.pad] * behind)
    used = len(prompt) + len(response)
    attention = torch.tensor([0] * before + [1] * used + [0] * behind)
    return {
        "prompts": prompts,
        "responses": responses,
        "input_ids": torch.cat([prompts, responses]),
        "attention_mask": attention,
        "position_ids": (attention.cumsum(0) - 1).clamp(min=0),
        "is_drop_mask": torch.tensor(False),
        "response_mask": torch.zeros(sizes.response, dtype=torch.long),
        "token_level_scores": torch.zeros(sizes.response),
        "rollout_log_probs": torch.zeros(sizes.response),
        ADVANTAGES: torch.zeros(sizes.response),
    }


def _muted(row: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same row without any advantage; one token is left for verl's means."""
    mask = torch.zeros_like(row["response_mask"])
    mask[int(row["response_mask"].argmax())] = 1
    nothing = {
        name: torch.zeros_like(row[name]) for name in (ADVANTAGES, "token_level_scores")
    }
    return {**row, **nothing, "response_mask": mask}


def _nothing(sizes: Sizes) -> dict[str, Tensor]:
    """A row that verl drops, and with it the update."""
    columns = _columns([sizes.pad], [sizes.pad], sizes)
    columns["response_mask"][0] = 1
    return {**columns, "is_drop_mask": torch.tensor(True)}
