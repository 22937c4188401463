"""Asks the hook `pytest_agentgym_classify_error` who is to blame for an exception."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from agentgym.errors import UsageError
from agentgym.recording.blame import Outcome, register_judge
from agentgym.recording.plain import printed

if TYPE_CHECKING:
    from agentgym.playing.episode import Episode

_OUTCOMES = tuple(outcome for outcome in Outcome if outcome is not Outcome.passed)


class ErrorHook:
    """The judge of this process, for the length of the run."""

    def __init__(self, config: pytest.Config) -> None:
        self._hook = config.hook
        self._mistake: Exception | None = None
        config.add_cleanup(register_judge(self.judge))

    def judge(self, exc: BaseException) -> Outcome | None:
        """What the hook says of an exception; None if nobody implements it."""
        try:
            said: Any = self._hook.pytest_agentgym_classify_error(exception=exc)
            return None if said is None else _checked(said)
        except Exception as mistake:  # noqa: BLE001 - a user's hook may raise anything
            # Raised here, it would be taken for the agent's.
            self._mistake = self._mistake or mistake
            return None

    @pytest.hookimpl(tryfirst=True)
    def pytest_agentgym_reward_computed(self, episode: Episode) -> None:
        """Ends the run if the hook raised, or said what is no outcome."""
        if self._mistake is not None:
            raise self._mistake


def _checked(said: Any) -> Outcome:
    if said in _OUTCOMES:
        return Outcome(said)
    raise UsageError(
        f"pytest_agentgym_classify_error returned {printed(said)}: return "
        f"{', '.join(_OUTCOMES)}, or None to leave it to agentgym"
    )
