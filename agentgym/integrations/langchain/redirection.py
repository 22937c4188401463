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
from agentgym.integrations.redirecting import plain_headers

if TYPE_CHECKING:
    from agentgym.endpoint import PolicyEndpoint

_redirection: ContextVar[Redirection | None] = ContextVar(
    "agentgym_langchain_redirection", default=None
)

_MAX_OBJECTS = 20_000
_LEAVES = (str, bytes, int, float, bool, type, types.ModuleType, type(None))


class Redirection:
    """What answers in place of a runnable's chat models: models that ask the policy.

    Args:
        runnable: The user's agent; its models stay as they are, but look for a twin.
        policy: Where the twins ask.

    Raises:
        UsageError: There is no model, or one of another maker than OpenAI.
    """

    def __init__(self, runnable: Any, policy: PolicyEndpoint) -> None:
        self._policy = policy
        # With the model, so that no other one can get its id.
        self._twins: dict[int, tuple[BaseChatModel, Any]] = {}
        models = list(chat_models(runnable))
        if not models:
            raise UsageError(
                "redirect(): no chat model was found in this LangChain runnable: build "
                "it in the `agent` fixture from the policy's base_url, api_key and "
                "model"
            )
        for model in models:
            self._twins[id(model)] = model, _twin(model, policy)
        for model, _ in self._twins.values():
            _follow_redirection(model)

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """Lets twins answer in place of their models, in what runs in this context."""
        token = _redirection.set(self)
        try:
            yield
        finally:
            _redirection.reset(token)

    def twin_of(self, model: BaseChatModel) -> Any:
        """What answers in the model's place; None of one that was not found."""
        return self._twins.get(id(model), (None, None))[1]


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
        # Hidden tries would count as one.
        max_retries=0,
        **_settings(model, ChatOpenAI),
    )


_NOT_KEPT = frozenset(
    {
        *("model_name", "openai_api_key", "openai_api_base", "openai_organization"),
        # Clients are for another server, and callbacks are the outer model's.
        *("client", "async_client", "root_client", "root_async_client"),
        *("http_client", "http_async_client", "openai_proxy", "callbacks", "cache"),
        *("max_retries", "profile"),
    }
)


def _settings(model: Any, kind: type[BaseChatModel]) -> dict[str, Any]:
    """All that was given to the model, but where it asks."""
    found: dict[str, Any] = {}
    for name, field in kind.model_fields.items():
        value = getattr(model, name, None)
        if name in _NOT_KEPT or value == field.get_default(call_default_factory=True):
            continue
        # Its own name, as a model of another kind may have an alias of its own.
        found[field.alias or name] = value
    if found.get("default_headers"):
        found["default_headers"] = plain_headers(found["default_headers"])
    return found


def _follow_redirection(model: BaseChatModel) -> None:
    """Lets the model, in a driver's invocation, answer through its twin there."""
    for name in ("_generate", "_agenerate", "_stream", "_astream", "_get_ls_params"):
        if name not in vars(model):
            vars(model)[name] = _followed(model, name)


def _followed(model: BaseChatModel, name: str) -> Any:
    own = getattr(model, name)

    # LangChain looks at its signature.
    @functools.wraps(own)
    def follow(*args: Any, **kwargs: Any) -> Any:
        redirection = _redirection.get()
        twin = None if redirection is None else redirection.twin_of(model)
        return (own if twin is None else getattr(twin, name))(*args, **kwargs)

    return follow
