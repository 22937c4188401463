"""What verl says of its updates, in its own lines and as `updates.jsonl` has it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from agentgym.runs.files.updates import UpdateLine

PATH_VARIABLE = "VERL_FILE_LOGGER_PATH"
"""Where verl's file logger is told to write."""


class MetricsFile:
    """The file that verl writes, read as it grows.

    Args:
        path: It may not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0

    def new(self) -> Iterator[tuple[int, dict[str, float]]]:
        """The steps that it has written since the last call, with their metrics."""
        try:
            with self._path.open("rb") as stream:
                stream.seek(self._read)
                text = stream.read()
        except FileNotFoundError:
            return
        whole = text[: text.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.splitlines():
            try:
                row = json.loads(line)
                yield int(row["step"]), _numbers(row["data"])
            except (ValueError, KeyError, TypeError):
                continue


def _numbers(data: Mapping[str, Any]) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in data.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def trained(data: Mapping[str, float]) -> bool:
    """Whether these are the metrics of an update, and not only of a validation."""
    return "agentgym/episodes" in data


def without_our_parts(data: Mapping[str, float]) -> bool:
    """Whether Agent Lightning's own parts made the batch: lost ones counted as 0."""
    return "training/n_rollouts" in data and not trained(data)


def update_line(
    step: int, data: Mapping[str, float], *, episodes: int, elapsed: float
) -> UpdateLine:
    """An update as `updates.jsonl` has it.

    What verl does not measure is 0: drift, and the share that was corrected. Its
    mismatch is of whole rows, not of tokens.

    Args:
        step: verl's number of it, from 1.
        data: verl's metrics.
        episodes: Played for training and validation so far.
        elapsed: Seconds of the training so far.
    """
    played = data.get("agentgym/episodes", 0.0)
    lost = data.get("agentgym/lost", 0.0)
    passed = data.get("agentgym/passed", 0.0)
    return {
        "update": step,
        "version": step - 1,
        "episodes": episodes,
        "elapsed": round(elapsed, 1),
        "reward": data.get("agentgym/reward", 0.0),
        "passed": passed,
        "reliability": passed,
        "groups": int(data.get("agentgym/groups", 0)),
        "zero_variance_groups": int(data.get("agentgym/zero_variance_groups", 0)),
        "stale_share": 0.0,
        "lost_share": lost / max(played + lost, 1),
        "broken_prefixes": data.get("agentgym/broken_prefixes", 0.0),
        "tokens_per_episode": data.get("agentgym/tokens_per_episode", 0.0),
        "playing_seconds": data.get("timing_s/gen", 0.0),
        "adapter_sha256": "",
        "signs": [],
        "loss": data.get("actor/pg_loss", 0.0),
        "entropy": data.get("actor/entropy_loss", 0.0),
        "kl": data.get("actor/ppo_kl", 0.0),
        "drift": 0.0,
        "mismatch": data.get("rollout_corr/log_ppl_diff_max", 0.0),
        "mean_mismatch": data.get("rollout_corr/log_ppl_abs_diff", 0.0),
        "corrected_share": 0.0,
        "truncated_share": data.get("rollout_corr/rollout_is_ratio_fraction_high", 0.0),
        "grad_norm": data.get("actor/grad_norm", 0.0),
        "clip_share": data.get("actor/pg_clipfrac", 0.0),
        "trained_tokens": int(data.get("agentgym/trained_tokens", 0)),
        "frozen_tokens": int(data.get("agentgym/frozen_tokens", 0)),
        "seconds": data.get("timing_s/update_actor", 0.0),
    }
