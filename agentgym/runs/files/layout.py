"""Where a run's files are, and the version of their form."""

from __future__ import annotations

from pathlib import Path

RUNS = Path(".agentgym", "runs")
"""The folder of a project's runs; each run has a folder of its own in it."""

SUMMARY, EPISODES, MEASURED = "summary.json", "episodes.jsonl", "measured.jsonl"

PROMPTS = "prompts.jsonl"
"""The system prompts and tools that models were asked by, each once."""

REPORT = "report.html"
"""The run as one page."""

TRAINING = "training.json"
"""What a training was asked for; a measurement has none."""

SUMMARY_FORMAT = 1
"""Readers refuse a newer one; new fields do not make a new format."""
