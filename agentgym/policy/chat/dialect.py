"""One family's way from messages to text, and from tokens back to what they say."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from agentgym.policy.chat.formats.found import (
    CallFormat,
    FoundCall,
    ParsedCall,
    Schemas,
    Span,
)
from agentgym.policy.chat.message_shape import MessageShape
from agentgym.policy.chat.opened_tokenizer import is_its_own, one_line
from agentgym.policy.chat.prompt_messages import Message, PromptError
from agentgym.policy.chat.thoughts import Channels
from agentgym.policy.chat.token_bytes import TokenBytes

SENTINEL = "AGENTGYMSENTINEL"
"""A reply that no template changes, or writes by itself."""

_OWN_REASONING = {
    "deepseek_v3": "deepseek_v3",
    "deepseek_v31": "deepseek_v3",
    "deepseek_v32": "deepseek_v3",
    "deepseek_v4": "deepseek_v4",
    "glm": "glm45",
    "kimi_k2": "kimi_k2",
    "minimax_m2": "minimax_m2",
}
"""vLLM's `--reasoning-parser` of families that mark thoughts as others do."""
_TAIL = 32
"""Tokens of a prompt's end in which a mark that opens a thought stands."""
_CONTROL = re.compile(r"[<\[].*[>\]]", re.DOTALL)


