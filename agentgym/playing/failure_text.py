"""What an episode keeps, as text, of the exception that ended it."""

from __future__ import annotations

import os
import traceback
from pathlib import Path

from agentgym.endpoint import without_secrets
from agentgym.recording.blame import Outcome, describe

_OURS = tuple(
    str(Path(__file__).parents[1].with_name(name)) + os.sep
    for name in ("agentgym", "pytest_agentgym")
)
_INSTALLED = frozenset({"site-packages", "dist-packages"})
_NOT_THE_USERS = (*_OURS, os.path.dirname(os.__file__) + os.sep, "<")
_MAX_FRAMES = 6
_MAX_LENGTH = 8000


def error_line(error: BaseException, outcome: Outcome) -> str:
    """The error in one line; for an error of the user's fixtures, with its place.

    Args:
        error: What ended the episode.
        outcome: What the episode's result is because of it.
    """
    if outcome is not Outcome.harness_error:
        return describe(error)
    return f"{describe(error)}{_place(error)}"


def error_details(error: BaseException) -> str:
    """The last frames of the error's traceback, without agentgym's own."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not f.filename.startswith(_OURS)] or list(frames)
    lines = traceback.format_list(own[-_MAX_FRAMES:])
    traced = without_secrets("".join(lines))
    return (traced + describe(error))[:_MAX_LENGTH]


def _place(error: BaseException) -> str:
    """Where the user's own code was last, as pytest writes places."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        installed = not _INSTALLED.isdisjoint(path.parts)
        if not installed and not frame.filename.startswith(_NOT_THE_USERS):
            here = Path.cwd()
            shown = path.relative_to(here) if path.is_relative_to(here) else path
            return f" ({shown}:{frame.lineno} in {frame.name})"
    return ""
