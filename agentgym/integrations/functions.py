"""Tools that are plain functions, for agents whose framework tells of no calls."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar, cast

from agentgym.recorder import current

F = TypeVar("F", bound=Callable[..., Any])


def tool(function: F) -> F:
    """Records every call of a function as a tool call of the running episode.

    The function is otherwise unchanged; outside of episodes it just runs.

    Args:
        function: The tool, sync or async; its name is the tool's name.
    """
    signature = inspect.signature(function)

    def arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        bound = signature.bind(*args, **kwargs)
        return dict(bound.arguments)

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def recorded_async(*args: Any, **kwargs: Any) -> Any:
            recorder = current()
            if recorder is None:
                return await function(*args, **kwargs)
            call = recorder.tool_started(function.__name__, arguments(args, kwargs))
            try:
                result = await function(*args, **kwargs)
            except Exception as exc:
                recorder.tool_failed(call, exc)
                raise
            recorder.tool_finished(call, result)
            return result

        return cast("F", recorded_async)

    @functools.wraps(function)
    def recorded(*args: Any, **kwargs: Any) -> Any:
        recorder = current()
        if recorder is None:
            return function(*args, **kwargs)
        call = recorder.tool_started(function.__name__, arguments(args, kwargs))
        try:
            result = function(*args, **kwargs)
        except Exception as exc:
            recorder.tool_failed(call, exc)
            raise
        recorder.tool_finished(call, result)
        return result

    return cast("F", recorded)
