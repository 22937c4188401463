"""The ASGI layer before Agent Lightning's proxy: what unchanged agents need of it.

Agents find an OpenAI API below `/proxy/rollout/ID/attempt/N/mode/MODE/openai/v1`.
Agent Lightning answers its two routes for completions, but neither streams nor lets
an agent choose its temperature. OpenAI's Responses API it does not know: its requests
go on as chat completions, and so they are recorded.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agentgym.policy.server import responses_reply, responses_request
from agentgym.policy.server.openai_http import (
    BadRequestError,
    error_response,
    json_response,
    read_object,
)
from agentgym.policy.server.openai_json import END_OF_STREAM, Json, sse_event

_PREFIX = "/proxy/rollout/"
_PATH = re.compile(
    _PREFIX + r"(?P<rollout>[^/]+)/attempt/(?P<attempt>[^/]+)/mode/(?P<mode>[^/]+)"
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
        model: The model's name for agents.
    """

    def __init__(self, app: ASGIApp, *, model: str) -> None:
        self._app = app
        self._model = model

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one connection.

        Args:
            scope: Of an HTTP request, or of something that is passed on.
            receive: Gives the request's body.
            send: Takes the answer.
        """
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            answer = await self._handle(scope, receive, send)
        except ClientDisconnect:
            return
        except asyncio.CancelledError:
            # Only the gateway's end cancels; a server would print the cancellation.
            closing = "agentgym's gateway is closing"
            answer = error_response(closing, 503, kind="server_error")
        if answer is not None:
            await answer(scope, receive, send)

    async def _handle(
        self, scope: Scope, receive: Receive, send: Send
    ) -> Response | None:
        """The layer's own answer; None: Agent Lightning's has been sent."""
        path: str = scope["path"]
        place = _PATH.fullmatch(path) if path.startswith(_PREFIX) else None
        if place is None:
            await self._app(scope, receive, send)
            return None
        asked = (scope["method"], place["route"])
        if scope["method"] == "POST" and place["route"] in _COMPLETIONS:
            return await self._complete(place, scope, receive, send)
        if asked == ("GET", "models"):
            card = {"id": self._model, "object": "model", "created": 0}
            card["owned_by"] = "agentgym"
            return json_response({"object": "list", "data": [card]})
        if asked == ("POST", "responses"):
            return await self._respond(place, scope, receive, send)
        return error_response(
            f"{scope['method']} /v1/{place['route']} cannot be recorded for training: "
            "use an agent that calls /v1/chat/completions",
            404,
        )

    async def _complete(
        self, place: re.Match[str], scope: Scope, receive: Receive, send: Send
    ) -> Response | None:
        raw = await Request(scope, receive).body()
        try:
            body = read_object(raw)
        except BadRequestError:
            # Agent Lightning says what is wrong with it.
            await self._app(scope, _replay(raw, receive), send)
            return None
        asked = prepare(body, place["rollout"], place["attempt"], place["mode"])
        return await self._ask(body, asked, scope, receive)

    async def _respond(
        self, place: re.Match[str], scope: Scope, receive: Receive, send: Send
    ) -> Response | None:
        try:
            body = read_object(await Request(scope, receive).body())
            chat = responses_request.chat_request(body)
        except BadRequestError as error:
            return error_response(str(error), error.status, param=error.param)
        path = scope["path"][: place.start("route")] + _CHAT
        inner = {**scope, "path": path, "raw_path": path.encode()}
        names = (place["rollout"], place["attempt"], place["mode"])
        asked = prepare(chat, *names, response_to=body)
        return await self._ask(chat, asked, inner, receive)

    async def _ask(
        self, body: Json, asked: Asked, scope: Scope, receive: Receive
    ) -> Response | None:
        held = _HeldAnswer()
        whole = json.dumps(body).encode()
        await self._app(scope, _replay(whole, receive), held.send)
        return held.answer(asked)


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

    def answer(self, asked: Asked) -> Response | None:
        if self._start is None:
            return None
        body, status = b"".join(self._parts), self._start["status"]
        if status != 200:
            # An error is no stream, also where one was asked for.
            answer = Response(body, status)
            answer.raw_headers = list(self._start["headers"])
            return answer
        completion = json.loads(body)
        asked.trim(completion)
        if asked.stream:
            parts = asked.streamed(completion)
            return Response(b"".join(parts), media_type="text/event-stream")
        return json_response(asked.whole(completion))


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
        return responses_reply.response(self.response_to, completion)

    def streamed(self, completion: dict[str, Any]) -> Iterator[bytes]:
        """The answer as the events of a stream."""
        if self.response_to is None:
            return events(completion, usage=self.usage)
        made = responses_reply.response_events(
            self.response_to, chunks(completion, usage=self.usage)
        )
        return (sse_event(part, part["type"]) for part in made)


def prepare(
    body: dict[str, Any],
    rollout: str,
    attempt: str,
    mode: str,
    response_to: dict[str, Any] | None = None,
) -> Asked:
    """Changes an agent's request to what goes on to Agent Lightning.

    Args:
        body: The request; changed in place.
        rollout: The rollout's id, by which the server tells conversations apart.
        attempt: Number of the try at it: each draws anew.
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
    body["rollout_id"] = f"{rollout}.{attempt}"
    if mode == "train":
        for name in _NOT_TRAINED:
            body.pop(name, None)
    elif body.get("temperature") is not None:
        # Agent Lightning sets a temperature of its own in either mode.
        body["sampling_temperature"] = body["temperature"]
    return asked


def events(completion: dict[str, Any], *, usage: bool) -> Iterator[bytes]:
    """A whole completion as the events of a stream.

    Args:
        completion: A chat completion, or a plain one.
        usage: Whether the last chunk counts the tokens.
    """
    for chunk in chunks(completion, usage=usage):
        yield sse_event(chunk)
    yield END_OF_STREAM


def chunks(completion: dict[str, Any], *, usage: bool) -> Iterator[dict[str, Any]]:
    """A whole completion in the chunks of a stream.

    Args:
        completion: A chat completion, or a plain one.
        usage: Whether the last chunk counts the tokens.
    """
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
    """A choice in the parts in which a stream has it: text, calls, end."""
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
        part = {"tool_calls": [{**call, "index": index}]}
        yield {"delta": part, "finish_reason": None}
    yield {"delta": {}, "finish_reason": reason}


def _replay(body: bytes, receive: Receive) -> Receive:
    """Gives the body, then whatever comes: Agent Lightning watches for a disconnect."""
    left = [body]

    async def replay() -> Message:
        if left:
            return {"type": "http.request", "body": left.pop(), "more_body": False}
        return await receive()

    return replay
