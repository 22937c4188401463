"""Imitation: clean dialogues first, then some with mistakes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import Qwen3ForCausalLM

from agentgym.policy.build.examples import Batch, Rows
from agentgym.policy.build.model import behind_prefix, imitation_loss
from agentgym.policy.build.optimizer import Optimizer
from agentgym.policy.build.recipe import Recipe

_UPDATES_AT_ONCE = 10
_SHOWN_EVERY = 10
_JUDGED_EVERY = 100
_VALIDATION_SEED = 987_654_321


def train(
    model: Qwen3ForCausalLM,
    rows: Rows,
    recipe: Recipe,
    checkpoint: Path,
    *,
    until: float = float("inf"),
    on_competent: Callable[[], None] = lambda: None,
) -> float | None:
    """Makes all the recipe's updates, going on from `checkpoint` if it exists.

    Args:
        model: The model to train.
        rows: Where dialogues come from.
        recipe: What to do.
        checkpoint: File that keeps the state of an interrupted training.
        until: Stops at this time of `time.monotonic`.
        on_competent: Called between the two phases.

    Returns:
        The smoothed last loss, or None when it stopped before its end.
    """
    optimizer = Optimizer(model, recipe)
    first, shown = 0, 0.0
    if checkpoint.exists():
        state = torch.load(checkpoint)
        model.load_state_dict(state["model"])
        optimizer.restore(state["optimizer"])
        first, shown = state["step"], state["loss"]
        print(f"going on from step {first}", flush=True)
    queue: list[list[Batch]] = []
    for step in range(first, recipe.steps):
        if step == recipe.clean_steps:
            on_competent()
            queue = []
        if not queue:
            _save_state(checkpoint, step, shown, model, optimizer)
            if time.monotonic() > until:
                return None
            queue = rows.batches(
                recipe.seed * 1_000_003 + step + 1,
                _UPDATES_AT_ONCE,
                mistakes=recipe.mistakes_at(step),
                recipe=recipe,
            )
        loss = update(model, rows.prefix, queue.pop(0), optimizer, step)
        shown = 0.9 * shown + 0.1 * loss if shown else loss
        _show(step, shown, model, rows, recipe)
    return shown


def update(
    model: Qwen3ForCausalLM,
    prefix: list[int],
    parts: list[Batch],
    optimizer: Optimizer,
    step: int,
) -> float:
    """One update on the parts of a batch.

    Args:
        model: The model to train.
        prefix: Token ids [P] that all rows follow.
        parts: Token ids and loss weights, both [B, L], of each part.
        optimizer: Makes the step.
        step: Number of the update; decides the learning rate.

    Returns:
        The weighted mean loss of a token, in nats.
    """
    prefix_P = torch.tensor(prefix)
    total = sum(float(weights[:, 1:].sum()) for _, weights in parts)
    mean = 0.0
    for ids, weights in parts:
        loss = imitation_loss(model, prefix_P, ids, weights) / total
        loss.backward()  # type: ignore[no-untyped-call]
        mean += loss.item()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step(step)
    return mean


@torch.no_grad()
def competence(
    model: Qwen3ForCausalLM, rows: Rows, count: int = 48, *, at_once: int = 16
) -> float:
    """Share of tool calls in fresh clean dialogues that greedy decoding gets right.

    The past of each call is the right one. Other turns are left out: there is more
    than one good way to say something.

    Args:
        model: The model.
        rows: Where dialogues come from.
        count: Dialogues.
        at_once: Dialogues computed at a time.
    """
    opening = rows.call_token
    prefix_P = torch.tensor(rows.prefix)
    made = sorted(rows.clean(_VALIDATION_SEED, count), key=len)
    right = calls = 0
    for first in range(0, count, at_once):
        part = made[first : first + at_once]
        ids, _ = rows.tensors(part, 0.0)
        hidden = behind_prefix(model, prefix_P, ids)
        guesses = model.lm_head(hidden).argmax(-1)
        for number, row in enumerate(part):
            for start, end in rows.answers(row):
                if row[start] != opening:
                    continue
                calls += 1
                right += guesses[number, start - 1 : end - 1].tolist() == row[start:end]
    return right / max(calls, 1)


def _show(
    step: int, loss: float, model: Qwen3ForCausalLM, rows: Rows, recipe: Recipe
) -> None:
    done = step + 1
    last = done in (recipe.clean_steps, recipe.steps)
    if done % _SHOWN_EVERY and not last:
        return
    phase = "clean" if step < recipe.clean_steps else "mixed"
    line = f"{time.strftime('%H:%M:%S')} {phase} {done}/{recipe.steps} loss {loss:.4f}"
    if done % _JUDGED_EVERY == 0 or last:
        line += f", {competence(model, rows):.0%} of fresh calls right"
    print(line, flush=True)


def _save_state(
    path: Path, step: int, loss: float, model: Qwen3ForCausalLM, optimizer: Optimizer
) -> None:
    state = {
        "step": step,
        "loss": loss,
        "model": model.state_dict(),
        "optimizer": optimizer.state(),
    }
    partial = path.with_name(path.name + ".partial")
    torch.save(state, partial)
    partial.replace(path)
