"""Watches the clients of models where they ask: OpenAI's, and those made alike.

Nothing happens outside of episodes. Within one, a client that `record_openai` was given
records what it asks and is answered; of any other one it is noted whether the answers
are answers, which frameworks hide.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import sys
from typing import Any
from weakref import WeakKeyDictionary

from agentgym.errors import InfraError
from agentgym.integrations.answering.exchange import Exchange
from agentgym.integrations.answering.model_answer import (
    ChatAnswer,
    ModelAnswer,
    ResponsesAnswer,
)
from agentgym.integrations.messages import RECORDED, begin, of_item, text_of
from agentgym.recording.blame import fails_asking
from agentgym.recording.recorder import Recorder, current

CLIENTS = ("openai", "groq", "together")
"""Packages whose clients are made alike, and ask in one place."""

_KINDS = ("SyncAPIClient", "AsyncAPIClient")
_own: WeakKeyDictionary[Recorder, set[int]] = WeakKeyDictionary()
"""Ids of the model calls that were recorded here; a trajectory keeps them."""


def recording() -> Recorder | None:
    """The episode's, unless a framework that is asking has recorded the call."""
    recorder = current()
    if recorder is None:
        return None
    own = _own.get(recorder, set())
    return recorder if all(id(call) in own for call in recorder.asking) else None


def watch_clients() -> None:
    """Watches the clients that are imported; cheap to call again."""
    for package in CLIENTS:
        module = sys.modules.get(f"{package}._base_client")
        for name in _KINDS:
            _watch(getattr(module, name, None))


def record_client(client: Any) -> bool:
    """Lets a client record its calls, and those that are made of it.

    Args:
        client: Of whichever package.

    Returns:
        False if it is none whose calls can be seen in one place.
    """
    made: Any
    for made in type(client).__mro__:
        if made.__name__ in _KINDS:
            _watch(made)
            break
    else:
        return False
    if RECORDED not in vars(client):
        setattr(client, RECORDED, True)
        for name in ("copy", "with_options"):
            setattr(client, name, _copied(getattr(client, name)))
    return True


def _copied(own: Any) -> Any:
    @functools.wraps(own)
    def made(*args: Any, **kwargs: Any) -> Any:
        client = own(*args, **kwargs)
        record_client(client)
        return client

    return made


def _watch(kind: Any) -> None:
    if kind is not None and not hasattr(kind.request, RECORDED):
        # Others that wrap it do not always say that it is async.
        kind.request = _watched(kind.request, asynchronous="Async" in kind.__name__)


def _watched(own: Any, *, asynchronous: bool) -> Any:
    if asynchronous:

        @functools.wraps(own)
        async def request_async(
            self: Any, cast_to: Any, options: Any, *args: Any, **kwargs: Any
        ) -> Any:
            exchange = _exchange(self, options, kwargs.get("stream", False))
            if exchange is None:
                return await own(self, cast_to, options, *args, **kwargs)
            with exchange:
                options = _parsed_by(exchange, options)
                answer = await own(self, cast_to, options, *args, **kwargs)
            return exchange.take(answer)

        request: Any = request_async
    else:

        @functools.wraps(own)
        def request_sync(
            self: Any, cast_to: Any, options: Any, *args: Any, **kwargs: Any
        ) -> Any:
            exchange = _exchange(self, options, kwargs.get("stream", False))
            if exchange is None:
                return own(self, cast_to, options, *args, **kwargs)
            with exchange:
                options = _parsed_by(exchange, options)
                answer = own(self, cast_to, options, *args, **kwargs)
            return exchange.take(answer)

        request = request_sync
    setattr(request, RECORDED, True)
    return request


