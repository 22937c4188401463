"""Agents that are any callable `message -> reply`, or have such a `run`."""

from __future__ import annotations

import inspect
import types
from typing import TYPE_CHECKING, Any

from agentgym.errors import UsageError
from agentgym.recording import event_loop
from agentgym.recording.plain import holds, printed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agentgym.endpoint import PolicyEndpoint
    from agentgym.recording.recorder import Recorder
    from agentgym.recording.trajectory import Message


class FunctionDriver:
    """Calls the function; it runs its own tools.

    Args:
        function: Sync or async.
        recognised: What it is, for messages.

    Raises:
        UsageError: It cannot be called with a message.
    """

    def __init__(self, function: Callable[..., Any], recognised: str) -> None:
        _check_takes_message(function, recognised)
        self._function = function
        self._recognised = recognised
        self._history: dict[str, Any] = {}

    def take(self, message: str | None, recorder: Recorder) -> Any:
        """Calls the function; what it returns may be awaitable.

        Args:
            message: What the user says.
            recorder: Of the episode; what the agent does is written into it.
        """
        recorder.message({"role": "user", "content": message})
        value = self._function(message, **self._given())
        if holds(inspect.isawaitable, value):
            value = event_loop.run(value)
        return self._reply(value, recorder)

    async def take_async(self, message: str | None, recorder: Recorder) -> Any:
        """Awaits the function; a sync one runs in a thread.

        Args:
            message: What the user says.
            recorder: Of the episode; what the agent does is written into it.
        """
        import asyncio

        recorder.message({"role": "user", "content": message})
        if _is_async(self._function):
            value = await self._function(message, **self._given())
        else:
            value = await asyncio.to_thread(self._function, message, **self._given())
            if holds(inspect.isawaitable, value):
                value = await value
        return self._reply(value, recorder)

    def remember(self, history: Sequence[Message]) -> None:
        """Gives a function that has a parameter `history` these messages, once.

        Raises:
            UsageError: The function has no place for them.
        """
        if history[-1]["role"] == "tool" or not _takes_history(self._function):
            raise UsageError(
                f"agent.run(): {self._recognised} takes one message and no history: "
                "give it a parameter `history`, a list of OpenAI's messages, to which "
                "the user's message is added"
            )
        self._history = {"history": list(history)}

    def _given(self) -> dict[str, Any]:
        given, self._history = self._history, {}
        return given

    def redirect(self, policy: PolicyEndpoint) -> None:
        """Raises: nobody knows where a function keeps its model."""
        raise UsageError(
            f"redirect(): {self._recognised} builds its client itself: give it the "
            "policy's base_url, api_key and model in the `agent` fixture, or let that "
            "fixture ask for `policy_environment`, which sets OPENAI_BASE_URL and "
            "OPENAI_API_KEY"
        )

    def _reply(self, value: Any, recorder: Recorder) -> Any:
        """Records a function's reply, unless model calls have it already."""
        if holds(inspect.isgenerator, value) or holds(inspect.isasyncgen, value):
            raise UsageError(
                f"{self._recognised} returned a generator: give a callable that "
                "returns the whole reply"
            )
        if not (_is_result(value) and _has_replied(recorder)):
            recorder.reply("" if value is None else printed(value, str))
        return value


_RESULTS = frozenset(
    {"ag2", "agent_framework", "agents", "autogen_agentchat", "crewai", "pydantic_ai"}
)
"""Packages whose results hold a reply, and much besides."""


def _is_result(value: Any) -> bool:
    """Whether it is what a framework's run returned, as it is."""
    if issubclass(type(value), dict):
        return isinstance(dict.get(value, "messages"), list)
    return type(value).__module__.partition(".")[0] in _RESULTS


def _has_replied(recorder: Recorder) -> bool:
    """Whether a model has, since the user's last message."""
    last = recorder.trajectory.messages[-1]
    return last.get("role") == "assistant" and not last.get("tool_calls")


def _takes_history(function: Callable[..., Any]) -> bool:
    try:
        return "history" in inspect.signature(function).parameters
    except (TypeError, ValueError):  # some functions written in C
        return False


def _is_async(function: Callable[..., Any]) -> bool:
    return any(
        inspect.iscoroutinefunction(f)
        for f in (function, getattr(type(function), "__call__", None))  # noqa: B004
    )


def _check_takes_message(function: Callable[..., Any], recognised: str) -> None:
    if _plainly_takes_one(function):
        return
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some functions written in C
        return
    try:
        signature.bind("message")
    except TypeError as exc:
        raise UsageError(
            f"{recognised} is no agent, as it cannot be called with the user's message "
            f"alone: {exc}"
        ) from None


def _plainly_takes_one(function: Callable[..., Any]) -> bool:
    """Whether its code says that it does, as that of most functions.

    They are made for each episode, and a signature costs as much as half of one.
    """
    plain = getattr(function, "__func__", function)
    bound = plain is not function
    # One that stands for another has that one's name for it in its attributes.
    if not isinstance(plain, types.FunctionType) or plain.__dict__:
        return False
    code = plain.__code__
    needed = code.co_argcount - len(plain.__defaults__ or ())
    only_by_name = code.co_kwonlyargcount - len(plain.__kwdefaults__ or ())
    return needed <= 1 + bound <= code.co_argcount and not only_by_name
