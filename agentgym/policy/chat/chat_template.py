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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from agentgym.policy.chat.prompt_messages import (
    Message,
    PromptError,
    digests,
    extend,
    forced_names,
    normal_message,
)
from agentgym.policy.chat.tool_calls import OPEN
from agentgym.policy.engine.end_of_turn import SENTINEL, end_of_turn


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """A prompt's tokens; `forced` is the reply's beginning that it already holds."""

    ids: list[int]
    forced: str
    conversation: bytes
    """Digest of the messages and tools that it was made of."""


class ChatTemplate:
    """Renders conversations of one tokenizer and remembers how they went on."""

    def __init__(self, tokenizer: Any, *, remembered: int = 2048) -> None:
        """Prepares a tokenizer's template.

        Args:
            tokenizer: A Hugging Face tokenizer with a chat template.
            remembered: The most replies to keep; the longest unused go first.
        """
        self._tokenizer = tokenizer
        self._remembered: OrderedDict[bytes, np.ndarray] = OrderedDict()
        self._limit = remembered
        self._end = end_of_turn(tokenizer)
        self._hidden_ids = {
            i
            for i, token in tokenizer.added_tokens_decoder.items()
            if token.special and "tool" not in str(token) and "think" not in str(token)
        }
        self._end_token = self._find_end_token()
        self._encode_head = lru_cache(maxsize=64)(self._encode_plain)

    def prompt(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]] | None = None,
        tool_choice: str | Mapping[str, Any] | None = None,
        *,
        salt: str = "",
    ) -> Prompt:
        """Turns a request into the tokens that the reply follows.

        Args:
            messages: The conversation so far.
            tools: OpenAI's descriptions of the tools.
            tool_choice: OpenAI's field of this name.
            salt: Only replies remembered with the same salt are continued.

        Raises:
            PromptError: A message, a tool or the choice makes no sense.
        """
        shown = [normal_message(i, message) for i, message in enumerate(messages)]
        if not shown:
            raise PromptError("messages is empty: give at least one message")
        must_call = forced_names(tools, tool_choice)
        if tool_choice == "none" or not tools:
            tools = None
        digested = digests(shown, tools, salt)
        ids = self._continue(shown, tools, digested)
        if ids is None:
            ids = self._encode(self._render(shown, tools, generation=True))
        forced = self._forced_ids(must_call) if must_call else []
        return Prompt(
            ids=ids + forced,
            forced=self.decode(forced) if forced else "",
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
        self._remembered[key] = np.asarray([*prompt.ids, *token_ids], dtype=np.int32)
        self._remembered.move_to_end(key)
        while len(self._remembered) > self._limit:
            self._remembered.popitem(last=False)

    def encode(self, text: str) -> list[int]:
        """Tokens of a text, as it stands."""
        return list(self._encode_plain(text))

    def decode(self, ids: Sequence[int]) -> str:
        """Text of sampled tokens, without the special ones that are no content."""
        hidden = self._hidden_ids
        text: str = self._tokenizer.decode(
            [i for i in ids if i not in hidden],
            skip_special_tokens=False,
            clean_up_tokenization_spaces=False,
        )
        return text

    def token_text(self, token: int) -> str:
        """Text of one token, special or not."""
        text: str = self._tokenizer.decode([token], skip_special_tokens=False)
        return text

    # Splicing.

    def _continue(
        self,
        messages: list[Message],
        tools: Sequence[Mapping[str, Any]] | None,
        digested: list[bytes],
    ) -> list[int] | None:
        for at in range(len(messages) - 1, -1, -1):
            if messages[at]["role"] != "assistant":
                continue
            past = self._remembered.get(digested[at])
            if past is None:
                continue
            tail = self._tail(messages, tools, at)
            if tail is None:
                return None
            self._remembered.move_to_end(digested[at])
            if self._end_token is not None and past[-1] == self._end_token[1]:
                tail = tail.removeprefix(self._end_token[0])
            return [*past.tolist(), *self._encode_plain(tail)]
        return None

    def _tail(
        self,
        messages: list[Message],
        tools: Sequence[Mapping[str, Any]] | None,
        at: int,
    ) -> str | None:
        """What the template writes behind the reply at `at`, its end included."""
        marked = [*messages]
        marked[at] = {"role": "assistant", "content": SENTINEL}
        try:
            text = self._render(marked, tools, generation=True)
        except PromptError:
            return None
        head, _, tail = text.partition(SENTINEL)
        return tail if head != text and SENTINEL not in tail else None

    # Rendering.

    def _render(
        self,
        messages: list[Message],
        tools: Sequence[Mapping[str, Any]] | None,
        *,
        generation: bool,
    ) -> str:
        try:
            text: str = self._tokenizer.apply_chat_template(
                messages,
                tools=list(tools) if tools else None,
                add_generation_prompt=generation,
                tokenize=False,
            )
        except Exception as error:  # Templates raise what they like.
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise PromptError(
                f"the model's chat template refuses these messages: {reason}"
            ) from error
        return text

    def _encode(self, text: str) -> list[int]:
        """Encodes a prompt; its first turn, the same in many requests, only once."""
        if self._end_token is not None:
            head, end, rest = text.partition(self._end_token[0])
            if end:
                return [*self._encode_head(head + end), *self._encode_plain(rest)]
        return list(self._encode_plain(text))

    def _encode_plain(self, text: str) -> tuple[int, ...]:
        ids = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return tuple(ids)

    def _find_end_token(self) -> tuple[str, int] | None:
        """The token that ends a turn, if texts around it are encoded independently."""
        tokenizer = self._tokenizer
        added = {str(t): i for i, t in tokenizer.added_tokens_decoder.items()}
        token = next((t for t in added if self._end.startswith(t)), None)
        if token is None:
            return None
        parts = ("You help.", token, "\nsystem hello")
        apart = self._encode_plain(parts[0] + token) + self._encode_plain(parts[2])
        return (
            (token, added[token])
            if apart == self._encode_plain("".join(parts))
            else None
        )

    def _forced_ids(self, names: tuple[str, ...]) -> list[int]:
        """The tokens with which every call of one of these tools begins."""
        openings = []
        for name in names:
            start = f'{OPEN}\n{{"name": {json.dumps(name)}, "arguments": '
            openings += [self.encode(start + rest) for rest in ("{}", '{"a": 1}')]
        shared = []
        for tokens in zip(*openings, strict=False):
            if len(set(tokens)) > 1:
                break
            shared.append(tokens[0])
        return shared
