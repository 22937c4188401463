"""The routes of the policy server: OpenAI's API in vLLM's dialect."""

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from agentgym.errors import UsageError
from agentgym.policy.chat.chat_template import ChatTemplate, Prompt, PromptError
from agentgym.policy.chat.structured_output import Forms, SchemaError, StructuredOutput
from agentgym.policy.chat.tool_calls import OPEN, ParsedReply, parse
from agentgym.policy.engine.engine import Engine, Generation, UnknownAdapterError
from agentgym.policy.engine.loading import LoadedPolicy
from agentgym.policy.server import responses, wire
from agentgym.policy.server.responses import ResponsesError
from agentgym.policy.server.streams import Chunks, streamed_chat, streamed_response
from agentgym.policy.server.wire import (
    BadRequestError,
    ChatRequest,
    CompletionRequest,
    LoadAdapterRequest,
    UnloadAdapterRequest,
)

ANY_MODEL = "/any"
"""Below it, a request's `model` is not read: for agents that name one of their own."""


class PolicyServer:
    """The routes of one policy."""

    def __init__(
        self,
        policy: LoadedPolicy,
        *,
        api_key: str | None = None,
        adapter: Path | None = None,
    ) -> None:
        self.policy = policy
        self.engine = Engine(policy, adapter=adapter)
        self.template = ChatTemplate(policy.tokenizer)
        self.structured = StructuredOutput(policy)
        self._api_key = api_key

    def app(self) -> Starlette:
        """The ASGI application."""
        completions = {
            "/v1/chat/completions": self._chat,
            "/v1/completions": self._complete,
            "/v1/responses": self._respond,
        }
        adapters = {
            "/v1/load_lora_adapter": self._load_adapter,
            "/v1/unload_lora_adapter": self._unload_adapter,
        }
        posts = {
            **completions,
            **{ANY_MODEL + path: handler for path, handler in completions.items()},
            **adapters,
        }
        return Starlette(
            routes=[
                *(
                    Route(path, self._route(handler), methods=["POST"])
                    for path, handler in posts.items()
                ),
                Route("/v1/models", self._route(self._models)),
                Route("/health", self._health),
            ],
            exception_handlers={HTTPException: _http_error, Exception: _server_error},
        )

    def _route(
        self, handler: Callable[[Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def route(request: Request) -> Response:
            key = request.headers.get("authorization", "").removeprefix("Bearer ")
            if self._api_key and key != self._api_key:
                return _error("the API key is wrong", 401, kind="authentication_error")
            try:
                return await handler(request)
            except BadRequestError as error:
                return _error(str(error), error.status, param=error.param)
            except PromptError as error:
                return _error(str(error), 400)
            except (ResponsesError, SchemaError) as error:
                return _error(str(error), 400, param=error.param)
            except UnknownAdapterError as error:
                return _error(str(error), 404, param="model")

        return route

    async def _health(self, _: Request) -> Response:
        running, waiting = self.engine.load
        return _json(
            {"status": "ok", "running": running, "waiting": waiting, "pid": os.getpid()}
        )

    async def _models(self, _: Request) -> Response:
        card = {
            "id": self.policy.name,
            "object": "model",
            "created": 0,
            "owned_by": "agentgym",
            "root": str(self.policy.path),
            "max_model_len": self.policy.context,
        }
        adapters = [
            card | {"id": name, "root": str(path), "parent": self.policy.name}
            for name, path in self.engine.adapters.items()
        ]
        return _json({"object": "list", "data": [card, *adapters]})

    async def _load_adapter(self, request: Request) -> Response:
        asked = wire.read_request(LoadAdapterRequest, await request.body())
        try:
            await asyncio.to_thread(
                self.engine.load_adapter, asked.lora_name, asked.lora_path
            )
        except UsageError as error:
            missing = not Path(asked.lora_path).expanduser().exists()
            raise BadRequestError(str(error), status=404 if missing else 400) from error
        name = asked.lora_name
        return PlainTextResponse(f"Success: LoRA adapter '{name}' added successfully.")

    async def _unload_adapter(self, request: Request) -> Response:
        asked = wire.read_request(UnloadAdapterRequest, await request.body())
        name = asked.lora_name
        try:
            await asyncio.wrap_future(self.engine.unload_adapter(name))
        except RuntimeError as error:
            raise HTTPException(503, "the policy server is stopping") from error
        return PlainTextResponse(
            f"Success: LoRA adapter '{name}' removed successfully."
        )

    async def _complete(self, request: Request) -> Response:
        asked = wire.read_request(CompletionRequest, await request.body())
        _forget_model(request, asked)
        adapter = self._adapter(asked.model)
        if asked.stream:
            raise BadRequestError("/v1/completions does not stream: use chat")
        given = asked.prompt
        ids = self.template.encode(given) if isinstance(given, str) else given
        room = self._room(ids)
        params = asked.sampling(room=room, top_logprobs=asked.logprobs or 0)
        generation = await self._generate(request, Generation(ids, params, adapter))
        choice: dict[str, Any] = {
            "index": 0,
            "text": self._text(generation, ""),
            "finish_reason": generation.finish_reason,
            "logprobs": None,
        }
        if asked.logprobs is not None:
            choice["logprobs"] = wire.completion_logprobs(generation, self.template)
        return _json(self._response("text_completion", asked, generation, choice))

    async def _chat(self, request: Request) -> Response:
        asked = wire.read_request(ChatRequest, await request.body())
        _forget_model(request, asked)
        prompt, generation = await self._begin(asked)
        if asked.stream:
            return streamed_chat(self._chunks(asked, prompt, generation))
        await self._generate(request, generation)
        return _json(self._completion(asked, prompt, generation))

    async def _respond(self, request: Request) -> Response:
        body = wire.read_object(await request.body())
        chat = wire.encode(responses.chat_request(body))
        asked = wire.read_request(ChatRequest, chat)
        _forget_model(request, asked)
        prompt, generation = await self._begin(asked)
        if asked.stream:
            return streamed_response(body, self._chunks(asked, prompt, generation))
        await self._generate(request, generation)
        completion = self._completion(asked, prompt, generation)
        return _json(responses.response(body, completion))

    async def _begin(self, asked: ChatRequest) -> tuple[Prompt, Generation]:
        """What the engine is to do for a request; nothing is queued yet."""
        asked.check_tools()
        adapter = self._adapter(asked.model)
        prompt = self.template.prompt(
            asked.messages,
            asked.tools,
            asked.tool_choice,
            salt=asked.rollout_id or "",
        )
        if asked.max_completion_tokens is not None:
            asked.max_tokens = asked.max_completion_tokens
        if asked.top_logprobs and not asked.logprobs:
            raise BadRequestError("top_logprobs needs logprobs to be true")
        params = asked.sampling(
            room=self._room(prompt.ids), top_logprobs=asked.top_logprobs or 0
        )
        generation = Generation(prompt.ids, params, adapter)
        schema = asked.schema_of_text()
        if schema is not None:
            forms: Forms = "answer or calls" if asked.reads_tool_calls else "answer"
            if prompt.forced:
                forms = "rest of calls"
            # A large schema takes a while, and others want to be answered.
            generation.constraint = await asyncio.to_thread(
                self.structured.constraint, schema, forms
            )
        return prompt, generation

    def _completion(
        self, asked: ChatRequest, prompt: Prompt, generation: Generation
    ) -> dict[str, Any]:
        message = self._message(asked, prompt, generation)
        choice: dict[str, Any] = {
            "index": 0,
            "message": message,
            "finish_reason": wire.finish_reason(generation, message),
            "logprobs": None,
        }
        if asked.logprobs:
            choice["logprobs"] = wire.chat_logprobs(generation, self.template)
        return self._response("chat.completion", asked, generation, choice)

    def _response(
        self,
        kind: str,
        asked: wire.SamplingRequest,
        generation: Generation,
        choice: dict[str, Any],
    ) -> dict[str, Any]:
        response = wire.envelope(kind, asked.model or self.policy.name) | {
            "choices": [choice],
            "usage": wire.usage(generation),
        }
        if asked.return_token_ids:
            response["prompt_token_ids"] = list(generation.prompt)
            choice["token_ids"] = generation.token_ids
        return response

    def _adapter(self, name: str | None) -> str | None:
        """The adapter that a request's `model` means."""
        if name in (None, "", self.policy.name):
            return None
        known = self.engine.adapters
        if name not in known:
            names = " or ".join(repr(n) for n in (self.policy.name, *known))
            raise BadRequestError(
                f"the model {name!r} does not exist here: use {names}",
                status=404,
                param="model",
            )
        return name

    def _room(self, ids: list[int]) -> int:
        context = self.policy.context
        width = self.policy.width
        if not ids:
            raise BadRequestError("the prompt is empty")
        if not all(0 <= i < width for i in ids):
            raise BadRequestError(f"the prompt has a token id outside 0..{width - 1}")
        if len(ids) >= context:
            raise BadRequestError(
                f"the prompt has {len(ids)} tokens, but the context of "
                f"{self.policy.name!r} holds {context} with the reply"
            )
        return context - len(ids)

    def _text(self, generation: Generation, forced: str) -> str:
        ids = generation.token_ids
        if ids and ids[-1] in self.policy.stop_ids:
            ids = ids[:-1]
        text = forced + self.template.decode(ids)
        if generation.stop_text is not None:
            text = text[: text.find(generation.stop_text, len(forced))]
        return text

    def _message(
        self, asked: ChatRequest, prompt: Prompt, generation: Generation
    ) -> dict[str, Any]:
        text = self._text(generation, prompt.forced)
        reads_calls = asked.reads_tool_calls
        if generation.constraint is not None:
            # Elsewhere in structured text the opening is part of a string.
            reads_calls = reads_calls and text.startswith(OPEN)
        reply = parse(text) if reads_calls else ParsedReply(content=text)
        message = wire.assistant_message(reply)
        self.template.remember(prompt, message, generation.token_ids)
        return message

    async def _generate(self, request: Request, generation: Generation) -> Generation:
        """Wait for the engine, or for the client to go away."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()

        def finished(_: Generation) -> None:
            # At exit, the loop may be closed before the engine's thread ends.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(_resolve, done)

        generation.on_done = finished
        self.engine.submit(generation)
        gone = asyncio.ensure_future(_disconnected(request))
        try:
            await asyncio.wait((done, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            if not done.done():
                generation.cancel()
        if generation.error is not None:
            raise generation.error
        if generation.finish_reason in (None, "cancelled"):
            raise HTTPException(503, "the policy server is stopping")
        return generation

    async def _chunks(
        self, asked: ChatRequest, prompt: Prompt, generation: Generation
    ) -> Chunks:
        """The chunks of a streamed reply; an error is the last one."""
        loop = asyncio.get_running_loop()
        news = asyncio.Event()

        def wake(_: Generation) -> None:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(news.set)

        generation.on_step = generation.on_done = wake
        base = wire.envelope("chat.completion.chunk", asked.model or self.policy.name)
        sent = tokens = 0

        def chunk(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
            nonlocal tokens
            choice: dict[str, Any] = {
                "index": 0,
                "delta": delta,
                "finish_reason": reason,
                "logprobs": None,
            }
            if asked.logprobs and len(generation.token_ids) > tokens:
                choice["logprobs"] = wire.chat_logprobs(
                    generation, self.template, tokens
                )
            if asked.return_token_ids:
                choice["token_ids"] = generation.token_ids[tokens:]
            tokens = len(generation.token_ids)
            return base | {"choices": [choice]}

        try:
            self.engine.submit(generation)
        except UnknownAdapterError as error:
            yield wire.error_body(str(error), kind="invalid_request_error")
            return
        try:
            first = {"role": "assistant", "content": ""}
            opening = base | {"choices": [{"index": 0, "delta": first}]}
            if asked.return_token_ids:
                opening["prompt_token_ids"] = prompt.ids
            yield opening
            while generation.finish_reason is None:
                await news.wait()
                news.clear()
                if generation.finish_reason is None:
                    ready = self._ready_text(asked, prompt, generation)
                    if len(ready) > sent:
                        yield chunk({"content": ready[sent:]})
                        sent = len(ready)
            if generation.error is not None:
                yield wire.error_body(str(generation.error), kind="server_error")
                return
            message = self._message(asked, prompt, generation)
            rest = (message["content"] or "")[sent:]
            if rest:
                yield chunk({"content": rest})
            for index, call in enumerate(message.get("tool_calls", ())):
                yield chunk({"tool_calls": [{"index": index, **call}]})
            yield chunk({}, wire.finish_reason(generation, message))
            if asked.stream_options and asked.stream_options.include_usage:
                yield base | {"choices": [], "usage": wire.usage(generation)}
        finally:
            generation.cancel()

    def _ready_text(
        self, asked: ChatRequest, prompt: Prompt, generation: Generation
    ) -> str:
        """The text that no later token can change, without tool calls."""
        text = prompt.forced + self.template.decode(list(generation.token_ids))
        text = text.rstrip("\ufffd")
        holds = list(generation.params.stop)
        if asked.reads_tool_calls:
            if OPEN in text:
                text = text[: text.index(OPEN)]
            holds.append(OPEN)
            # Content is stripped at its ends in the final message.
            text = text.strip()
        for hold in holds:
            for size in range(min(len(hold) - 1, len(text)), 0, -1):
                if text.endswith(hold[:size]):
                    text = text[:-size].rstrip()
                    break
        return text


def _forget_model(request: Request, asked: wire.SamplingRequest) -> None:
    if request.url.path.startswith(ANY_MODEL + "/"):
        asked.model = None


def _resolve(done: "asyncio.Future[None]") -> None:
    if not done.done():
        done.set_result(None)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _json(data: Any, status: int = 200) -> Response:
    return Response(wire.encode(data), status, media_type="application/json")


def _error(
    message: str,
    status: int,
    *,
    kind: str = "invalid_request_error",
    param: str | None = None,
) -> Response:
    return _json(wire.error_body(message, kind=kind, param=param), status)


async def _http_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    detail = error.detail if isinstance(error, HTTPException) else str(error)
    kind = "invalid_request_error" if status < 500 else "server_error"
    return _error(f"{request.method} {request.url.path}: {detail}", status, kind=kind)


async def _server_error(_: Request, error: Exception) -> Response:
    return _error(f"{type(error).__name__}: {error}", 500, kind="server_error")
