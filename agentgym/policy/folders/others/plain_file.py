"""A file of somebody else's folder: it is one, lies there, and is not too large."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from agentgym.errors import UsageError
from agentgym.policy.folders.hub_cache import hub_model

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def check_file(folder: Path, file: Path, most: int | None = None) -> os.stat_result:
    """Checks that a file can be read without a surprise.

    Args:
        folder: Whose file it is: links may lead elsewhere in it, and not out of it.
        file: It is there.
        most: Bytes that such a file has at most; None: as many as it likes.

    Raises:
        UsageError: It is none, lies elsewhere, or has more bytes.
    """
    try:
        _check_place(folder, file)
        return _checked(file, file.stat(), most)
    except OSError as error:
        raise unreadable(file, error) from error


def read_file(folder: Path, file: Path, most: int) -> bytes:
    """What is in a file of somebody else's folder.

    Args:
        folder: See `check_file`.
        file: See `check_file`.
        most: See `check_file`.

    Raises:
        UsageError: See `check_file`.
    """
    try:
        _check_place(folder, file)
        # A pipe in the file's place would else be waited for, for ever.
        handle = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(handle, "rb") as stream:
            size = _checked(file, os.fstat(handle), most).st_size
            return stream.read(size)
    except OSError as error:
        raise unreadable(file, error) from error


def read_text(folder: Path, file: Path, most: int) -> str:
    """The same as text.

    Args:
        folder: See `check_file`.
        file: See `check_file`.
        most: See `check_file`.

    Raises:
        UsageError: See `check_file`; or it is no UTF-8.
    """
    try:
        return read_file(folder, file, most).decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is corrupted: it is no UTF-8") from error


def unreadable(file: Path, error: OSError) -> UsageError:
    """Says why a file cannot be read.

    Args:
        file: The file.
        error: What the system says.
    """
    return UsageError(f"{file} cannot be read: {error.strerror or error}")


def _check_place(folder: Path, file: Path) -> None:
    # Without links on its way, which is by far the commonest.
    if file.parent == folder and not file.is_symlink():
        return
    try:
        home, place = folder.resolve(), file.resolve()
    except RuntimeError:  # So says pathlib of Python 3.12.
        raise UsageError(f"{file} is a link to itself: put the file there") from None
    allowed = [home]
    if hub_model(home) is not None:
        # The hub's cache keeps what several commits share in one place.
        allowed.append(home.parents[1] / "blobs")
    if not any(place.is_relative_to(each) for each in allowed):
        raise UsageError(
            f"{file} is a link out of its folder, to {place}: put the file itself there"
        )


def _checked(file: Path, about: os.stat_result, most: int | None) -> os.stat_result:
    if not stat.S_ISREG(about.st_mode):
        kind = next((name for test, name in _KINDS if test(about.st_mode)), "none")
        raise UsageError(f"{file} is no file but {kind}: put the file there")
    if most is not None and about.st_size > most:
        raise UsageError(
            f"{file} has {about.st_size:,} bytes, and such a file has at most {most:,}:"
            " get it from where the model comes from"
        )
    return about
