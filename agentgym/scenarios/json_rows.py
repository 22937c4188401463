"""Files of JSON that a user names, read with a place for each sentence about them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agentgym.errors import UsageError


def json_lines(path: Path) -> Iterator[tuple[str, Any]]:
    """The values of a file of JSON lines, each with its place.

    Args:
        path: The file.

    Raises:
        UsageError: It cannot be read, or a line is no JSON.
    """
    with reading(path), path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                place = f"{path}:{number}"
                yield place, parsed_json(line, place)


def parsed_json(text: str, place: str) -> Any:
    """What a text of JSON holds.

    Args:
        text: The JSON.
        place: Where it stands, for the message.

    Raises:
        UsageError: It is no JSON.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        why = str(error) if isinstance(error, ValueError) else "it is nested too deep"
        raise UsageError(f"{place}: this is no JSON: {why}") from None


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Makes a file that cannot be read as text a mistake of the user.

    Args:
        path: The file.

    Raises:
        UsageError: Names it, and what is wrong.
    """
    try:
        yield
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path}: this is no text in UTF-8") from None
