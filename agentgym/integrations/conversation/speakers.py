"""Who talks with an agent: a simulated user, or a function."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from agentgym.errors import AgentGymError, SimulatorError, UsageError
from agentgym.recording import event_loop
from agentgym.recording.plain import printed, shorten


class Turns(Protocol):
    """One side of a conversation."""

    def next(self, reply: str | None) -> str | None:
        """The next message to the agent.

        Args:
            reply: What the agent said; None at the beginning.

        Returns:
            None to end the conversation.
        """

    async def next_async(self, reply: str | None) -> str | None:
        """The same without blocking the event loop."""


def begin(user: Any, opening: str | None) -> Turns:
    """Begins a conversation of a user.

    Args:
        user: A `SimulatedUser`, or a function.
        opening: The user's first message, if it is fixed.

    Raises:
        UsageError: It is neither, or the opening is no text.
    """
    if opening is not None and not (isinstance(opening, str) and opening.strip()):
        raise UsageError(
            f"agent.chat({shorten(printed(opening), 60)}): the opening is the user's "
            "first message; leave it out to let the user begin"
        )
    start = getattr(user, "begin", None)
    if start is not None and not isinstance(user, type):
        turns: Turns = start(opening)
        return turns
    if not callable(user) or isinstance(user, type):
        raise UsageError(
            f"agent.chat(user={shorten(printed(user), 60)}): give a SimulatedUser(...) "
            "or a function of the agent's reply that returns the next message, or None"
        )
    return _FunctionTurns(user, opening)


class _FunctionTurns:
    """A user who is a function: its errors are not the agent's."""

    def __init__(self, function: Callable[[str | None], Any], opening: str | None):
        self._function = function
        self._opening = opening

    def next(self, reply: str | None) -> str | None:
        if reply is None and self._opening is not None:
            return self._opening
        with self._own_errors():
            said = self._function(reply)
            if inspect.isawaitable(said):
                said = event_loop.run(said)
        return self._checked(said, reply)

    async def next_async(self, reply: str | None) -> str | None:
        if reply is None and self._opening is not None:
            return self._opening
        with self._own_errors():
            said = self._function(reply)
            if inspect.isawaitable(said):
                said = await said
        return self._checked(said, reply)

    @contextlib.contextmanager
    def _own_errors(self) -> Iterator[None]:
        try:
            yield
        except (AgentGymError, AssertionError):
            # An assert in it judges the agent.
            raise
        except Exception as exc:
            name = type(exc).__name__
            raise SimulatorError(f"{self._name}: {name}: {exc}") from exc

    def _checked(self, said: Any, reply: str | None) -> str | None:
        if isinstance(said, str) or (said is None and reply is not None):
            return said
        advice = "the next message, a text, or None to end the conversation"
        if said is None:
            advice = "the first message when it is called with None, or use opening="
        raise UsageError(
            f"{self._name} returned {shorten(printed(said), 60)}: return {advice}"
        )

    @property
    def _name(self) -> str:
        name = getattr(self._function, "__name__", None)
        return f"agent.chat(user={name or shorten(printed(self._function), 60)})"
