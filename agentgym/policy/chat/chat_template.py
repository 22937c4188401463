"""From OpenAI's messages to prompt tokens; each conversation's exact ones are kept.

Rendering an assistant's reply again through the template does not give back the tokens
that were sampled: spaces in JSON, the split of words, a malformed call. So each
finished reply is remembered with its exact tokens, and a request that continues it gets
exactly these, followed by the newly rendered rest. To the trainer a whole conversation
is then one row, and to the engine its beginning is already computed.
"""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from agentgym.policy.chat.tool_calls import OPEN
from agentgym.policy.engine.loading import end_of_turn

Message = dict[str, Any]

_SENTINEL = "AGENTGYMSENTINEL"
_ROLES = ("system", "developer", "user", "assistant", "tool", "function")


class PromptError(ValueError):
    """The request cannot become a prompt; the text is one clear sentence."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """A prompt's tokens; ``forced`` is the reply's beginning that it already holds."""

    ids: list[int]
    forced: str
    conversation: bytes
    """Digest of the messages and tools that it was made of."""


class ChatTemplate:
    """Renders conversations of one tokenizer and remembers how they went on."""

    def __init__(self, tokenizer: Any, *, remembered: int = 2048) -> None:
        """Prepare a tokenizer's template.

        Args:
            tokenizer: A Hugging Face tokenizer with a chat template.
            remembered: The most replies to keep; the longest unused go first.
        """
        self._tokenizer = tokenizer
        self._remembered: OrderedDict[bytes, np.ndarray] = OrderedDict()
        self._limit = remembered
        self._end = end_of_turn(tokenizer)
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
        """Turn a request into the tokens that the reply follows.

        Args:
            messages: The conversation so far.
            tools: OpenAI's descriptions of the tools.
            tool_choice: OpenAI's field of this name.
            salt: Only replies remembered with the same salt are continued.

        Raises:
            PromptError: A message, a tool or the choice makes no sense.
        """
        shown = [_normal(i, message) for i, message in enumerate(messages)]
        if not shown:
            raise PromptError("messages is empty: give at least one message")
        forced_names = _forced_names(tools, tool_choice)
        if tool_choice == "none" or not tools:
            tools = None
        digests = _digests(shown, tools, salt)
        ids = self._continue(shown, tools, digests)
        if ids is None:
            ids = self._encode(self._render(shown, tools, generation=True))
        forced = self._forced_ids(forced_names) if forced_names else []
        return Prompt(
            ids=ids + forced,
            forced=self.decode(forced) if forced else "",
            conversation=digests[-1],
        )

    def remember(
        self, prompt: Prompt, reply: Message, token_ids: Sequence[int]
    ) -> None:
        """Keep a reply's exact tokens for the request that continues it."""
        key = _extend(prompt.conversation, _normal(0, reply))
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
        digests: list[bytes],
    ) -> list[int] | None:
        for at in range(len(messages) - 1, -1, -1):
            if messages[at]["role"] != "assistant":
                continue
            past = self._remembered.get(digests[at])
            if past is None:
                continue
            tail = self._tail(messages, tools, at)
            if tail is None:
                return None
            self._remembered.move_to_end(digests[at])
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
        """What the template writes behind the reply at ``at``, its end included."""
        marked = [*messages]
        marked[at] = {"role": "assistant", "content": _SENTINEL}
        try:
            text = self._render(marked, tools, generation=True)
        except PromptError:
            return None
        head, _, tail = text.partition(_SENTINEL)
        return tail if head != text and _SENTINEL not in tail else None

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
        """Encode a prompt; its first turn, the same in many requests, only once."""
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
        self._hidden_ids = {
            i
            for i, token in tokenizer.added_tokens_decoder.items()
            if token.special and "tool" not in str(token) and "think" not in str(token)
        }
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