def _exchange(client: Any, options: Any, stream: bool) -> Exchange | None:
    """What reads this request's answer; None if nobody asks a model for an episode."""
    recorder = current()
    if recorder is None or options.method.lower() != "post":
        return None
    path, _, _ = str(options.url).partition("?")
    for end, kind in (("/chat/completions", ChatCall), ("/responses", ResponsesCall)):
        if path.endswith(end):
            if not getattr(client, RECORDED, False) or recording() is None:
                return WatchedExchange(recorder, kind.reads(), streamed=bool(stream))
            body = options.json_data
            return kind(recorder, body if isinstance(body, dict) else {}, bool(stream))
    return None


def _parsed_by(exchange: Exchange, options: Any) -> Any:
    parser = getattr(options, "post_parser", None)
    if not callable(parser):
        return options
    # Whoever made them may use them again.
    options = copy.copy(options)
    options.post_parser = exchange.parser(parser)
    return options


class WatchedExchange(Exchange):
    """An exchange of somebody who records for himself, or of nobody."""

    def __init__(
        self, recorder: Recorder, answer: ModelAnswer, *, streamed: bool
    ) -> None:
        super().__init__(answer, streamed=streamed)
        self._recorder = recorder
        recorder.client_asks()

    def done(self) -> None:
        """Notes whether it is an answer."""
        fault = self.answer.fault
        self._recorder.answer_arrived(
            fault if isinstance(fault, InfraError) else None, self.answer.odd
        )

    def goes_on(self) -> None:
        """A usage that comes last may be odd."""
        if self.answer.fault is None and self.answer.odd is not None:
            self.done()

    def failed(self, error: Exception, *, read: bool) -> None:
        """Notes that the server is to blame, if it is.

        Args:
            error: What the client raised.
            read: Whether what the server said is not the reason.
        """
        blamed = fails_asking(error, unread=not read)
        self._recorder.answer_arrived(error if blamed else None)


class RecordedExchange(Exchange):
    """A call of a model that is recorded here."""

    reads: type[ModelAnswer]

    def __init__(
        self, recorder: Recorder, request: dict[str, Any], streamed: bool
    ) -> None:
        super().__init__(self.reads(), streamed=streamed)
        self._recorder = recorder
        messages: list[Any] = []
        # A request that the server will not understand is recorded, too.
        with contextlib.suppress(Exception):
            messages = self.messages(request)
        # Joins the results in the request to their calls.
        self._call = begin(
            recorder,
            messages,
            request.get("model"),
            watched=False,
            system=[text_of(request.get("instructions"))],
            tools=request.get("tools"),
        )
        _own.setdefault(recorder, set()).add(id(self._call))

    def messages(self, request: dict[str, Any]) -> list[Any]:
        """The request's messages in OpenAI's shape."""
        raise NotImplementedError

    def done(self) -> None:
        """Records the answer."""
        answer = self.answer
        if answer.fault is not None:
            self._recorder.model_failed(self._call, answer.fault, read=True)
            return
        self._recorder.model_finished(
            self._call,
            message=answer.message,
            prompt_tokens=answer.prompt_tokens,
            completion_tokens=answer.completion_tokens,
            finish_reason=answer.reason,
        )

    def goes_on(self) -> None:
        """The usage comes last, after the message's end."""
        self._call.prompt_tokens = self.answer.prompt_tokens
        self._call.completion_tokens = self.answer.completion_tokens

    def failed(self, error: Exception, *, read: bool) -> None:
        """Records why there is no answer.

        Args:
            error: What the client raised.
            read: Whether what the server said is not the reason.
        """
        self._recorder.model_failed(self._call, error, read=read)


class ChatCall(RecordedExchange):
    """A call of `/chat/completions`."""

    reads = ChatAnswer

    def messages(self, request: dict[str, Any]) -> list[Any]:
        """The request's messages."""
        return list(request.get("messages") or ())


class ResponsesCall(RecordedExchange):
    """A call of `/responses`."""

    reads = ResponsesAnswer

    def messages(self, request: dict[str, Any]) -> list[Any]:
        """The request's input as messages."""
        given = request.get("input") or ()
        if isinstance(given, str):
            return [{"role": "user", "content": given}]
        return [message for item in given for message in of_item(item)]
