"""Reads `updates.jsonl`: what a training reported of its policy updates."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypedDict

from agentgym.runs.files.shape import loads
from agentgym.runs.summary_json import MismatchJson, SignJson

UPDATES_FILE = "updates.jsonl"
_OF_CURVE = ("update", "version", "passed", "reliability", "reward", "elapsed")
_RENAMED = {
    "gap": "mismatch",
    "mean_gap": "mean_mismatch",
    "dull_groups": "zero_variance_groups",
}
"""Keys that runs of before have, and what they are called now."""


class Metrics(TypedDict):
    """What the step of an update did.

    Attributes:
        loss: Of the first pass.
        entropy: Mean over trained tokens, in nats.
        kl: KL to the starting policy, mean over trained tokens, in nats.
        drift: The same over frozen tokens.
        mismatch: The largest difference between sampler and trainer in the
            log-probability of a sampled token, in nats.
        mean_mismatch: Its mean over the tokens that the updated version sampled.
        corrected_share: Share of trained tokens on which another engine, or half
            precision, differs by more than rounding: importance weights correct that.
        truncated_share: Share of trained tokens whose importance weight is at its
            limit.
        grad_norm: L2 norm of the last pass's gradient, before it was clipped.
        clip_share: Share of trained tokens whose ratio was clamped or clipped in the
            last pass.
        trained_tokens: Tokens with a gradient of the policy loss.
        frozen_tokens: Sampled tokens without.
        seconds: Wall time.
    """

    loss: float
    entropy: float
    kl: float
    drift: float
    mismatch: float
    mean_mismatch: float
    corrected_share: float
    truncated_share: float
    grad_norm: float
    clip_share: float
    trained_tokens: int
    frozen_tokens: int
    seconds: float


class UpdateLine(Metrics):
    """A line, as it is written now; those that are read may lack some keys.

    Attributes:
        update: Number of the update, from 1.
        version: The version that it updates.
        episodes: Played for training and validation so far.
        elapsed: Seconds of the training so far.
        reward: Mean over the update's episodes.
        passed: Share of these that passed.
        reliability: The running one, in [0, 1].
        groups: Groups that were learned from.
        zero_variance_groups: Groups that were left out, as all earned the same.
        stale_share: Share of episodes of an earlier version.
        lost_share: Share of episodes that do not count.
        broken_prefixes: Share of later model calls that do not continue the one before.
        tokens_per_episode: Mean of the prompts' and the sampled tokens.
        playing_seconds: Wall time of the episodes.
        adapter_sha256: Of the weights of the LoRA adapter that it made.
        signs: Signs of reward hacking that there are.
    """

    update: int
    version: int
    episodes: int
    elapsed: float
    reward: float
    passed: float
    reliability: float
    groups: int
    zero_variance_groups: int
    stale_share: float
    lost_share: float
    broken_prefixes: float
    tokens_per_episode: float
    playing_seconds: float
    adapter_sha256: str
    signs: list[SignJson]


def read_updates(folder: Path) -> Iterator[dict[str, Any]]:
    """The updates of a run, in order; a line that was cut off is left out.

    Args:
        folder: The run's folder.
    """
    path = folder / UPDATES_FILE
    if not path.is_file():
        return
    text = path.read_text(encoding="utf-8", errors="replace")
    for line in text.splitlines():
        try:
            row = loads(line, finite=True)
        except ValueError:
            continue
        if isinstance(row, dict):
            yield {_RENAMED.get(str(name), str(name)): row[name] for name in row}


def read_curve(folder: Path, most: int | None = None) -> list[dict[str, Any]]:
    """What a learning curve shows of a training's updates.

    Args:
        folder: The run's folder.
        most: Updates at most, evenly spread; None for all.
    """
    rows = [
        {name: row[name] for name in _OF_CURVE}
        for row in read_updates(folder)
        if all(isinstance(row.get(name), int | float) for name in _OF_CURVE)
    ]
    if most is None or len(rows) <= most:
        return rows
    step = (len(rows) - 1) / (most - 1)
    return [rows[round(number * step)] for number in range(most)]


def sampler_mismatch(folder: Path, engine: str) -> MismatchJson | None:
    """How far sampler and trainer differed over all updates of a run.

    Args:
        folder: The run's folder.
        engine: What sampled.

    Returns:
        None without an update, or where an earlier version made one.
    """
    rows = list(read_updates(folder))
    names = ("mean_mismatch", "corrected_share", "truncated_share", "trained_tokens")
    if not rows or any(
        name not in row for row in rows for name in (*names, "mismatch")
    ):
        return None
    tokens = max(sum(row["trained_tokens"] for row in rows), 1)

    def mean(name: str) -> float:
        return float(sum(row[name] * row["trained_tokens"] for row in rows) / tokens)

    return {
        "engine": engine,
        "mean": mean("mean_mismatch"),
        "max": float(max(row["mismatch"] for row in rows)),
        "corrected_share": mean("corrected_share"),
        "truncated_share": mean("truncated_share"),
    }
