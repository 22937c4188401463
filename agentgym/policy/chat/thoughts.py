"""Where a reply's thoughts stand, and what is left of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

from agentgym.policy.chat.formats.found import Span, before_mark
from agentgym.policy.chat.formats.harmony import RECIPIENT, body_end, messages

_CHANNEL = re.compile(r"<\|channel\|>(?P<name>\w+)")


@dataclass(frozen=True, slots=True)
class Split:
    """A reply's text in two.

    Attributes:
        thoughts: Where thoughts stand, their marks included.
        thought: The same without the marks.
        rest: Where everything else stands, without what frames it.
    """

    thoughts: list[Span]
    thought: list[Span]
    rest: list[Span]


class Channels(Protocol):
    """Tells what a model thinks from what it says. Reading never raises."""

    @property
    def vllm_parser(self) -> str | None:
        """The `--reasoning-parser` of vLLM that tells the same."""

    @property
    def closing(self) -> str:
        """The mark behind a thought; empty if there is none."""

    def opened_by(self, prompt: str) -> bool:
        """Whether a reply to this prompt begins within a thought."""

    def split(self, text: str, *, thinking: bool) -> Split:
        """Splits a reply.

        Args:
            text: With special tokens.
            thinking: Whether the prompt has opened a thought.
        """

    def begin(self, text: str, *, thinking: bool) -> int:
        """How many characters of an unfinished reply's rest no token can change.

        Args:
            text: What there is of the reply.
            thinking: Whether the prompt has opened a thought.
        """


class NoThoughts:
    """A family that does not think, or does not tell."""

    vllm_parser: str | None = None
    closing = ""

    def opened_by(self, prompt: str) -> bool:
        """See `Channels`."""
        return False

    def split(self, text: str, *, thinking: bool) -> Split:
        """See `Channels`."""
        return Split([], [], [(0, len(text))])

    def begin(self, text: str, *, thinking: bool) -> int:
        """See `Channels`."""
        return len(text)


@dataclass(frozen=True, slots=True)
class MarkedThoughts:
    """A reply begins with its thoughts, between marks: `<think>...</think>`.

    Thoughts that never end are all that there is of a reply.

    Attributes:
        opening: Mark before them.
        closing: Mark behind them.
        vllm_parser: See `Channels`.
    """

    opening: str
    closing: str
    vllm_parser: str | None

    def opened_by(self, prompt: str) -> bool:
        """See `Channels`."""
        return prompt.rstrip().endswith(self.opening)

    def split(self, text: str, *, thinking: bool) -> Split:
        """See `Channels`."""
        start = 0
        if not thinking:
            start = len(text) - len(text.lstrip())
            if not text.startswith(self.opening, start):
                return Split([], [], [(0, len(text))])
            start += len(self.opening)
        close = text.find(self.closing, start)
        if close < 0:
            return Split([(0, len(text))], [(start, len(text))], [])
        end = close + len(self.closing)
        return Split([(0, end)], [(start, close)], [(end, len(text))])

    def begin(self, text: str, *, thinking: bool) -> int:
        """See `Channels`."""
        made = self.split(text, thinking=thinking)
        if made.rest == [(0, len(text))]:
            stripped = text.lstrip()
            # It may still become the mark that opens a thought.
            return 0 if before_mark(stripped, self.opening) == 0 else len(text)
        return len(text) if made.rest else 0


class HarmonyChannels:
    """Thoughts are messages in the channel `analysis`."""

    vllm_parser: str | None = "openai_gptoss"
    closing = ""

    def opened_by(self, prompt: str) -> bool:
        """See `Channels`."""
        return False

    def split(self, text: str, *, thinking: bool) -> Split:
        """See `Channels`."""
        made = Split([], [], [])
        for start, body, end in messages(text):
            channel = _CHANNEL.search(text, start, body)
            called = RECIPIENT.search(text, start, body)
            stop = body_end(text, body)
            if called is not None:
                made.rest.append((start, stop))
            elif channel is not None and channel["name"] == "analysis":
                made.thoughts.append((start, end))
                made.thought.append((body, stop))
            else:
                made.rest.append((body, stop))
        return made

    def begin(self, text: str, *, thinking: bool) -> int:
        """See `Channels`."""
        # Which channel a message is in, and to whom it goes, is known at its end.
        return 0


THOUGHTS = (
    ("<think>", "</think>"),
    ("[THINK]", "[/THINK]"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<seed:think>", "</seed:think>"),
    ("<|channel>thought", "<channel|>"),
)
"""Marks of the families."""

_PARSERS = {
    "[THINK]": "mistral",
    "<|START_THINKING|>": "cohere_command3",
    "<seed:think>": "seed_oss",
    "<|channel>thought": "gemma4",
}


def find_thoughts(template: str) -> Channels:
    """How the model of a chat template marks its thoughts.

    Args:
        template: Jinja.
    """
    for opening, closing in THOUGHTS:
        if closing in template:
            parser = _PARSERS.get(opening)
            if parser is None:
                parser = "qwen3" if "enable_thinking" in template else "deepseek_r1"
            return MarkedThoughts(opening, closing, parser)
    return NoThoughts()