@dataclass(frozen=True, kw_only=True, slots=True)
class ParsedReply:
    """An assistant's reply split into what it thinks, says and calls."""

    content: str | None
    tool_calls: tuple[ParsedCall, ...] = ()
    reasoning: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """Where in a reply's text its parts stand.

    Attributes:
        thoughts: What it thinks, with the marks around it.
        thought: The same without the marks.
        said: What it says, calls not included.
        calls: Calls and failed attempts, in order; an attempt is also said.
    """

    thoughts: list[Span]
    thought: list[Span]
    said: list[Span]
    calls: list[FoundCall]


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """How one model's chat template writes conversations; made by `find_dialect`.

    Attributes:
        tokenizer: A Hugging Face tokenizer.
        calls: How calls are written.
        channels: How thoughts are.
        shape: What the template wants to be given.
        template: The chat template, Jinja.
        example: What it writes for a reply that calls, without its end.
        after_call: What it writes behind a reply that calls.
        keeps_thoughts: Whether thoughts stay in the prompt while tools are called, and
            whether they do once the user has spoken again.
        defaults: Variables of the template, such as `enable_thinking`.
    """

    tokenizer: Any
    calls: CallFormat
    channels: Channels
    shape: MessageShape
    template: str
    example: str = ""
    after_call: str = ""
    keeps_thoughts: tuple[bool, bool] = (True, True)
    defaults: Mapping[str, Any] = field(default_factory=dict)

    # From messages to text.

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]] | None,
        *,
        generation: bool,
        options: Mapping[str, Any] | None = None,
    ) -> str:
        """What the chat template makes of a conversation.

        Args:
            messages: As `normal_message` gives them.
            tools: OpenAI's descriptions of the tools.
            generation: Whether the beginning of a reply is added.
            options: Variables of the template (`enable_thinking`), over the defaults.

        Raises:
            PromptError: The template refuses the messages.
        """
        try:
            text: str = self.tokenizer.apply_chat_template(
                self.shape(messages),
                tools=list(tools) if tools else None,
                chat_template=self.template,
                add_generation_prompt=generation,
                tokenize=False,
                **{**self.defaults, **(options or {})},
            )
        except Exception as error:  # Templates raise what they like.
            raise PromptError(
                f"the model's chat template refuses these messages: {one_line(error)}"
            ) from error
        return text

    def encode(self, text: str) -> list[int]:
        """Tokens of a text, as it stands.

        Raises:
            PromptError: The tokenizer cannot encode it.
        """
        try:
            return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])
        except BaseException as error:
            if not is_its_own(error):
                raise
            raise PromptError(
                f"the model's tokenizer cannot encode this text: {one_line(error)}"
            ) from error

    @property
    def reasoning_parser(self) -> str | None:
        """The `--reasoning-parser` of vLLM; None if the family does not think."""
        if self.channels.vllm_parser is None:
            return None
        return _OWN_REASONING.get(self.calls.name, self.channels.vllm_parser)

    def openings(self, name: str) -> list[str]:
        """Texts that a call of a tool may begin with, once its arguments differ.

        Raises:
            PromptError: The template refuses such a call.
        """
        return [_call_text(self, name, given) for given in ({}, {"a": 1})]

    @cached_property
    def added(self) -> dict[str, int]:
        """The tokens that the tokenizer knows apart from its vocabulary, with ids."""
        return {str(t): i for i, t in self.tokenizer.added_tokens_decoder.items()}

    @cached_property
    def end(self) -> str:
        """What the template writes behind the last reply of a conversation."""
        return self._behind([])

    @cached_property
    def ends(self) -> dict[str, int]:
        """The tokens that end a reply, with their ids."""
        following: Message = {"role": "user", "content": "go on"}
        behind = (self.end, self._behind([following]), self.after_call.lstrip())
        first = (
            max((t for t in self.added if text.startswith(t)), key=len, default="")
            for text in behind
        )
        return {token: self.added[token] for token in first if token}

    def _behind(self, following: list[Message]) -> str:
        reply: Message = {"role": "assistant", "content": SENTINEL}
        messages = [{"role": "user", "content": "hello"}, reply, *following]
        try:
            text = self.render(messages, None, generation=False)
        except PromptError:
            return ""
        return text.rpartition(SENTINEL)[2]

    def opens_thought(self, prompt: Sequence[int]) -> bool:
        """Whether the reply to these tokens begins within a thought."""
        return self.channels.opened_by(self.text(prompt[-_TAIL:]))

    # From tokens to what they say.

    @cached_property
    def pieces(self) -> TokenBytes:
        """The bytes of tokens."""
        return TokenBytes(self.tokenizer)

    def text(self, ids: Sequence[int]) -> str:
        """What tokens spell, special ones included.

        Bytes that are no UTF-8, as of a character that was cut off, become U+FFFD.
        """
        return b"".join(self.pieces(ids)).decode("utf-8", "replace")

    def read(
        self,
        text: str,
        *,
        thinking: bool = False,
        tools: Schemas | None = None,
        calls: bool = True,
    ) -> Reading:
        """Where the parts of a reply stand; never raises.

        Args:
            text: The reply, with special tokens, without the one that ends it.
            thinking: Whether the prompt has opened a thought.
            tools: The tools that the model was shown.
            calls: Whether calls are looked for; they are said otherwise.
        """
        split = self.channels.split(text, thinking=thinking)
        found: list[FoundCall] = []
        said: list[Span] = []
        for start, end in split.rest:
            position = start
            here = self.calls.find(text[start:end], tools or {}) if calls else []
            for call in here:
                moved = _moved(call, start)
                found.append(moved)
                if moved.call is not None:
                    said.append((position, moved.start))
                    position = moved.end
            said.append((position, end))
        return Reading(
            thoughts=split.thoughts, thought=split.thought, said=said, calls=found
        )

    def parse(
        self,
        text: str,
        *,
        thinking: bool = False,
        tools: Schemas | None = None,
        calls: bool = True,
    ) -> ParsedReply:
        """Splits a reply into reasoning, content and tool calls; never raises.

        Args:
            text: See `read`.
            thinking: See `read`.
            tools: See `read`.
            calls: See `read`.
        """
        made = self.read(text, thinking=thinking, tools=tools, calls=calls)
        reasoning = self.shown(_joined(text, made.thought)).strip()
        content = self.shown(_joined(text, made.said))
        return ParsedReply(
            content=(content.strip() if calls or made.thoughts else content) or None,
            tool_calls=tuple(found.call for found in made.calls if found.call),
            reasoning=reasoning or None,
        )

    def forced(self, text: str, names: Sequence[str]) -> ParsedReply:
        """A reply whose beginning was forced to be a call, and that cannot be read.

        Args:
            text: The reply, its forced beginning included.
            names: The tools that it may call.

        Returns:
            A call of the tool that it names, with what it wrote for arguments; only
            content if it names none.
        """
        found = [(text.find(name), -len(name), name) for name in names if name in text]
        if not found:
            return ParsedReply(content=self.shown(text).strip() or None)
        at, _, name = min(found)
        attempt = next(iter(self.read(text).calls), None)
        given = attempt.arguments if attempt else None
        raw = text[slice(*given)] if given else self.shown(text[at + len(name) :])
        return ParsedReply(
            content=None, tool_calls=(ParsedCall(name=name, arguments=raw.strip()),)
        )

    def ready(self, text: str, *, thinking: bool, calls: bool) -> tuple[str, str]:
        """What no later token can change of an unfinished reply.

        Args:
            text: What there is of the reply.
            thinking: Whether the prompt has opened a thought.
            calls: Whether calls are looked for.

        Returns:
            Reasoning and content.
        """
        split = self.channels.split(text, thinking=thinking)
        if not split.rest or not self.channels.begin(text, thinking=thinking):
            return "", ""
        thought = self.shown(_joined(text, split.thought)).strip()
        rest = _joined(text, split.rest)
        if calls:
            rest = rest[: self.calls.begin(rest)]
        said = self.shown(rest)
        return thought, said.strip() if calls or split.thoughts else said

    def shown(self, text: str) -> str:
        """A text without the special tokens that are no content."""
        return self._hidden.sub("", text) if self._hidden else text

    @cached_property
    def _hidden(self) -> re.Pattern[str] | None:
        # A failed attempt at a call is shown as it was written.
        marks = {
            str(token)
            for token in self.tokenizer.added_tokens_decoder.values()
            if token.special
            and _CONTROL.fullmatch(str(token))
            and str(token) not in self.example
        }
        longest = sorted(marks, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, longest))) if longest else None