def _forced_names(
    tools: Sequence[Mapping[str, Any]] | None,
    choice: str | Mapping[str, Any] | None,
) -> tuple[str, ...]:
    names = tuple(_tool_name(i, tool) for i, tool in enumerate(tools or ()))
    if choice is None or choice in ("auto", "none"):
        return ()
    if choice == "required":
        if not names:
            raise PromptError('tool_choice is "required", but the request has no tools')
        return names
    if isinstance(choice, Mapping):
        function = choice.get("function")
        wanted = function.get("name") if isinstance(function, Mapping) else None
        if wanted in names:
            return (str(wanted),)
        known = ", ".join(names) or "none"
        raise PromptError(
            f"tool_choice names the tool {wanted!r}, which is not among the tools of "
            f"the request ({known})"
        )
    raise PromptError(
        f"tool_choice {choice!r} is unknown: use none, auto, required or a function"
    )


def _tool_name(index: int, tool: Mapping[str, Any]) -> str:
    function = tool.get("function")
    name = function.get("name") if isinstance(function, Mapping) else None
    if not isinstance(name, str) or not name:
        raise PromptError(f"tools[{index}] has no function name")
    return name


def _normal(index: int, message: Mapping[str, Any]) -> Message:
    """A message as templates expect it: text content, arguments as objects."""
    role = message.get("role")
    if role not in _ROLES:
        raise PromptError(
            f"messages[{index}] has the unknown role {role!r}: "
            "use system, user, assistant or tool"
        )
    normal: Message = {
        "role": {"developer": "system", "function": "tool"}.get(role, role),
        "content": _text(index, message.get("content")),
    }
    for key in ("name", "tool_call_id"):
        if message.get(key) is not None:
            normal[key] = message[key]
    if role == "assistant" and message.get("tool_calls"):
        normal["tool_calls"] = [
            _normal_call(index, call) for call in message["tool_calls"]
        ]
    return normal


def _text(index: int, content: Any) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    parts = []
    for part in content if isinstance(content, list) else [content]:
        if not isinstance(part, Mapping) or not isinstance(part.get("text"), str):
            raise PromptError(
                f"messages[{index}] has content that is not text: "
                "this model reads text only"
            )
        parts.append(part["text"])
    return "".join(parts)


_MALFORMED = "INVALID_JSON"
"""Where Pydantic AI puts arguments that are no JSON, to send them back as JSON."""


def _normal_call(index: int, call: Any) -> dict[str, Any]:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise PromptError(f"messages[{index}] has a tool call without a function name")
    arguments = function.get("arguments", "{}")
    if isinstance(arguments, str):
        try:
            parsed = json.loads(arguments)
        except ValueError:
            parsed = None
        if isinstance(parsed, dict) and parsed.keys() == {_MALFORMED}:
            arguments = str(parsed[_MALFORMED])
        else:
            arguments = parsed if isinstance(parsed, dict) else arguments
    return {
        "id": call.get("id"),
        "type": "function",
        "function": {"name": function["name"], "arguments": arguments},
    }


def _digests(
    messages: list[Message], tools: Sequence[Mapping[str, Any]] | None, salt: str
) -> list[bytes]:
    """A digest of the conversation up to and with each message."""
    digest = hashlib.blake2b(
        json.dumps([salt, tools], sort_keys=True).encode(), digest_size=16
    ).digest()
    digests = []
    for message in messages:
        digest = _extend(digest, message)
        digests.append(digest)
    return digests


def _extend(digest: bytes, message: Message) -> bytes:
    known = message
    if message["role"] == "assistant":
        # Clients strip text, or drop it beside tool calls, and add names; the calls'
        # ids and arguments tell such replies apart.
        calls = message.get("tool_calls", [])
        known = {
            "role": "assistant",
            "content": "" if calls else message["content"].strip(),
            "tool_calls": calls,
        }
    text = json.dumps(known, sort_keys=True)
    data = digest + text.encode(errors="surrogatepass")
    return hashlib.blake2b(data, digest_size=16).digest()
