"""The routes of the policy server: OpenAI's API in vLLM's dialect."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from agentgym.errors import InfraError, UsageError
from agentgym.policy.chat.prompt_messages import PromptError
from agentgym.policy.engine.generation import TokenEngine, UnknownAdapterError
from agentgym.policy.server import responses_reply, responses_request, wire
from agentgym.policy.server.chat_stream import ChatStream
from agentgym.policy.server.completions import Completions
from agentgym.policy.server.openai_http import (
    BadRequestError,
    error_response,
    json_response,
    read_object,
)
from agentgym.policy.server.openai_json import encode
from agentgym.policy.server.streams import streamed_chat, streamed_response
from agentgym.policy.server.structured_output import SchemaError

ANY_MODEL = "/any"
"""Below it, a request's `model` is not read: for agents that name one of their own."""
EPISODE = "/episode"
"""Below it and an id, requests are of that episode, which draws as the id says."""

Handler = Callable[[Request], Awaitable[Response]]


class PolicyServer:
    """The routes of one policy.

    Args:
        engine: It samples.
        adapters: The folder below which adapters are loaded from; None: nowhere.
    """

    def __init__(self, engine: TokenEngine, *, adapters: Path | None = None) -> None:
        self.engine = engine
        self.policy = engine.policy
        self._completions = Completions(self.engine)
        self._adapters = None if adapters is None else adapters.resolve()

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
        sleeping = {"/sleep": self._sleep, "/wake_up": self._wake}
        episode = f"{EPISODE}/{{episode}}"
        posts = {
            **{
                prefix + any_model + path: handler
                for prefix in ("", episode)
                for any_model in ("", ANY_MODEL)
                for path, handler in completions.items()
            },
            **adapters,
            **sleeping,
        }
        models = self._route(self._models)
        return Starlette(
            routes=[
                *(
                    Route(path, self._route(handler), methods=["POST"])
                    for path, handler in posts.items()
                ),
                *(Route(f"{prefix}/v1/models", models) for prefix in ("", episode)),
                Route("/health", self._health),
            ],
            exception_handlers={HTTPException: _http_error, Exception: _server_error},
        )

    def _route(self, handler: Handler) -> Handler:
        async def route(request: Request) -> Response:
            try:
                return await handler(request)
            except BadRequestError as error:
                return error_response(str(error), error.status, param=error.param)
            except PromptError as error:
                return error_response(str(error), 400)
            except SchemaError as error:
                return error_response(str(error), 400, param=error.param)
            except UnknownAdapterError as error:
                return error_response(str(error), 404, param="model")
            except InfraError as error:
                return error_response(str(error), 503, kind="server_error")

        return route

    async def _health(self, _: Request) -> Response:
        running, waiting = self.engine.load
        return json_response(
            {
                "status": "ok",
                "running": running,
                "waiting": waiting,
                "pid": os.getpid(),
                "trouble": self.engine.trouble,
            }
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
        return json_response({"object": "list", "data": [card, *adapters]})

    async def _load_adapter(self, request: Request) -> Response:
        asked = wire.read_request(wire.LoadAdapterRequest, await request.body())
        path = Path(asked.lora_path).expanduser().resolve()
        if self._adapters is None or not path.is_relative_to(self._adapters):
            where = self._adapters or "nowhere: start it with --adapters FOLDER"
            raise BadRequestError(
                f"{path}: this server loads adapters from {where}", status=403
            )
        try:
            await asyncio.to_thread(self.engine.load_adapter, asked.lora_name, path)
        except UsageError as error:
            missing = not path.exists()
            raise BadRequestError(str(error), status=404 if missing else 400) from error
        name = asked.lora_name
        return PlainTextResponse(f"Success: LoRA adapter '{name}' added successfully.")

    async def _unload_adapter(self, request: Request) -> Response:
        asked = wire.read_request(wire.UnloadAdapterRequest, await request.body())
        name = asked.lora_name
        try:
            await asyncio.wrap_future(self.engine.unload_adapter(name))
        except RuntimeError as error:
            raise HTTPException(503, "the policy server is stopping") from error
        return PlainTextResponse(
            f"Success: LoRA adapter '{name}' removed successfully."
        )

    async def _sleep(self, _: Request) -> Response:
        await asyncio.to_thread(self.engine.rest)
        return json_response({"status": "sleeping"})

    async def _wake(self, _: Request) -> Response:
        await asyncio.to_thread(self.engine.wake)
        return json_response({"status": "awake"})

    async def _complete(self, request: Request) -> Response:
        asked = wire.read_request(wire.CompletionRequest, await request.body())
        _heed_address(request, asked)
        generation = self._completions.text_generation(asked)
        await self._completions.generate(request, generation)
        return json_response(self._completions.text_completion(asked, generation))

    async def _chat(self, request: Request) -> Response:
        asked = wire.read_request(wire.ChatRequest, await request.body())
        _heed_address(request, asked)
        turn = await self._completions.chat_turn(asked)
        if asked.stream:
            return streamed_chat(ChatStream(self._completions, turn).chunks())
        await self._completions.generate(request, turn.generation)
        return json_response(self._completions.chat_completion(turn))

    async def _respond(self, request: Request) -> Response:
        body = read_object(await request.body())
        chat = encode(responses_request.chat_request(body))
        asked = wire.read_request(wire.ChatRequest, chat)
        _heed_address(request, asked)
        turn = await self._completions.chat_turn(asked)
        if asked.stream:
            chunks = ChatStream(self._completions, turn).chunks()
            return streamed_response(body, chunks)
        await self._completions.generate(request, turn.generation)
        completion = self._completions.chat_completion(turn)
        return json_response(responses_reply.response(body, completion))


def _heed_address(request: Request, asked: wire.SamplingRequest) -> None:
    """Has a request say what its address says."""
    path = request.url.path
    episode = request.path_params.get("episode")
    if episode is not None:
        asked.rollout_id = episode
        path = path.removeprefix(f"{EPISODE}/{episode}")
    if path.startswith(ANY_MODEL + "/"):
        asked.model = None


async def _http_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    detail = error.detail if isinstance(error, HTTPException) else str(error)
    kind = "invalid_request_error" if status < 500 else "server_error"
    sentence = f"{request.method} {request.url.path}: {detail}"
    return error_response(sentence, status, kind=kind)


async def _server_error(_: Request, error: Exception) -> Response:
    return error_response(f"{type(error).__name__}: {error}", 500, kind="server_error")