def _call_text(dialect: Dialect, name: str, arguments: Mapping[str, Any]) -> str:
    """How a call is written, from where it begins."""
    call = {
        "id": "call00000",
        "type": "function",
        "function": {"name": name, "arguments": dict(arguments)},
    }
    messages: list[Message] = [
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
    ]
    tool = {"type": "function", "function": {"name": name, "parameters": {}}}
    text = dialect.render(messages, [tool], generation=False)
    begun = dialect.render(messages[:1], [tool], generation=True)
    ids = dialect.encode(text)
    shared = common_length(dialect.encode(begun), ids)
    found = dialect.read(dialect.text(ids[shared:])).calls
    start = found[0].start if found else 0
    return dialect.text(ids[shared:])[start:]


def schemas(tools: Sequence[Mapping[str, Any]] | None) -> Schemas:
    """The JSON schema of each tool's parameters, by the tool's name."""
    found: dict[str, Mapping[str, Any]] = {}
    for tool in tools or ():
        function = tool.get("function", {})
        parameters = function.get("parameters")
        found[function.get("name", "")] = (
            parameters if isinstance(parameters, Mapping) else {}
        )
    return found


def common_length(*sequences: Sequence[int]) -> int:
    """How many tokens sequences have in common at their beginning."""
    pairs = enumerate(zip(*sequences, strict=False))
    differ = (i for i, tokens in pairs if len(set(tokens)) > 1)
    return next(differ, min(map(len, sequences)))


def _moved(found: FoundCall, by: int) -> FoundCall:
    at = found.arguments
    return FoundCall(
        start=found.start + by,
        end=found.end + by,
        arguments=None if at is None else (at[0] + by, at[1] + by),
        call=found.call,
    )


def _joined(text: str, spans: Sequence[Span]) -> str:
    return "".join(text[start:end] for start, end in spans)
