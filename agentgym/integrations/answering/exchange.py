"""One question to a model server and its answer, as a client hands it on.

The answer is read where it arrives, and handed on as it is: whole, as a stream, or as a
response that was not read yet.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Self

from agentgym.errors import EpisodeStopped
from agentgym.integrations.answering.event_stream import DONE, AnswerBytes
from agentgym.integrations.answering.model_answer import ModelAnswer


class Exchange:
    """Reads what a client is answered; `done` says what to do with it.

    Args:
        answer: What reads it.
        streamed: Whether a stream was asked for.
    """

    def __init__(self, answer: ModelAnswer, *, streamed: bool) -> None:
        self.answer = answer
        self._streamed = streamed
        self._read = False
        self._over = False

    def done(self) -> None:
        """The answer was read, as far as it will be; or it is none."""
        raise NotImplementedError

    def failed(self, error: Exception, *, read: bool) -> None:
        """The client raised.

        Args:
            error: What.
            read: Whether what the server said is not the reason.
        """
        raise NotImplementedError

    def goes_on(self) -> None:
        """More was read after it was done, such as the usage."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, Exception):
            self._over = True
            self.failed(error, read=self._read or not _is_of_response(error))

    def parser(self, own: Any) -> Any:
        """A client's parser of whole answers that lets us read first: it may raise.

        Args:
            own: The client's, if it has one for this call.
        """
        if not callable(own):
            return own

        def parse(answer: Any) -> Any:
            self._read = True
            self.answer.whole(answer)
            self._end()
            return own(answer)

        return parse

    def take(self, given: Any) -> Any:
        """Reads what the client was given, now or when the agent does.

        Args:
            given: An answer, a stream, or a response with an answer.

        Returns:
            The same object.
        """
        response = getattr(given, "http_response", None)
        if response is not None:
            self._take_response(given, response)
        elif self._streamed and hasattr(given, "_iterator"):
            asynchronous = hasattr(given._iterator, "__anext__")
            follow = self.follow_async if asynchronous else self.follow
            given._iterator = follow(given._iterator)
            _watch_end(given, self.answer, asynchronous=asynchronous)
            _after(given, "close", self._left)
        elif not self._read:
            self.answer.whole(given)
            self._end()
        return given

    def follow(self, parts: Iterator[Any]) -> Iterator[Any]:
        """A stream's parts, each of which is read first."""
        with self:
            for part in parts:
                self._part(part)
                yield part
        self.answer.close()
        self._end()

    async def follow_async(self, parts: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """The same of an async one."""
        with self:
            async for part in parts:
                self._part(part)
                yield part
        self.answer.close()
        self._end()

    def _take_response(self, given: Any, response: Any) -> None:
        try:
            content = response.content
        except Exception:  # noqa: BLE001 - it was not read yet; each client's own class
            response.iter_bytes = self._watched(response.iter_bytes)
            response.aiter_bytes = self._watched_async(response.aiter_bytes)
            _after(given, "close", self._left)
        else:
            reader = AnswerBytes(self.answer, events=self._streamed)
            reader.add(content)
            reader.end()
            self._end()

    def _watched(self, own: Any) -> Any:
        def iter_bytes(*args: Any, **kwargs: Any) -> Iterator[bytes]:
            reader = AnswerBytes(self.answer, events=self._streamed)
            with self:
                for piece in own(*args, **kwargs):
                    reader.add(piece)
                    self._progress()
                    yield piece
            reader.end()
            self._end()

        return iter_bytes

    def _watched_async(self, own: Any) -> Any:
        async def aiter_bytes(*args: Any, **kwargs: Any) -> AsyncIterator[bytes]:
            reader = AnswerBytes(self.answer, events=self._streamed)
            with self:
                async for piece in own(*args, **kwargs):
                    reader.add(piece)
                    self._progress()
                    yield piece
            reader.end()
            self._end()

        return aiter_bytes

    def _part(self, part: Any) -> None:
        self.answer.part(part)
        self._progress()

    def _progress(self) -> None:
        # An agent may run its tools without reading to the end.
        if self.answer.fault is not None or self.answer.reason is not None:
            self._end()

    def _end(self) -> None:
        if self._over:
            self.goes_on()
            return
        self._over = True
        self.done()

    def _left(self) -> None:
        # Not when a stream is garbage: its collection may come in the middle of
        # anything, while the recorder is locked, too.
        with contextlib.suppress(Exception, EpisodeStopped):
            self._end()


def _after(given: Any, name: str, do: Callable[[], None]) -> None:
    """Lets something be done after a method of an object, sync or async."""
    own = getattr(given, name, None)
    if inspect.iscoroutinefunction(own):

        async def later() -> None:
            await own()
            do()

        setattr(given, name, later)
    elif own is not None:

        def then() -> None:
            own()
            do()

        setattr(given, name, then)


def _watch_end(stream: Any, answer: ModelAnswer, *, asynchronous: bool) -> None:
    """Has the answer know the stream's last event, which clients keep to themselves."""
    own = getattr(stream, "_iter_events", None)
    if own is None:
        return
    answer.over = False

    def seen(event: Any) -> Any:
        answer.over = answer.over or str(event.data).startswith(DONE)
        return event

    if asynchronous:

        async def events_async() -> AsyncIterator[Any]:
            async for event in own():
                yield seen(event)

        stream._iter_events = events_async
    else:
        stream._iter_events = lambda: map(seen, own())


def _is_of_response(error: Exception) -> bool:
    """Whether a client raised it when it read a response, not when it asked."""
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_name in _READERS:
            return True
        trace = trace.tb_next
    return False


_READERS = ("_process_response", "__stream__", "follow", "follow_async")
