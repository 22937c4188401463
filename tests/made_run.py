"""A run's folder as pytest leaves it, made of episodes made by hand."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from agentgym.playing.episode import Episode
from agentgym.runs.prices import Prices
from agentgym.runs.summary import RunSummary


def made_interval(value: float, low: float, high: float) -> dict[str, float]:
    """A reliability, or a difference of two, with its bounds."""
    return {"value": value, "low": low, "high": high}


TRAINING = {
    "before": made_interval(0.72, 0.66, 0.78),
    "after": made_interval(0.96, 0.93, 0.98),
    "difference": made_interval(0.24, 0.18, 0.3),
    "target": 0.95,
    "episodes": 512,
    "updates": 4,
    "version": 4,
    "seconds": 300.0,
    "reason": "the target was met",
    "signs": [
        {
            "kind": "one_form",
            "title": "one form for all cases",
            "scenario": "scenarios/shop/test_refunds.py::test_refund",
            "sentence": '32 of 32 passed episodes have the same reply, "<b>Done.</b>"',
            "since": 3,
        }
    ],
}


def summarized(*groups: Iterable[Episode], threshold: float = 0.95) -> RunSummary:
    """The summary of a run whose episodes these are."""
    summary = RunSummary(threshold=threshold)
    for group in groups:
        for episode in group:
            summary.add(episode)
    return summary


def made_run(
    folder: Path,
    episodes: Iterable[Episode],
    *,
    training: bool = False,
    prices: Prices | None = None,
) -> dict[str, Any]:
    """Writes the files; returns the content of `summary.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    prices = prices or Prices(listed=False)
    summary = RunSummary(threshold=0.9, run_id=folder.name, prices=prices)
    with (folder / "episodes.jsonl").open("w", encoding="utf-8") as file:
        for episode in episodes:
            file.write(json.dumps(episode.to_json()) + "\n")
            summary.add(episode)
    data = summary.to_json()
    if training:
        data["training"] = TRAINING
        rows = [
            {
                "update": number + 1,
                "version": number,
                "passed": 0.7 + number / 20,
                "reliability": 0.72 + number / 20,
                "reward": 0.8,
                "elapsed": 60.0 * number,
            }
            for number in range(4)
        ]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / "updates.jsonl").write_text(text)
    (folder / "summary.json").write_text(json.dumps(data))
    return data
