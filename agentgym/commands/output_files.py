"""Files that a command writes where the user wants them."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agentgym.errors import UsageError


def add_file_option(command: argparse.ArgumentParser, name: str, what: str) -> None:
    """Adds an option whose value is a file to write.

    Args:
        command: A command's parser.
        name: The option's, without dashes.
        what: Its help text.
    """
    command.add_argument(f"--{name}", type=Path, metavar="FILE", help=what)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Makes a file that cannot be written a mistake of the user.

    Args:
        path: As the user gave it; what is written first may be another one.

    Raises:
        UsageError: Names the file, and what is wrong.
    """
    try:
        yield
    except OSError as exc:
        raise UsageError(f"{path} cannot be written: {exc.strerror or exc}") from exc
