"""Tools that are plain functions, for agents whose framework reports no calls."""

from __future__ import annotations

import contextlib
import functools
import inspect
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar, cast

from agentgym.errors import UsageError
from agentgym.recording.plain import holds, printed, shorten
from agentgym.recording.recorder import Recorder, current

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from agentgym.recording.trajectory import ToolCall

F = TypeVar("F", bound="Callable[..., Any]")

# What a tool itself calls is not the agent's doing.
_inside: ContextVar[bool] = ContextVar("agentgym_inside_tool", default=False)


def tool(function: F) -> F:
    """Records every call of a function as a tool call of the running episode.

    The function is otherwise unchanged; outside of episodes it just runs. Calls that
    the tool itself makes of other tools are not recorded.

    Args:
        function: The tool, sync or async; its name is the tool's name.

    Raises:
        UsageError: It is no function.
    """
    if not callable(function) or inspect.isclass(function):
        raise UsageError(
            f"agentgym.tool({shorten(printed(function), 60)}): give a function; the "
            "tools of frameworks such as LangChain are recorded without it"
        )
    name = getattr(function, "__name__", type(function).__name__)
    bind = _binder(function)

    def begin(
        args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Recorder | None, ToolCall | None]:
        recorder = None if _inside.get() else current()
        if recorder is None:
            return None, None
        return recorder, recorder.function_started(name, bind(args, kwargs))

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def recorded_async(*args: Any, **kwargs: Any) -> Any:
            recorder, call = begin(args, kwargs)
            result = function(*args, **kwargs)
            if recorder is None or call is None:
                return await result
            return await _awaited(recorder, call, result)

        return cast("F", recorded_async)

    @functools.wraps(function)
    def recorded(*args: Any, **kwargs: Any) -> Any:
        recorder, call = begin(args, kwargs)
        if recorder is None or call is None:
            return function(*args, **kwargs)
        with _running(recorder, call):
            result = function(*args, **kwargs)
        if holds(inspect.isawaitable, result):
            # As of an object whose `__call__` is async.
            return _awaited(recorder, call, result)
        recorder.tool_finished(call, result)
        return result

    return cast("F", recorded)


async def _awaited(recorder: Recorder, call: ToolCall, result: Awaitable[Any]) -> Any:
    with _running(recorder, call):
        value = await result
    recorder.tool_finished(call, value)
    return value


@contextlib.contextmanager
def _running(recorder: Recorder, call: ToolCall) -> Iterator[None]:
    token = _inside.set(True)
    try:
        yield
    except Exception as exc:
        recorder.tool_failed(call, exc)
        raise
    finally:
        _inside.reset(token)


def _binder(
    function: Callable[..., Any],
) -> Callable[[tuple[Any, ...], dict[str, Any]], dict[str, Any]]:
    """How positional and keyword arguments become named ones."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some functions written in C
        return lambda args, kwargs: {"args": list(args), **kwargs}
    collected = {
        p.name for p in signature.parameters.values() if p.kind is p.VAR_KEYWORD
    }
    is_method = next(iter(signature.parameters), None) in ("self", "cls")

    def bind(args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        try:
            named = dict(signature.bind(*args, **kwargs).arguments)
        except TypeError:
            # The call itself raises the same, as the tool's error.
            return dict(zip(signature.parameters, args, strict=False)) | kwargs
        for name in collected & named.keys():
            named |= named.pop(name)
        if is_method:
            named.pop("self", None)
            named.pop("cls", None)
        return named

    return bind
