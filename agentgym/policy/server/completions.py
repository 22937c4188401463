"""What a request asks of the engine, and the completion that answers it."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request

from agentgym.policy.chat.chat_template import ChatTemplate, Prompt
from agentgym.policy.chat.dialect import schemas
from agentgym.policy.engine.draws import Draws
from agentgym.policy.engine.generation import (
    Generation,
    SamplingParams,
    TokenEngine,
)
from agentgym.policy.server import wire
from agentgym.policy.server.openai_http import BadRequestError
from agentgym.policy.server.openai_json import Json
from agentgym.policy.server.structured_output import Forms, StructuredOutput


@dataclass(frozen=True, kw_only=True, slots=True)
class ChatTurn:
    """A reply that is asked for: the request, its prompt, and the engine's work."""

    asked: wire.ChatRequest
    prompt: Prompt
    generation: Generation


class Completions:
    """Turns requests into work for the engine, and its results into completions.

    Args:
        engine: It samples.
    """

    def __init__(self, engine: TokenEngine) -> None:
        self.engine = engine
        self.policy = engine.policy
        self.dialect = engine.policy.dialect
        self.template = ChatTemplate(self.dialect)
        self._structured = StructuredOutput(engine.policy)
        self._draws = Draws()

    async def chat_turn(self, asked: wire.ChatRequest) -> ChatTurn:
        """What the engine is to do for a chat request; nothing is queued yet.

        Raises:
            BadRequestError: It asks for what is not possible.
            PromptError: Its messages make no prompt.
            SchemaError: Its schema cannot be kept to.
        """
        asked.check_tools()
        adapter = self._adapter(asked.model)
        prompt = self.template.prompt(
            asked.messages,
            asked.tools,
            asked.tool_choice,
            salt=asked.rollout_id or "",
            options=asked.chat_template_kwargs,
        )
        if asked.max_completion_tokens is not None:
            asked.max_tokens = asked.max_completion_tokens
        if asked.top_logprobs and not asked.logprobs:
            raise BadRequestError("top_logprobs needs logprobs to be true")
        params = asked.sampling(
            room=self._room(prompt.ids),
            width=self.policy.width,
            top_logprobs=asked.top_logprobs or 0,
        )
        generation = self._generation(asked, prompt.ids, params, adapter)
        schema = asked.schema_of_text()
        if schema is not None:
            forms: Forms = "answer or calls" if asked.reads_tool_calls else "answer"
            if prompt.forced:
                forms = "rest of calls"
            # A large schema takes a while, and others want to be answered.
            generation.constraint = await asyncio.to_thread(
                self._structured.constraint, schema, forms, thinking=prompt.thinking
            )
        return ChatTurn(asked=asked, prompt=prompt, generation=generation)

    def text_generation(self, asked: wire.CompletionRequest) -> Generation:
        """What the engine is to do for a plain completion; nothing is queued yet.

        Raises:
            BadRequestError: It asks for what is not possible.
        """
        adapter = self._adapter(asked.model)
        if asked.stream:
            raise BadRequestError("/v1/completions does not stream: use chat")
        given = asked.prompt
        ids = self.template.encode(given) if isinstance(given, str) else given
        room = self._room(ids)
        params = asked.sampling(
            room=room, width=self.policy.width, top_logprobs=asked.logprobs or 0
        )
        return self._generation(asked, ids, params, adapter)

    def _generation(
        self,
        asked: wire.SamplingRequest,
        ids: list[int],
        params: SamplingParams,
        adapter: str | None,
    ) -> Generation:
        rollout = asked.rollout_id
        draw = self._draws.next(rollout, ids) if rollout else None
        return Generation(ids, params, adapter, draw)

    async def generate(self, request: Request, generation: Generation) -> None:
        """Waits for the engine, or for the client to go away.

        Args:
            request: Its client is watched; the body has been read.
            generation: Is queued, and holds its result afterwards.

        Raises:
            HTTPException: The server is stopping.
            UnknownAdapterError: The adapter has just been unloaded.
        """
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

    def chat_completion(self, turn: ChatTurn) -> Json:
        """The answer to a chat request whose generation has ended."""
        generation = turn.generation
        message = self.message(turn)
        choice: Json = {
            "index": 0,
            "message": message,
            "finish_reason": wire.finish_reason(generation, message),
            "logprobs": None,
        }
        if turn.asked.logprobs:
            choice["logprobs"] = wire.chat_logprobs(generation, self.template)
        return self._completion("chat.completion", turn.asked, generation, choice)

    def text_completion(
        self, asked: wire.CompletionRequest, generation: Generation
    ) -> Json:
        """The answer to a plain request.

        Args:
            asked: The request.
            generation: It has ended.
        """
        choice: Json = {
            "index": 0,
            "text": self.dialect.shown(self.text(generation, "")),
            "finish_reason": generation.finish_reason,
            "logprobs": None,
        }
        if asked.logprobs is not None:
            choice["logprobs"] = wire.completion_logprobs(generation, self.template)
        return self._completion("text_completion", asked, generation, choice)

    def message(self, turn: ChatTurn) -> Json:
        """The assistant's message of a generation that has ended; remembers it."""
        text = self.text(turn.generation, turn.prompt.forced)
        reply = self.dialect.parse(
            text,
            thinking=turn.prompt.thinking,
            tools=schemas(turn.asked.tools),
            calls=self.reads_calls(turn, text),
        )
        if turn.prompt.forced and not reply.tool_calls:
            # It begins as a call, whatever the model made of it.
            reply = self.dialect.forced(text, [*schemas(turn.asked.tools)])
        message = wire.assistant_message(reply, turn.generation.draw)
        self.template.remember(turn.prompt, message, turn.generation.token_ids)
        return message

    def reads_calls(self, turn: ChatTurn, text: str) -> bool:
        """Whether calls are looked for in a reply.

        Args:
            turn: What was asked.
            text: What there is of the reply.
        """
        if turn.generation.constraint is not None and self.dialect.calls.marks:
            # Elsewhere in structured text the opening is part of a string.
            return turn.asked.reads_tool_calls and text.startswith(
                self.dialect.calls.marks[0]
            )
        return turn.asked.reads_tool_calls

    def _completion(
        self,
        kind: str,
        asked: wire.SamplingRequest,
        generation: Generation,
        choice: dict[str, Any],
    ) -> Json:
        completion = wire.envelope(kind, asked.model or self.policy.name) | {
            "choices": [choice],
            "usage": wire.usage(generation),
        }
        if asked.return_token_ids:
            completion["prompt_token_ids"] = list(generation.prompt)
            choice["token_ids"] = generation.token_ids
        return completion

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
        """How many tokens the context has left for the reply."""
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

    def text(self, generation: Generation, forced: str) -> str:
        """What a reply spells so far, special tokens included, its end not.

        Args:
            generation: The sampled tokens.
            forced: The beginning that the prompt holds.
        """
        ids = list(generation.token_ids)
        if ids and ids[-1] in self.policy.stop_ids:
            ids = ids[:-1]
        text = forced + self.dialect.text(ids)
        if generation.stop_text is not None:
            text = text[: text.find(generation.stop_text, len(forced))]
        return text


def _resolve(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
