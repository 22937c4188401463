"""Lets the chat models inside a runnable ask the policy, in some invocations only."""

from __future__ import annotations

import contextlib
import functools
import types
from collections import deque
from collections.abc import Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from langchain_core.language_models import BaseChatModel

from agentgym.errors import UsageError

if TYPE_CHECKING:
    from agentgym.endpoint import PolicyEndpoint

_twins: ContextVar[dict[int, Any] | None] = ContextVar(
    "agentgym_langchain_twins", default=None
)
"""By the id of a model, the one that answers in its place."""

_MAX_OBJECTS = 20_000
_LEAVES = (str, bytes, int, float, bool, type, types.ModuleType, type(None))


@contextlib.contextmanager
def redirected(twins: dict[int, Any]) -> Iterator[None]:
    """Lets twins answer in place of their models, in what runs in this context.

    Args:
        twins: What `make_twins` made; none to let every model answer for itself.
    """
    token = _twins.set(twins or None)
    try:
        yield
    finally:
        _twins.reset(token)


def make_twins(runnable: Any, policy: PolicyEndpoint) -> dict[int, Any]:
    """Makes, for each chat model inside the runnable, one that asks the policy.

    Args:
        runnable: The user's agent; its models stay as they are, but look for a twin.
        policy: Where the twins ask.

    Returns:
        By the id of each model, its twin.

    Raises:
        UsageError: There is no model, or one of another maker than OpenAI.
    """
    models = list(chat_models(runnable))
    if not models:
        raise UsageError(
            "redirect(): no chat model was found in this LangChain runnable: build "
            "it in the `agent` fixture from the policy's base_url, api_key and "
            "model"
        )
    made = {id(model): _twin(model, policy) for model in models}
    for model in models:
        _follow_redirection(model)
    return made


def chat_models(runnable: Any) -> Iterator[BaseChatModel]:
    """The chat models that a runnable holds, also in the closures of its nodes."""
    seen: dict[int, Any] = {}
    queue = deque([runnable])
    while queue and len(seen) < _MAX_OBJECTS:
        thing = queue.popleft()
        if id(thing) in seen or isinstance(thing, _LEAVES):
            continue
        seen[id(thing)] = thing  # kept, so that no other one can get its id
        if isinstance(thing, BaseChatModel):
            yield thing
        else:
            queue.extend(_held(thing))


def _held(thing: Any) -> list[Any]:
    """What a thing refers to, as far as agents are built of it."""
    if isinstance(thing, dict):
        return list(thing.values())
    if isinstance(thing, list | tuple | set | frozenset):
        return list(thing)
    if isinstance(thing, functools.partial):
        return [thing.func, *thing.args, *thing.keywords.values()]
    if isinstance(thing, types.MethodType):
        return [thing.__func__, thing.__self__]
    if isinstance(thing, types.FunctionType):
        held = []
        for cell in thing.__closure__ or ():
            with contextlib.suppress(ValueError):  # not filled yet
                held.append(cell.cell_contents)
        # A node is often a function of a module that has the model as a global.
        named = (thing.__globals__.get(name) for name in thing.__code__.co_names)
        return held + [value for value in named if not isinstance(value, _LEAVES)]
    try:
        return list(vars(thing).values())
    except TypeError:
        slots = (s for cls in type(thing).__mro__ for s in _slots(cls))
        return [getattr(thing, name, None) for name in slots]


def _slots(cls: type) -> tuple[str, ...]:
    slots = cls.__dict__.get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)


def _twin(model: BaseChatModel, policy: PolicyEndpoint) -> Any:
    """A model of the same settings that asks the policy."""
    from langchain_openai import ChatOpenAI
    from langchain_openai.chat_models.base import BaseChatOpenAI
    from pydantic import SecretStr

    if not isinstance(model, BaseChatOpenAI):
        raise UsageError(
            f"redirect(): the agent asks a {type(model).__name__}, whose requests are "
            "not OpenAI's: build the agent in the `agent` fixture with "
            "ChatOpenAI(base_url=policy.base_url, api_key=policy.api_key, "
            "model=policy.model)"
        )
    return ChatOpenAI(
        base_url=policy.base_url,
        api_key=SecretStr(policy.api_key),
        model=policy.model,
        max_retries=0,
        temperature=model.temperature,
        top_p=model.top_p,
        stop_sequences=model.stop,
        max_completion_tokens=model.max_tokens,
        timeout=model.request_timeout,
        streaming=model.streaming,
    )


def _follow_redirection(model: BaseChatModel) -> None:
    """Lets the model, in a driver's invocation, answer through its twin there."""
    for name in ("_generate", "_agenerate", "_stream", "_astream"):
        if name not in vars(model):
            vars(model)[name] = _followed(model, name)


def _followed(model: BaseChatModel, name: str) -> Any:
    own = getattr(model, name)

    def follow(*args: Any, **kwargs: Any) -> Any:
        twin = (_twins.get() or {}).get(id(model))
        return (own if twin is None else getattr(twin, name))(*args, **kwargs)

    return follow
