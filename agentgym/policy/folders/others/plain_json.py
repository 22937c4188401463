"""JSON that somebody else wrote: what every reader of it takes for the same."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any

from agentgym.recording.plain import printed, shorten

MOST_DEPTH = 64
"""Levels of lists and objects; those of models have a dozen at most."""
_MOST_CONTAINERS = 1_000_000
"""Lists and objects in one file; a model's weights in one file have a few thousand."""
_UNBOUNDED = ("time_step_limit",)
"""Of Mamba's layers: a limit that real models write as infinite."""


def read_json(text: str | bytes) -> Any:
    """Reads JSON whose numbers are finite and whose keys stand once.

    Readers differ in what they make of a key that stands twice, and of NaN: what was
    checked would not be what is loaded.

    Raises:
        ValueError: It is none; the text says why, and goes behind "it ".
    """
    # Each takes twenty times the memory of its two brackets, and Python's garbage
    # collector looks at all of them again and again.
    brackets: tuple[Any, Any] = ("[", "{") if isinstance(text, str) else (b"[", b"{")
    if sum(map(text.count, brackets)) > _MOST_CONTAINERS:
        raise ValueError(f"has more than {_MOST_CONTAINERS:,} lists and objects")
    try:
        value = json.loads(text, object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        raise ValueError(f"is not valid JSON: {error}") from None
    except UnicodeDecodeError:
        raise ValueError("is not valid JSON: it is no UTF-8") from None
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    except ValueError as error:
        # Python refuses to read integers of thousands of digits.
        what = str(error) if isinstance(error, _TwiceError) else "has a huge number"
        raise ValueError(what) from None
    _check_values(value)
    return value


class _TwiceError(ValueError):
    """A key stands twice in one object."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        counted = Counter(key for key, _ in pairs)
        raise _TwiceError(f"has the key {quoted(counted.most_common(1)[0][0])} twice")
    return made


def _check_values(value: Any) -> None:
    """Checks depth and numbers without calling itself."""
    level: list[tuple[str, Any]] = [("", value)]
    for _ in range(MOST_DEPTH):
        below: list[tuple[str, Any]] = []
        for name, each in level:
            kind = type(each)
            if kind is dict:
                below += each.items()
            elif kind is list:
                below += [(name, item) for item in each]
            elif kind is float and not math.isfinite(each) and name not in _UNBOUNDED:
                raise ValueError(f"has {each} as {quoted(name)}, which is no number")
        if not below:
            return
        level = below
    raise ValueError(f"is nested more than {MOST_DEPTH} levels deep")


def quoted(value: Any, most: int = 100) -> str:
    """A value of somebody's file: on one line, and not too long.

    Args:
        value: What JSON can be.
        most: Characters.
    """
    return shorten(repr(value) if isinstance(value, str) else printed(value), most)
