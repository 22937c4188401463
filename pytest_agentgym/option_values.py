"""Reads the value of one `--agentgym-*` option, or says what it must be."""

from __future__ import annotations

from typing import Any

import pytest


def number(
    config: pytest.Config,
    name: str,
    kind: type[int] | type[float],
    low: float,
    high: float,
    default: Any = None,
) -> Any:
    """A number within its limits.

    Args:
        config: Has the options.
        name: The option without `--agentgym-`.
        kind: Whether it must be whole.
        low: The least that is allowed.
        high: The most; from 1e9 on the message leaves it out.
        default: What is returned where the option is not given.

    Raises:
        pytest.UsageError: It is no such number.
    """
    text = config.getoption(f"agentgym_{name.replace('-', '_')}")
    if text is None:
        return default
    wanted = "a whole number" if kind is int else "a number"
    limits = f"from {low:g} to {high:g}" if high < 1e9 else f"of at least {low:g}"
    try:
        value = kind(text)
    except ValueError:
        value = None
    if value is None or not low <= value <= high:
        raise pytest.UsageError(f"--agentgym-{name} {text}: give {wanted} {limits}")
    return value


def choice(config: pytest.Config, name: str, *choices: str | None) -> Any:
    """One of several words; the first one where the option is not given.

    Args:
        config: Has the options.
        name: The option without `--agentgym-`.
        choices: The words; None in the first place leaves an option that is not given
            to others. Hyphens may be written in them for underscores.

    Raises:
        pytest.UsageError: It is another word.
    """
    text = config.getoption(f"agentgym_{name}")
    if text is None:
        return choices[0]
    words = [word for word in choices if word is not None]
    word = text.replace("-", "_")
    if word not in words:
        listed = f"{', '.join(words[:-1])} or {words[-1]}"
        raise pytest.UsageError(f"--agentgym-{name} {text}: choose {listed}")
    return word
