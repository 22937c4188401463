"""What a run's agent asks its model by: the prompt that most episodes begin with."""

from __future__ import annotations

import json
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

from agentgym.runs.files.layout import EPISODES
from agentgym.runs.files.prompts import read_prompts

_MOST_READ = 200
"""Episodes that are looked at: an agent's prompt is the same in all, or in none."""


def main_prompt(folder: Path) -> dict[str, Any]:
    """The system prompt and the tools of the first model call of most episodes.

    Args:
        folder: The run's.

    Returns:
        `system`, a text, and `tools`, a list with name, description and parameters;
        each only if more than half of the episodes have the same.
    """
    seen: dict[str, Counter[str]] = {"system": Counter(), "tools": Counter()}
    count = 0
    try:
        with (folder / EPISODES).open(encoding="utf-8", errors="replace") as file:
            for line in islice(file, _MOST_READ):
                asked = _first_call(line)
                count += asked is not None
                for key, digests in seen.items():
                    if asked and isinstance(asked.get(key), str):
                        digests[asked[key]] += 1
    except OSError:
        return {}
    prompts, found = read_prompts(folder), {}
    for key, digests in seen.items():
        digest, often = next(iter(digests.most_common(1)), ("", 0))
        if digest in prompts and 2 * often > count:
            found[key] = dict(prompts[digest])[key]
    return found


def _first_call(line: str) -> dict[str, Any] | None:
    """The first model call of an episode; None if it has none, or cannot be read."""
    try:
        steps = json.loads(line)["trajectory"]["steps"]
        calls = (step["model"] for step in steps)
        call = next((call for call in calls if call is not None), None)
    except (ValueError, KeyError, TypeError):
        return None
    return call if isinstance(call, dict) else None
