"""What an episode keeps, as text, of the exception that ended it."""

from __future__ import annotations

import traceback

from agentgym.endpoint import without_secrets
from agentgym.recording.blame import Outcome, describe
from agentgym.scenarios.own_code import is_ours, place_of

_MAX_FRAMES = 6
_MAX_LENGTH = 8000


def error_line(error: BaseException, outcome: Outcome) -> str:
    """The error in one line; for an error of the user's own code, with its place.

    Args:
        error: What ended the episode.
        outcome: What the episode's result is because of it.
    """
    if outcome is not Outcome.harness_error:
        return describe(error)
    return f"{describe(error)}{place_of(error)}"


def error_details(error: BaseException) -> str:
    """The last frames of the error's traceback, without agentgym's own."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not is_ours(f.filename)] or list(frames)
    lines = traceback.format_list(own[-_MAX_FRAMES:])
    traced = without_secrets("".join(lines))
    return (traced + describe(error))[:_MAX_LENGTH]
