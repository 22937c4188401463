"""To which component each sampled token of an assistant message belongs.

The sampled tokens are turned into bytes, the bytes are read in the policy's dialect, as
the server reads them, and what is found is mapped back to the tokens. Text is never
tokenised again: another split of the same text is not what was sampled. Bytes, because
a character may be split over several tokens.

A worked example (the end-of-turn token is the last):

    Let me see. <tool_call>{"name": "look_up", "arguments": {"id": "A1"}}</tool_call>
    output      tool_selection                              parameter    tool_selection
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from agentgym.policy.chat.dialect import Dialect, Reading
from agentgym.scenarios.components import Component

if TYPE_CHECKING:
    from agentgym.policy.engine.token_model import TokenModel

# A byte's mark is the index of its component, so a token's is the highest of its bytes.
_COMPONENTS: tuple[Component, ...] = (
    "output_generation",
    "tool_selection",
    "parameter_selection",
    "reasoning",
)
_FRAME, _ARGUMENTS, _THOUGHT = 1, 2, 3


def segment(
    pieces: Sequence[bytes], dialect: Dialect, *, ended: bool, thinking: bool = False
) -> list[Component]:
    """Returns the component of each token of an assistant message.

    - Thoughts and the marks around them are reasoning.
    - A call's markers, braces, keys and tool name are tool_selection, its arguments
      parameter_selection. A call that cannot be read is tool_selection as a whole, so
      that it is penalised as a whole.
    - All other text is output_generation. Blank space alone, such as the line break
      between two calls, is no text but goes with the calls: whether to go on calling
      is decided there.
    - The token that ends the turn is tool_selection, for it decides to call no more,
      and in a message without any call the first token is, too.
    - A token with any byte of a thought is reasoning, otherwise one with any byte of
      arguments is parameter_selection, otherwise one with any byte of a call is
      tool_selection. A token without bytes goes with the next byte,
      or the last.

    Args:
        pieces: The bytes of each of the T tokens. When the prompt holds the beginning
            of the reply (a forced tool), pass its tokens as well and drop their
            components.
        dialect: The policy's.
        ended: Whether the last token is the one that ends the turn; its bytes, if any,
            are no part of the message.
        thinking: Whether the prompt has opened a thought.

    Returns:
        T components.
    """
    said = pieces[:-1] if ended else pieces
    marks, has_calls = _mark(dialect, b"".join(said), thinking)
    components: list[Component] = []
    start = 0
    for piece in said:
        end = start + len(piece)
        of_token = marks[start:end] or marks[start : start + 1] or marks[-1:] or b"\0"
        components.append(_COMPONENTS[max(of_token)])
        start = end
    if not has_calls:
        first = next((i for i, c in enumerate(components) if c != "reasoning"), None)
        if first is not None:
            components[first] = "tool_selection"
    if ended and pieces:
        components.append("tool_selection")
    return components


def components_of(
    policy: TokenModel,
) -> Callable[[Sequence[int], Sequence[int]], list[Component]]:
    """What gives the component of each sampled token, from prompt and reply."""

    def components(prompt: Sequence[int], ids: Sequence[int]) -> list[Component]:
        return segment(
            policy.dialect.pieces(ids),
            policy.dialect,
            ended=ids[-1] in policy.stop_ids,
            thinking=policy.dialect.opens_thought(prompt),
        )

    return components


def _mark(dialect: Dialect, data: bytes, thinking: bool) -> tuple[bytearray, bool]:
    """A mark for every byte, and whether there is a call or an attempt at one."""
    marks = bytearray(len(data))
    # Bytes that are no UTF-8 (a character that was cut off) become one character each,
    # none of which means anything in a call, and turn back into the same bytes.
    text = data.decode("utf-8", "surrogateescape")
    reading = dialect.read(text, thinking=thinking)
    at = _byte_offsets(text)
    for start, end, mark in _spans(text, reading):
        first, last = at(start), at(end)
        marks[first:last] = bytes((mark,)) * (last - first)
    return marks, bool(reading.calls)


def _spans(text: str, reading: Reading) -> Iterable[tuple[int, int, int]]:
    for start, end in reading.thoughts:
        yield start, end, _THOUGHT
    behind = max((end for _, end in reading.thoughts), default=0)
    for call in reading.calls:
        blank = text[behind : call.start].isspace()
        yield behind if blank else call.start, call.end, _FRAME
        if call.arguments is not None:
            yield *call.arguments, _ARGUMENTS
        behind = call.end
    if reading.calls and text[behind:].isspace():
        yield behind, len(text), _FRAME


def _byte_offsets(text: str) -> Callable[[int], int]:
    """How many bytes stand before each character."""
    if text.isascii():
        return lambda position: position
    return lambda position: len(text[:position].encode("utf-8", "surrogateescape"))
