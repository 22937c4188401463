"""Agents that are a loop of their own around an OpenAI client."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any, Self, TypeVar
from weakref import WeakKeyDictionary

from agentgym.errors import UsageError
from agentgym.integrations.messages import assistant, begin, of_item, of_output, text_of
from agentgym.recording.recorder import Recorder, current
from agentgym.recording.trajectory import printed, shorten

if TYPE_CHECKING:
    from agentgym.recording.trajectory import Message

C = TypeVar("C")


def record_openai(client: C) -> C:
    """Records what a client's chat completions and responses ask and answer.

    Tool calls are those that the model asks for; their results are read from the
    messages of the next request. Streams are recorded as they are read. Only this
    client object is changed.

    Args:
        client: An `OpenAI` or `AsyncOpenAI` client.

    Raises:
        UsageError: It is no such client.
    """
    try:
        completions = client.chat.completions  # type: ignore[attr-defined]
        create = completions.create
    except AttributeError:
        raise UsageError(
            f"record_openai({shorten(printed(client), 60)}): give an OpenAI or "
            "AsyncOpenAI client"
        ) from None
    if getattr(create, "recorded_by_agentgym", False):
        return client
    _record(completions, _Completions)
    responses = getattr(client, "responses", None)
    if responses is not None:
        _record(responses, _Responses)
    return client


def _record(resource: Any, kind: type[_Call]) -> None:
    for name in ("create", "parse"):
        method = getattr(resource, name, None)
        if method is not None:
            setattr(resource, name, _recorded(method, kind))


def _recorded(method: Callable[..., Any], kind: type[_Call]) -> Callable[..., Any]:
    # The client's own decorator hides that its method is async.
    if inspect.iscoroutinefunction(inspect.unwrap(method)):

        @functools.wraps(method)
        async def recorded_async(*args: Any, **kwargs: Any) -> Any:
            recorder = _recorder()
            if recorder is None:
                return await method(*args, **kwargs)
            with kind(recorder, kwargs) as call:
                answer = await method(*args, **kwargs)
            call.answered(answer, call.follow_async)
            return answer

        recorded: Any = recorded_async
    else:

        @functools.wraps(method)
        def recorded_sync(*args: Any, **kwargs: Any) -> Any:
            recorder = _recorder()
            if recorder is None:
                return method(*args, **kwargs)
            with kind(recorder, kwargs) as call:
                answer = method(*args, **kwargs)
            call.answered(answer, call.follow)
            return answer

        recorded = recorded_sync

    recorded.recorded_by_agentgym = True
    return recorded  # type: ignore[no-any-return]


_own: WeakKeyDictionary[Recorder, set[int]] = WeakKeyDictionary()
"""Ids of the model calls that were recorded here; a trajectory keeps them."""


def _recorder() -> Recorder | None:
    """The episode's, unless a framework that is asking has recorded the call."""
    recorder = current()
    if recorder is None:
        return None
    own = _own.get(recorder, set())
    return recorder if all(id(call) in own for call in recorder.asking) else None


def _parsed(answer: Any) -> Any:
    """The answer itself, also of `with_raw_response`."""
    parse = getattr(answer, "parse", None)
    return answer if parse is None else parse()


