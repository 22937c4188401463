"""The metrics of each update: `updates.jsonl`, and TensorBoard if installed."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agentgym.runs.files.updates import UPDATES_FILE, Metrics, UpdateLine
from agentgym.runs.summary_json import SignJson
from agentgym.training.batch.collector import Collected
from agentgym.training.loop.session import TrainingSession


class Journal:
    """Writes one line per update as soon as it is made.

    Args:
        folder: The run's folder.
        updates: Updates that are done; later lines, of an update that was interrupted
            before it was saved, are removed.
    """

    def __init__(self, folder: Path, updates: int = 0) -> None:
        self._path = folder / UPDATES_FILE
        if self._path.exists():
            lines = self._path.read_text(encoding="utf-8").splitlines()
            kept = [f"{line}\n" for line in lines if _number(line) <= updates]
            part = self._path.with_name(f"updates.{os.getpid()}.partial")
            part.write_text("".join(kept), encoding="utf-8")
            part.replace(self._path)
        self._board = _board(folder / "tensorboard", updates + 1)

    def write(self, line: UpdateLine) -> None:
        """Adds an update."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        if self._board is None:
            return
        for name, value in line.items():
            if isinstance(value, int | float) and name != "update":
                self._board.add_scalar(f"training/{name}", value, line["update"])
        self._board.flush()

    def close(self) -> None:
        """Closes TensorBoard's file."""
        if self._board is not None:
            self._board.close()


def update_line(
    collected: Collected,
    metrics: Metrics,
    *,
    adapter: str,
    session: TrainingSession,
    reliability: float,
    refuses_stale: bool,
    signs: list[SignJson],
) -> UpdateLine:
    """What is written of an update, before its version is published.

    Args:
        collected: What was played for it.
        metrics: What it did.
        adapter: Digest of the adapter that it made.
        session: Of the training, at the version that it updates.
        reliability: The running reliability, in [0, 1].
        refuses_stale: Whether episodes of another version were left out.
        signs: Signs of reward hacking that there are.
    """
    state, samples = session.state, collected.played
    calls = sum(sample.calls for sample in samples)
    rows = sum(len(sample.rows) for sample in samples)
    left_out = collected.lost + (collected.stale if refuses_stale else 0)
    total = max(len(samples) + left_out, 1)
    broken = rows - sum(bool(sample.rows) for sample in samples)
    return {
        "update": state.version + 1,
        "version": state.version,
        "episodes": state.episodes,
        "elapsed": round(session.elapsed, 1),
        "reward": _mean([sample.reward for sample in samples]),
        "passed": _mean([float(sample.passed) for sample in samples]),
        "reliability": reliability,
        "groups": len(collected.groups),
        "zero_variance_groups": collected.zero_variance,
        "stale_share": collected.stale / total,
        "lost_share": collected.lost / total,
        "broken_prefixes": broken / max(calls - len(samples), 1),
        "tokens_per_episode": _mean([float(sample.tokens) for sample in samples]),
        "playing_seconds": round(collected.seconds, 2),
        "adapter_sha256": adapter,
        "signs": signs,
        **metrics,
    }


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else 0.0


def _number(line: str) -> float:
    """The number of a line's update; infinite for a line that was cut off."""
    try:
        return int(json.loads(line)["update"])
    except (ValueError, KeyError, TypeError):
        return math.inf


def _board(folder: Path, first: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=first)
