"""Tells the user's own code from libraries, and a grader that crashed from an agent."""

from __future__ import annotations

import os
import traceback
from pathlib import Path
from types import FrameType, TracebackType

_OURS = tuple(
    str(Path(__file__).parents[1].with_name(name)) + os.sep
    for name in ("agentgym", "pytest_agentgym")
)
_INSTALLED = frozenset({"site-packages", "dist-packages"})
_NOT_THE_USERS = (*_OURS, os.path.dirname(os.__file__) + os.sep, "<")
# Parts of an expression that have frames of their own.
_PARTS = frozenset({"<lambda>", "<genexpr>", "<listcomp>", "<setcomp>", "<dictcomp>"})
# What an agent does, or does not do, is no reason for them.
_NEVER_THE_AGENTS = (ImportError, NameError, NotImplementedError, OSError, SyntaxError)


def is_ours(filename: str) -> bool:
    """Whether it is a file of agentgym's."""
    return filename.startswith(_OURS)


def is_users(filename: str) -> bool:
    """Whether it is neither agentgym's nor Python's nor an installed library's."""
    if filename.startswith(_NOT_THE_USERS):
        return False
    return _INSTALLED.isdisjoint(Path(filename).parts)


def place_of(error: BaseException) -> str:
    """Where the user's own code was last, as pytest writes places; empty if nowhere."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if is_users(frame.filename):
            here, path = Path.cwd(), Path(frame.filename)
            shown = path.relative_to(here) if path.is_relative_to(here) else path
            return f" ({shown}:{frame.lineno} in {frame.name})"
    return ""


def grader_crashed(exc: BaseException) -> bool:
    """Whether what an assert raised is the fault of the user's own code.

    So it is if a function of the user's raised it, or let it through. What the assert's
    expression itself raises, such as `run.calls[0]`, is the agent's doing, who did not
    do what it asks about; and so is what comes out of asking the run.

    Args:
        exc: As the function with the assert sees it: there its traceback begins.
    """
    own = exc.__traceback__
    if own is None:
        return False
    called = list(_frames(own.tb_next))
    if any(is_ours(frame.f_code.co_filename) for frame in called):
        return False
    if isinstance(exc, _NEVER_THE_AGENTS) or type(exc).__module__ == "sqlite3":
        return True
    home = os.path.dirname(own.tb_frame.f_code.co_filename) + os.sep
    return any(
        frame.f_code.co_name not in _PARTS
        and (is_users(path := frame.f_code.co_filename) or path.startswith(home))
        for frame in called
    )


def _frames(found: TracebackType | None) -> list[FrameType]:
    frames = []
    while found is not None:
        frames.append(found.tb_frame)
        found = found.tb_next
    return frames
