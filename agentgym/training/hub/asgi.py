"""The ASGI layer before Agent Lightning's proxy: what unchanged agents need of it.

Agents find an OpenAI API below ``/proxy/rollout/ID/attempt/N/mode/MODE/openai/v1``.
Agent Lightning answers its two routes for completions, but neither streams nor lets
an agent choose its temperature. OpenAI's Responses API it does not know: its requests
go on as chat completions, and so they are recorded.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from dataclasses import dataclass
from typing import Any

from agentgym.policy.server import responses
from agentgym.policy.server.responses import ResponsesError

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

_PREFIX = "/proxy/rollout/"
_PATH = re.compile(
    _PREFIX + r"(?P<rollout>[^/]+)/attempt/[^/]+/mode/(?P<mode>[^/]+)"
    r"/openai/v1/(?P<route>.*)"
)
_CHAT = "chat/completions"
_COMPLETIONS = frozenset({_CHAT, "completions"})
_NOT_TRAINED = (
    *("top_p", "top_k", "min_p", "logit_bias", "seed"),
    *("frequency_penalty", "presence_penalty", "repetition_penalty"),
)
"""Left out while training, which needs the policy's own distribution; with a seed, all
episodes of a case would be the same."""


class AgentLayer:
    """An ASGI application around Agent Lightning's.

    Args:
        app: Agent Lightning's application.
        key: Its key; it checks the key itself on its own routes.
        model: The model's name for agents.
    """

    def __init__(self, app: App, *, key: str, model: str) -> None:
        self._app = app
        self._key = key
        self._model = model

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Handles one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            await self._handle(scope, receive, send)
        except asyncio.CancelledError:
            # Only the gateway's end cancels; a server would print the cancellation.
            closing = error_body("agentgym's gateway is closing", "server_error")
            await _answer(send, 503, closing)

    async def _handle(self, scope: Message, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        found = _PATH.fullmatch(path) if path.startswith(_PREFIX) else None
        if found is None:
            await self._app(scope, receive, send)
        elif found["route"] in _COMPLETIONS and scope["method"] == "POST":
            raw = await read_body(receive)
            if raw is not None:
                await self._complete(found, raw, scope, receive, send)
        elif not self._knows_key(scope):
            text = "the API key is not this gateway's"
            await _answer(send, 401, error_body(text, "authentication_error"))
        elif found["route"] == "models" and scope["method"] == "GET":
            card = {"id": self._model, "object": "model", "created": 0}
            card["owned_by"] = "agentgym"
            await _answer(send, 200, {"object": "list", "data": [card]})
        elif found["route"] == "responses" and scope["method"] == "POST":
            raw = await read_body(receive)
            if raw is not None:
                await self._respond(found, raw, scope, receive, send)
        else:
            text = (
                f"{scope['method']} /v1/{found['route']} cannot be recorded for "
                "training: use an agent that calls /v1/chat/completions"
            )
            await _answer(send, 404, error_body(text, "invalid_request_error"))

    async def _complete(
        self,
        found: re.Match[str],
        raw: bytes,
        scope: Message,
        receive: Receive,
        send: Send,
    ) -> None:
        body = _read_object(raw)
        if body is None:
            # Agent Lightning says what is wrong with it.
            await self._app(scope, _replay(raw, receive), send)
            return
        asked = prepare(body, found["rollout"], found["mode"])
        await self._ask(body, asked, scope, receive, send)

    async def _respond(
        self,
        found: re.Match[str],
        raw: bytes,
        scope: Message,
        receive: Receive,
        send: Send,
    ) -> None:
        body = _read_object(raw)
        try:
            if body is None:
                raise ResponsesError("the body is no JSON object")
            chat = responses.chat_request(body)
        except ResponsesError as error:
            told = error_body(str(error), "invalid_request_error", error.param)
            await _answer(send, 400, told)
            return
        path = scope["path"][: found.start("route")] + _CHAT
        inner = {**scope, "path": path, "raw_path": path.encode()}
        asked = prepare(chat, found["rollout"], found["mode"], response_to=body)
        await self._ask(chat, asked, inner, receive, send)

    async def _ask(
        self,
        body: dict[str, Any],
        asked: Asked,
        scope: Message,
        receive: Receive,
        send: Send,
    ) -> None:
        held = _HeldAnswer()
        whole = json.dumps(body).encode()
        await self._app(scope, _replay(whole, receive), held.send)
        await held.release(send, asked)

    def _knows_key(self, scope: Message) -> bool:
        headers = dict(scope["headers"])
        given = (
            headers.get(b"authorization", b"").removeprefix(b"Bearer "),
            headers.get(b"x-api-key", b""),
        )
        return any(secrets.compare_digest(self._key.encode(), key) for key in given)


class _HeldAnswer:
    """Keeps an answer until it is whole, to give it the form that was asked for."""

    def __init__(self) -> None:
        self._start: Message | None = None
        self._parts: list[bytes] = []

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
        elif message["type"] == "http.response.body":
            self._parts.append(message.get("body", b""))

    async def release(self, send: Send, asked: Asked) -> None:
        if self._start is None:
            return
        body = b"".join(self._parts)
        if self._start["status"] != 200:
            # An error is no stream, also where one was asked for.
            await send(self._start)
            await send({"type": "http.response.body", "body": body})
            return
        completion = json.loads(body)
        asked.trim(completion)
        if asked.stream:
            kind = b"text/event-stream; charset=utf-8"
            await _send(send, 200, kind, b"".join(asked.streamed(completion)))
        else:
            await _answer(send, 200, asked.whole(completion))


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the agent itself asked for, of the things that recording changes."""

    stream: bool
    usage: bool
    logprobs: bool
    token_ids: bool
    response_to: dict[str, Any] | None = None
    """The request, where it was one for a response and not for a completion."""

    def trim(self, completion: dict[str, Any]) -> None:
        """Takes out what was asked for only to record it.

        So the agent sees what it sees without training, and its client need not read
        a thousand numbers.
        """
        choices = completion.get("choices", ())
        if not self.token_ids:
            for holder in (completion, *choices):
                holder.pop("prompt_token_ids", None)
                holder.pop("token_ids", None)
        if not self.logprobs:
            for choice in choices:
                choice["logprobs"] = None

    def whole(self, completion: dict[str, Any]) -> dict[str, Any]:
        """The answer in one piece."""
        if self.response_to is None:
            return completion
        return responses.response(self.response_to, completion)

    def streamed(self, completion: dict[str, Any]) -> Iterator[bytes]:
        """The answer as the events of a stream."""
        if self.response_to is None:
            return events(completion, usage=self.usage)
        told = chunks(completion, usage=self.usage)
        return map(responses.encode, responses.response_events(self.response_to, told))