class _Call:
    """A model call, from its request to the end of its answer."""

    def __init__(self, recorder: Recorder, request: dict[str, Any]) -> None:
        self._recorder = recorder
        messages, model = self.messages(request), request.get("model")
        # Joins the results in the request to their calls.
        self._call = begin(
            recorder,
            messages,
            model,
            watched=False,
            system=[text_of(request.get("instructions"))],
            tools=request.get("tools"),
        )
        _own.setdefault(recorder, set()).add(id(self._call))
        self._streamed = bool(request.get("stream"))
        self._finished = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, Exception):
            self._recorder.model_failed(self._call, error)

    def answered(self, answer: Any, follow: Callable[[Any], Any]) -> None:
        """The client has an answer: whole, or as a stream that `follow` records."""
        parsed = _parsed(answer)
        if self._streamed:
            parsed._iterator = follow(parsed._iterator)
        else:
            self.ends(parsed)

    def messages(self, request: dict[str, Any]) -> list[Any]:
        """The request's messages in OpenAI's shape."""
        raise NotImplementedError

    def ends(self, answer: Any) -> None:
        """The whole answer is there."""
        raise NotImplementedError

    def reads(self, chunk: Any) -> None:
        """A part of a streamed answer is there."""
        raise NotImplementedError

    def closes(self) -> None:
        """The stream is at its end."""

    def follow(self, chunks: Iterator[Any]) -> Iterator[Any]:
        """The stream's parts, each of which is read first."""
        with self:
            for chunk in chunks:
                self.reads(chunk)
                yield chunk
        self.closes()

    async def follow_async(self, chunks: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """The same of an async one."""
        with self:
            async for chunk in chunks:
                self.reads(chunk)
                yield chunk
        self.closes()

    def finish(self, message: Message, reason: str | None, *tokens: int | None) -> None:
        """Records the answer, once."""
        if not self._finished:
            self._finished = True
            prompt, completion = tokens or (None, None)
            self._recorder.model_finished(
                self._call,
                message=message,
                prompt_tokens=prompt,
                completion_tokens=completion,
                finish_reason=reason,
            )


class _Completions(_Call):
    """A call of `chat.completions`."""

    def __init__(self, recorder: Recorder, request: dict[str, Any]) -> None:
        super().__init__(recorder, request)
        self._text: list[str] = []
        self._calls: dict[int, list[str]] = {}

    def messages(self, request: dict[str, Any]) -> list[Any]:
        return list(request.get("messages") or ())

    def ends(self, answer: Any) -> None:
        choice, usage = answer.choices[0], answer.usage
        calls = [
            (request.id, request.function.name, request.function.arguments)
            for request in choice.message.tool_calls or ()
            if getattr(request, "function", None) is not None
        ]
        tokens = usage and (usage.prompt_tokens, usage.completion_tokens)
        message = assistant(choice.message.content, calls)
        self.finish(message, choice.finish_reason, *tokens or ())

    def reads(self, chunk: Any) -> None:
        if chunk.usage is not None:
            # It comes last, after the message's end.
            self._call.prompt_tokens = chunk.usage.prompt_tokens
            self._call.completion_tokens = chunk.usage.completion_tokens
        for choice in chunk.choices[:1]:
            self._text.append(choice.delta.content or "")
            for part in choice.delta.tool_calls or ():
                call = self._calls.setdefault(part.index, ["", "", ""])
                call[0] += part.id or ""
                if part.function is not None:
                    call[1] += part.function.name or ""
                    call[2] += part.function.arguments or ""
            if choice.finish_reason is not None:
                # An agent may run its tools without reading to the end.
                self.closes(choice.finish_reason)

    def closes(self, reason: str | None = None) -> None:
        calls = [(i, name, raw) for _, (i, name, raw) in sorted(self._calls.items())]
        message, call = assistant("".join(self._text), calls), self._call
        self.finish(message, reason, call.prompt_tokens, call.completion_tokens)


class _Responses(_Call):
    """A call of `responses`."""

    def messages(self, request: dict[str, Any]) -> list[Any]:
        given = request.get("input") or ()
        if isinstance(given, str):
            return [{"role": "user", "content": given}]
        return [message for item in given for message in of_item(item)]

    def ends(self, answer: Any) -> None:
        message, usage = of_output(answer.output), answer.usage
        reason = "tool_calls" if "tool_calls" in message else "stop"
        tokens = usage and (usage.input_tokens, usage.output_tokens)
        cut = answer.status == "incomplete"
        self.finish(message, "length" if cut else reason, *tokens or ())

    def reads(self, chunk: Any) -> None:
        if chunk.type in (
            "response.completed",
            "response.incomplete",
            "response.failed",
        ):
            self.ends(chunk.response)
