"""The chunks of a streamed chat completion, made while the engine samples."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from agentgym.policy.chat.formats.found import before_mark
from agentgym.policy.engine.generation import Generation, UnknownAdapterError
from agentgym.policy.server import wire
from agentgym.policy.server.openai_http import Chunks
from agentgym.policy.server.openai_json import Json, error_body

if TYPE_CHECKING:
    from agentgym.policy.server.completions import ChatTurn, Completions


class ChatStream:
    """One reply in chunks: text as soon as no later token can change it.

    Args:
        completions: Has the engine, the template and the final message.
        turn: The reply that is asked for; nothing is queued yet.
    """

    def __init__(self, completions: Completions, turn: ChatTurn) -> None:
        self._completions = completions
        self._turn = turn
        model = turn.asked.model or completions.policy.name
        self._frame = wire.envelope("chat.completion.chunk", model)
        self._sent = {"reasoning_content": 0, "content": 0}
        """Characters of each that are in chunks."""
        self._tokens = 0
        """Sampled tokens that are in chunks."""

    async def chunks(self) -> Chunks:
        """Queues the generation and gives its chunks; an error is the last one."""
        generation = self._turn.generation
        loop = asyncio.get_running_loop()
        news = asyncio.Event()

        def wake(_: Generation) -> None:
            # At exit, the loop may be closed before the engine's thread ends.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(news.set)

        generation.on_step = generation.on_done = wake
        try:
            self._completions.engine.submit(generation)
        except UnknownAdapterError as error:
            yield error_body(str(error), kind="invalid_request_error")
            return
        try:
            yield self._opening()
            while generation.finish_reason is None:
                await news.wait()
                news.clear()
                if generation.finish_reason is None:
                    for delta in self._new(*self._ready()):
                        yield self._chunk(delta)
            if generation.error is not None:
                yield error_body(str(generation.error), kind="server_error")
                return
            for chunk in self._ending():
                yield chunk
        finally:
            generation.cancel()

    def _opening(self) -> Json:
        delta = {"role": "assistant", "content": ""}
        opening = self._frame | {"choices": [{"index": 0, "delta": delta}]}
        if self._turn.asked.return_token_ids:
            opening["prompt_token_ids"] = self._turn.prompt.ids
        return opening

    def _ending(self) -> Iterator[Json]:
        asked, generation = self._turn.asked, self._turn.generation
        message = self._completions.message(self._turn)
        reasoning = message.get("reasoning_content") or ""
        for delta in self._new(reasoning, message["content"] or ""):
            yield self._chunk(delta)
        for index, call in enumerate(message.get("tool_calls", ())):
            yield self._chunk({"tool_calls": [{"index": index, **call}]})
        yield self._chunk({}, wire.finish_reason(generation, message))
        if asked.stream_options and asked.stream_options.include_usage:
            yield self._frame | {"choices": [], "usage": wire.usage(generation)}

    def _chunk(self, delta: Json, reason: str | None = None) -> Json:
        asked, generation = self._turn.asked, self._turn.generation
        choice: Json = {
            "index": 0,
            "delta": delta,
            "finish_reason": reason,
            "logprobs": None,
        }
        if asked.logprobs and len(generation.token_ids) > self._tokens:
            choice["logprobs"] = wire.chat_logprobs(
                generation, self._completions.template, self._tokens
            )
        if asked.return_token_ids:
            choice["token_ids"] = generation.token_ids[self._tokens :]
        self._tokens = len(generation.token_ids)
        return self._frame | {"choices": [choice]}

    def _new(self, reasoning: str, content: str) -> Iterator[dict[str, str]]:
        """Deltas of what is not in chunks yet.

        Args:
            reasoning: All that is ready of it.
            content: All that is ready of it.
        """
        for key, text in (("reasoning_content", reasoning), ("content", content)):
            if len(text) > self._sent[key]:
                yield {key: text[self._sent[key] :]}
                self._sent[key] = len(text)

    def _ready(self) -> tuple[str, str]:
        """Reasoning and content that no later token can change."""
        generation, prompt = self._turn.generation, self._turn.prompt
        text = self._completions.text(generation, prompt.forced).rstrip("\ufffd")
        calls = self._completions.reads_calls(self._turn, text)
        dialect = self._completions.dialect
        reasoning, said = dialect.ready(text, thinking=prompt.thinking, calls=calls)
        for stop in generation.params.stop:
            kept = before_mark(said, stop)
            said = said[:kept].rstrip() if kept < len(said) else said
        return reasoning, said
