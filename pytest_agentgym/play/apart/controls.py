"""What steers pytest, raised in an episode's process and acted upon in another."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from unittest import SkipTest

from _pytest.outcomes import Exit, Skipped, XFailed

from agentgym.errors import UsageError

_KINDS: dict[str, type[BaseException]] = {
    kind.__name__: kind for kind in (Exit, SkipTest, Skipped, UsageError, XFailed)
}
_OTHER = "other"


def told(control: BaseException) -> dict[str, str]:
    """What is said of it."""
    kind = type(control).__name__
    if kind in _KINDS:
        return {"kind": kind, "text": str(control)}
    text = "".join(traceback.format_exception(control))
    return {"kind": _OTHER, "text": text}


def control_of(said: Mapping[str, str]) -> BaseException:
    """The exception that `told` said something of."""
    return _KINDS.get(said["kind"], RuntimeError)(said["text"])
