"""Makes an episode with megabytes of text small enough to be read in a browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

_LEVELS = ((8_000, 200), (2_000, 60), (500, 30), (120, 12))
"""Characters of a text and entries of a list, tried one after the other."""


def cut_episode(episode: dict[str, Any], most: int) -> dict[str, Any]:
    """Shortens texts and lists until the JSON form has at most `most` characters.

    Args:
        episode: The JSON form of an episode, which stays as it is.
        most: Characters; at least a few thousand.

    Returns:
        A copy with `"cut": true`. Its last resort has no trajectory.
    """
    for texts, items in _LEVELS:
        shorter: dict[str, Any] = _cut(episode, texts, items)
        shorter["cut"] = True
        if len(json.dumps(shorter)) <= most:
            return shorter
    shorter |= {"trajectory": {"steps": [], "messages": []}, "tools": []}
    shorter["checks"] = list(_few(shorter["checks"], 12))
    return shorter


def _cut(value: Any, texts: int, items: int) -> Any:
    if isinstance(value, str) and len(value) > texts:
        return f"{value[:texts]} [... {len(value) - texts} characters cut]"
    if isinstance(value, dict):
        keys = list(value)[: max(items, 30)]
        return {_cut(key, 200, 0): _cut(value[key], texts, items) for key in keys}
    if isinstance(value, list):
        return [_cut(item, texts, items) for item in _few(value, items)]
    return value


def _few(values: list[Any], most: int) -> Iterator[Any]:
    """The first and the last ones: how it began, and how it ended."""
    half = most // 2
    return iter(values if len(values) <= most else values[:half] + values[-half:])
