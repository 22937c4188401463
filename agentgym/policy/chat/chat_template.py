"""From OpenAI's messages to prompt tokens; each conversation's exact ones are kept.

Rendering an assistant's reply again through the template does not give back the tokens
that were sampled: spaces in JSON, the split of words, a malformed call. So each
finished reply is remembered with its exact tokens, and a request that continues it gets
exactly these, followed by the newly rendered rest. To the trainer a whole conversation
is then one row, and to the engine its beginning is already computed.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from agentgym.policy.chat.dialect import SENTINEL, Dialect, common_length
from agentgym.policy.chat.prompt_messages import (
    Message,
    PromptError,
    digests,
    extend,
    forced_names,
    normal_message,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """A prompt's tokens; `forced` is the reply's beginning that it already holds."""

    ids: list[int]
    forced: str
    thinking: bool
    """Whether it has opened a thought, in which the reply begins."""
    thoughtful: bool
    """Whether thoughts of earlier replies are in it."""
    conversation: bytes
    """Digest of the messages and tools that it was made of."""


@dataclass(frozen=True, slots=True)
class _Remembered:
    """A conversation's tokens, and whether thoughts are in it."""

    ids: np.ndarray
    thoughtful: bool


class ChatTemplate:
    """Renders conversations of one dialect and remembers how they went on."""

    def __init__(self, dialect: Dialect, *, remembered: int = 2048) -> None:
        """Prepares a model's chat template.

        Args:
            dialect: The model's, as `find_dialect` gives it.
            remembered: The most replies to keep; the longest unused go first.
        """
        self.dialect = dialect
        self._remembered: OrderedDict[bytes, _Remembered] = OrderedDict()
        self._limit = remembered
        self._end_token = self._find_end_token()
        self._encode_head = lru_cache(maxsize=64)(self._encode_plain)
        self._forced = lru_cache(maxsize=64)(self._forced_ids)

    def prompt(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]] | None = None,
        tool_choice: str | Mapping[str, Any] | None = None,
        *,
        salt: str = "",
        options: Mapping[str, Any] | None = None,
    ) -> Prompt:
        """Turns a request into the tokens that the reply follows.

        Args:
            messages: The conversation so far.
            tools: OpenAI's descriptions of the tools.
            tool_choice: OpenAI's field of this name.
            salt: Only replies remembered with the same salt are continued.
            options: Variables of the template, such as `enable_thinking`.

        Raises:
            PromptError: A message, a tool or the choice makes no sense.
        """
        shown = [normal_message(i, message) for i, message in enumerate(messages)]
        if not shown:
            raise PromptError("messages is empty: give at least one message")
        must_call = forced_names(tools, tool_choice)
        if tool_choice == "none" or not tools:
            tools = None
        options = dict(options or {})
        if options:
            salt += json.dumps(options, sort_keys=True, default=str)
        digested = digests(shown, tools, salt)
        past = self._continue(shown, tools, digested, options)
        if past is None:
            text = self._render(shown, tools, options)
            past = _Remembered(np.asarray(self._encode(text), dtype=np.int32), False)
        ids = past.ids.tolist()
        thinking = self.dialect.opens_thought(ids)
        forced = list(self._forced(must_call, thinking)) if must_call else []
        return Prompt(
            ids=ids + forced,
            forced=self.dialect.text(forced),
            thinking=thinking and not forced,
            thoughtful=past.thoughtful,
            conversation=digested[-1],
        )

    def remember(
        self, prompt: Prompt, reply: Message, token_ids: Sequence[int]
    ) -> None:
        """Keeps a reply's exact tokens for the request that continues it.

        Args:
            prompt: What the reply follows.
            reply: The message that the client gets.
            token_ids: The sampled ids of it [T].
        """
        key = extend(prompt.conversation, normal_message(0, reply))
        ids = np.asarray([*prompt.ids, *token_ids], dtype=np.int32)
        thoughtful = prompt.thoughtful or "reasoning_content" in reply
        self._remembered[key] = _Remembered(ids, thoughtful)
        self._remembered.move_to_end(key)
        while len(self._remembered) > self._limit:
            self._remembered.popitem(last=False)

    def encode(self, text: str) -> list[int]:
        """Tokens of a text, as it stands."""
        return list(self._encode_plain(text))

    def token_text(self, token: int) -> str:
        """Text of one token, special or not."""
        text: str = self.dialect.tokenizer.decode([token], skip_special_tokens=False)
        return text

    # Splicing.

    def _continue(
        self,
        messages: list[Message],
        tools: Sequence[Mapping[str, Any]] | None,
        digested: list[bytes],
        options: Mapping[str, Any],
    ) -> _Remembered | None:
        for at in range(len(messages) - 1, -1, -1):
            if messages[at]["role"] != "assistant":
                continue
            past = self._remembered.get(digested[at])
            if past is None:
                continue
            if past.thoughtful and not self._keeps_thoughts(messages[at + 1 :]):
                return None
            tail = self._tail(messages, tools, at, options)
            if tail is None:
                return None
            self._remembered.move_to_end(digested[at])
            if int(past.ids[-1]) in self.dialect.ends.values():
                tail = self._without_end(tail)
            following = np.asarray(self._encode_plain(tail), dtype=np.int32)
            ids = np.concatenate((past.ids, following))
            return _Remembered(ids, past.thoughtful)
        return None

    def _keeps_thoughts(self, following: list[Message]) -> bool:
        """Whether the template keeps a reply's thoughts when these messages follow."""
        while_calling, past_user = self.dialect.keeps_thoughts
        spoken = any(message["role"] == "user" for message in following)
        return past_user if spoken else while_calling

    def _tail(
        self,
        messages: list[Message],
        tools: Sequence[Mapping[str, Any]] | None,
        at: int,
        options: Mapping[str, Any],
    ) -> str | None:
        """What the template writes behind the reply at `at`, its end included."""
        for marked, in_call in self._marked(messages[at]):
            try:
                text = self._render(
                    [*messages[:at], marked, *messages[at + 1 :]], tools, options
                )
            except PromptError:
                continue
            head, _, tail = text.partition(SENTINEL)
            if head == text or SENTINEL in tail:
                continue
            if not in_call:
                return tail
            ends = [tail.find(end) for end in self.dialect.ends if end in tail]
            if ends:
                return tail[min(ends) :]
        return None

    def _marked(self, reply: Message) -> Iterator[tuple[Message, bool]]:
        """The reply with a mark in it, and whether it is within the last call.

        Some templates refuse a tool's result behind a reply that calls nothing.
        """
        calls = reply.get("tool_calls")
        if calls:
            function = {**calls[-1]["function"], "arguments": {"agentgym": SENTINEL}}
            last = {**calls[-1], "function": function}
            yield {**reply, "tool_calls": [*calls[:-1], last]}, True
        yield {"role": "assistant", "content": SENTINEL}, False

    def _without_end(self, tail: str) -> str:
        """What is behind a reply's end, which was sampled with it."""
        ends = [end for end in self.dialect.ends if tail.startswith(end)]
        return tail[len(max(ends, key=len)) :] if ends else tail

    # Rendering.

    def _render(
        self,
        messages: list[Message],
        tools: Sequence[Mapping[str, Any]] | None,
        options: Mapping[str, Any],
    ) -> str:
        return self.dialect.render(messages, tools, generation=True, options=options)

    def _encode(self, text: str) -> list[int]:
        """Encodes a prompt; its first turn, the same in many requests, only once."""
        if self._end_token is not None:
            head, end, rest = text.partition(self._end_token[0])
            if end:
                return [*self._encode_head(head + end), *self._encode_plain(rest)]
        return list(self._encode_plain(text))

    def _encode_plain(self, text: str) -> tuple[int, ...]:
        return tuple(self.dialect.encode(text))

    def _find_end_token(self) -> tuple[str, int] | None:
        """The token that ends a turn, if texts around it are encoded independently."""
        added = self.dialect.added
        token = next((t for t in added if self.dialect.end.startswith(t)), None)
        if token is None:
            return None
        parts = ("You help.", token, "\nsystem hello")
        apart = self._encode_plain(parts[0] + token) + self._encode_plain(parts[2])
        return (
            (token, added[token])
            if apart == self._encode_plain("".join(parts))
            else None
        )

    def _forced_ids(self, names: tuple[str, ...], thinking: bool) -> tuple[int, ...]:
        """The tokens with which every call of one of these tools begins."""
        closing = self.dialect.channels.closing if thinking else ""
        openings = [
            self.encode(closing + opening)
            for name in names
            for opening in self.dialect.openings(name)
        ]
        return tuple(openings[0][: common_length(*openings)])