def prepare(
    body: dict[str, Any],
    rollout: str,
    mode: str,
    response_to: dict[str, Any] | None = None,
) -> Asked:
    """Changes an agent's request to what goes on to Agent Lightning.

    Args:
        body: The request; changed in place.
        rollout: The rollout's id, by which the server tells conversations apart.
        mode: "train", or "val" for what is measured as the agent is.
        response_to: The agent's own request, where this is its translation.
    """
    options = body.pop("stream_options", None)
    asked = Asked(
        stream=bool(body.pop("stream", False)),
        usage=isinstance(options, dict) and bool(options.get("include_usage")),
        logprobs=bool(body.get("logprobs")),
        token_ids=bool(body.get("return_token_ids")),
        response_to=response_to,
    )
    body["rollout_id"] = rollout
    if mode == "train":
        for name in _NOT_TRAINED:
            body.pop(name, None)
    elif body.get("temperature") is not None:
        # Agent Lightning sets a temperature of its own in either mode.
        body["sampling_temperature"] = body["temperature"]
    return asked


def events(completion: dict[str, Any], *, usage: bool) -> Iterator[bytes]:
    """A whole completion as the events of a stream."""
    for chunk in chunks(completion, usage=usage):
        yield b"data: " + json.dumps(chunk).encode() + b"\n\n"
    yield b"data: [DONE]\n\n"


def chunks(completion: dict[str, Any], *, usage: bool) -> Iterator[dict[str, Any]]:
    """A whole completion in the chunks of a stream."""
    kind = str(completion.get("object", "chat.completion"))
    frame = {key: completion.get(key) for key in ("id", "created", "model")}
    frame["object"] = "chat.completion.chunk" if "chat" in kind else kind
    for choice in completion.get("choices", ()):
        index = choice.get("index", 0)
        for part in _parts(choice):
            yield {**frame, "choices": [{"index": index, **part}]}
    if usage:
        yield {**frame, "choices": [], "usage": completion.get("usage")}


def _parts(choice: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A choice in the parts in which a stream tells it: text, calls, end."""
    reason = choice.get("finish_reason")
    if "message" not in choice:
        text, logprobs = choice.get("text", ""), choice.get("logprobs")
        yield {"text": text, "finish_reason": reason, "logprobs": logprobs}
        return
    delta = dict(choice["message"])
    calls = delta.pop("tool_calls", None) or ()
    delta["content"] = delta.get("content") or ""
    logprobs = choice.get("logprobs")
    yield {"delta": delta, "finish_reason": None, "logprobs": logprobs}
    for index, call in enumerate(calls):
        told = {"tool_calls": [{**call, "index": index}]}
        yield {"delta": told, "finish_reason": None}
    yield {"delta": {}, "finish_reason": reason}


def _read_object(body: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(body)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


async def read_body(receive: Receive) -> bytes | None:
    """The whole body of a request, or None when the client went away before."""
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Gives the body, then whatever comes: Agent Lightning watches for a disconnect."""
    left = [body]

    async def replay() -> Message:
        if left:
            return {"type": "http.request", "body": left.pop(), "more_body": False}
        return await receive()

    return replay


def error_body(message: str, kind: str, param: str | None = None) -> dict[str, Any]:
    """An error as OpenAI's clients read it."""
    return {"error": {"message": message, "type": kind, "param": param, "code": None}}


async def _answer(send: Send, status: int, content: dict[str, Any]) -> None:
    await _send(send, status, b"application/json", json.dumps(content).encode())


async def _send(send: Send, status: int, kind: bytes, body: bytes) -> None:
    headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
