"""Imitation: clean dialogues first, then some with mistakes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import Qwen3ForCausalLM

from agentgym.policy.build.difficulty import Difficulty
from agentgym.policy.build.examples import RowBlock, Rows
from agentgym.policy.build.model import imitation_loss
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
    difficulty = Difficulty()
    first, shown = 0, 0.0
    if checkpoint.exists():
        state = torch.load(checkpoint)
        model.load_state_dict(state["model"])
        optimizer.restore(state["optimizer"])
        difficulty.restore(state["difficulty"])
        first, shown = state["step"], state["loss"]
        print(f"going on from step {first}", flush=True)
    queue: list[list[RowBlock]] = []
    for step in range(first, recipe.steps):
        if step == recipe.clean_steps:
            on_competent()
            queue = []
        if not queue:
            about = {"step": step, "loss": shown, "difficulty": difficulty.state()}
            _save_state(checkpoint, about, model, optimizer)
            if time.monotonic() > until:
                return None
            queue = rows.batches(
                recipe.seed * 1_000_003 + step + 1,
                _UPDATES_AT_ONCE,
                mistakes=recipe.mistakes_at(step),
                recipe=recipe,
                # The share of mistakes is one of all scenarios alike.
                difficulty=difficulty if step < recipe.clean_steps else None,
            )
        parts = queue.pop(0)
        loss, guesses = update(model, parts, optimizer, step)
        _note(difficulty, rows, parts, guesses)
        shown = 0.9 * shown + 0.1 * loss if shown else loss
        _show(step, shown, model, rows, recipe)
    return shown


def _note(
    difficulty: Difficulty,
    rows: Rows,
    parts: list[RowBlock],
    guesses: list[list[list[int]]],
) -> None:
    """Takes the dialogues of an update into account."""
    for part, guessed in zip(parts, guesses, strict=True):
        for row, name, said in zip(part.rows, part.scenarios, guessed, strict=True):
            right = all(rows.right_calls(row, said))
            difficulty.note(part.pack, name, right=right)


def update(
    model: Qwen3ForCausalLM, parts: list[RowBlock], optimizer: Optimizer, step: int
) -> tuple[float, list[list[list[int]]]]:
    """One update on the parts of a batch.

    Args:
        model: The model to train.
        parts: What is computed at a time.
        optimizer: Makes the step.
        step: Number of the update; decides the learning rate.

    Returns:
        The weighted mean loss of a token, in nats, and the likeliest token behind each
        token of each row of each part, before the update.
    """
    total = sum(float(part.weights[:, 1:].sum()) for part in parts)
    mean, guesses = 0.0, []
    for part in parts:
        loss, said = imitation_loss(model, part.prefix, part.ids, part.weights)
        (loss / total).backward()  # type: ignore[no-untyped-call]
        mean += loss.item() / total
        guesses.append(said.tolist())
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step(step)
    return mean, guesses


@torch.no_grad()
def competence(
    model: Qwen3ForCausalLM, rows: Rows, recipe: Recipe, count: int = 48
) -> dict[str, float]:
    """Share of tool calls in fresh clean dialogues that greedy decoding gets right.

    The past of each call is the right one. A call in place of a text counts as a wrong
    one; other texts are left out, as there is more than one good way to say something.

    Args:
        model: The model.
        rows: Where dialogues come from.
        recipe: Says how many dialogues are computed at a time.
        count: Dialogues of each pack.

    Returns:
        The share for each pack.
    """
    shares = {}
    for name, dialogues in rows.packs.items():
        fresh = dialogues(_VALIDATION_SEED, count)
        judged: list[bool] = []
        for part in rows.parts(fresh, recipe.at_once, recipe, name):
            _, guesses = imitation_loss(model, part.prefix, part.ids, part.weights)
            for row, said in zip(part.rows, guesses.tolist(), strict=True):
                judged += rows.right_calls(row, said)
        shares[name] = sum(judged) / max(len(judged), 1)
    return shares


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
        shares = competence(model, rows, recipe, count=24)
        told = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
        line += f", fresh calls right: {told}"
    print(line, flush=True)


def _save_state(
    path: Path, about: dict[str, Any], model: Qwen3ForCausalLM, optimizer: Optimizer
) -> None:
    partial = path.with_name(path.name + ".partial")
    torch.save(
        {**about, "model": model.state_dict(), "optimizer": optimizer.state()}, partial
    )
    partial.replace(path)
