"""To which component each sampled token of an assistant message belongs.

The sampled tokens are turned into bytes, the bytes are read by the policy server's own
parser, and what it finds is mapped back to the tokens. Text is never tokenised again:
another split of the same text is not what was sampled. Bytes, because a character may
be split over several tokens.

A worked example (the end-of-turn token is the last):

    Let me see. <tool_call>{"name": "look_up", "arguments": {"id": "A1"}}</tool_call>
    output      tool_selection                              parameter    tool_selection

Only Hermes-style calls are known, as in `agentgym.policy.chat.tool_calls`: a call in
any other syntax is text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from agentgym.policy.chat.tool_calls import FoundCall, find_calls
from agentgym.scenarios.components import Component

# A byte's mark is the index of its component, so a token's is the highest of its bytes.
_COMPONENTS: tuple[Component, ...] = (
    "output_generation",
    "tool_selection",
    "parameter_selection",
)
_FRAME, _ARGUMENTS = 1, 2


def segment(pieces: Sequence[bytes], *, ended: bool) -> list[Component]:
    """Returns the component of each token of an assistant message.

    - A call's markers, braces, keys and tool name are tool_selection, its arguments
      parameter_selection. A call whose name cannot be read is tool_selection as a
      whole, so that it is penalised as a whole.
    - All other text is output_generation. Blank space alone, such as the line break
      between two calls, is no text but goes with the calls: whether to go on calling
      is decided there.
    - The token that ends the turn is tool_selection, for it decides to call no more,
      and in a message without any call the first token is, too.
    - A token with any byte of arguments is parameter_selection, otherwise one with any
      byte of a call is tool_selection. A token without bytes goes with the next byte,
      or the last.

    Args:
        pieces: The bytes of each of the T tokens (see `TokenBytes`). When the prompt
            holds the beginning of the reply (a forced tool), pass its tokens as well
            and drop their components.
        ended: Whether the last token is the one that ends the turn; its bytes, if any,
            are no part of the message.

    Returns:
        T components.
    """
    said = pieces[:-1] if ended else pieces
    marks, has_calls = _mark(b"".join(said))
    components: list[Component] = []
    start = 0
    for piece in said:
        end = start + len(piece)
        of_token = marks[start:end] or marks[start : start + 1] or marks[-1:] or b"\0"
        components.append(_COMPONENTS[max(of_token)])
        start = end
    if components and not has_calls:
        components[0] = "tool_selection"
    if ended and pieces:
        components.append("tool_selection")
    return components


def _mark(data: bytes) -> tuple[bytearray, bool]:
    """A mark for every byte, and whether there is a call or an attempt at one."""
    marks = bytearray(len(data))
    # Bytes that are no UTF-8 (a character that was cut off) become one character each,
    # none of which means anything in a call, and turn back into the same bytes.
    text = data.decode("utf-8", "surrogateescape")
    calls = list(find_calls(text))
    at = _byte_offsets(text)
    for start, end, mark in _spans(text, calls):
        first, last = at(start), at(end)
        marks[first:last] = bytes((mark,)) * (last - first)
    return marks, bool(calls)


def _spans(text: str, calls: Iterable[FoundCall]) -> Iterable[tuple[int, int, int]]:
    behind = 0
    for call in calls:
        blank = text[behind : call.start].isspace()
        yield behind if blank else call.start, call.end, _FRAME
        if call.arguments is not None:
            yield *call.arguments, _ARGUMENTS
        behind = call.end
    if behind and text[behind:].isspace():
        yield behind, len(text), _FRAME


def _byte_offsets(text: str) -> Callable[[int], int]:
    """How many bytes stand before each character."""
    if text.isascii():
        return lambda position: position
    return lambda position: len(text[:position].encode("utf-8", "surrogateescape"))


class TokenBytes:
    """The bytes of each token of a tokenizer, looked up by id.

    Right for byte-level BPE (GPT-2, Qwen, Llama 3, the embedded policy), for
    vocabularies like SentencePiece's ("▁" is a space, "<0x0A>" a byte) and for added
    tokens, special or not (their text). Tokens of any other kind are decoded alone.
    """

    def __init__(self, tokenizer: Any) -> None:
        """Determines how the tokenizer writes bytes.

        Args:
            tokenizer: A Hugging Face tokenizer.
        """
        self._tokenizer = tokenizer
        self._read = _reader(tokenizer)
        # Filled as tokens occur: of a large vocabulary only few ever do.
        self._known: dict[int, bytes] = {}
        if not isinstance(self._read, _SentencePieceReader):
            # In the others' files, added tokens alone stand as plain text.
            for token_id, token in tokenizer.added_tokens_decoder.items():
                self._known[int(token_id)] = str(token).encode()

    def __call__(self, ids: Sequence[int]) -> list[bytes]:
        """The bytes of each token; none for an id that means no token."""
        known = self._known
        return [known[i] if i in known else self._look_up(int(i)) for i in ids]

    def _look_up(self, token_id: int) -> bytes:
        token = self._tokenizer.convert_ids_to_tokens(token_id)
        if token is None:
            piece = b""
        elif self._read is not None:
            piece = self._read(token)
        else:
            piece = self._tokenizer.decode([token_id]).encode()
        self._known[token_id] = piece
        return piece


def _reader(tokenizer: Any) -> Callable[[str], bytes] | None:
    """What turns a token of the vocabulary into bytes; None if it is not known."""
    steps = _decoder_steps(tokenizer)
    kinds = {step["type"] for step in steps}
    if "ByteLevel" in kinds:
        return _read_byte_level
    if not steps:  # A tokenizer in Python, which has no such description.
        vocabulary = tokenizer.get_vocab()
        if "▁" in vocabulary:
            return _SentencePieceReader((("▁", " "),), byte_fallback=True)
        return _read_byte_level if "Ġ" in vocabulary else None
    if not kinds <= {"Replace", "Metaspace", "ByteFallback", "Fuse", "Strip"}:
        return None
    replaced: list[tuple[str, str]] = []
    for step in steps:
        if step["type"] == "Metaspace":
            replaced.append((step["replacement"], " "))
        elif step["type"] == "Replace":
            if "String" not in step["pattern"]:
                return None
            replaced.append((step["pattern"]["String"], step["content"]))
    return _SentencePieceReader(tuple(replaced), byte_fallback="ByteFallback" in kinds)


def _decoder_steps(tokenizer: Any) -> list[dict[str, Any]]:
    """The decoder of a tokenizer of the `tokenizers` library, as in its file."""
    decoder = getattr(getattr(tokenizer, "backend_tokenizer", None), "decoder", None)
    if decoder is None:
        return []
    state = json.loads(decoder.__getstate__())
    steps: list[dict[str, Any]] = state.get("decoders", [state])
    return steps


@dataclass(frozen=True, slots=True)
class _SentencePieceReader:
    replaced: tuple[tuple[str, str], ...]
    byte_fallback: bool = field(kw_only=True)

    def __call__(self, token: str) -> bytes:
        if self.byte_fallback and (byte := _BYTE.fullmatch(token)):
            return bytes.fromhex(byte[1])
        for old, new in self.replaced:
            token = token.replace(old, new)
        return token.encode()


def _read_byte_level(token: str) -> bytes:
    try:
        return bytes(_BYTE_OF[character] for character in token)
    except KeyError:
        return token.encode()


def _byte_of_character() -> dict[str, int]:
    """GPT-2's names of the bytes: the printable ones themselves, then U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(0x100) if byte not in set(printable)]
    named = {chr(byte): byte for byte in printable}
    return named | {chr(0x100 + i): byte for i, byte in enumerate(others)}


_BYTE = re.compile("<0x([0-9A-Fa-f]{2})>")
_BYTE_OF = _byte_of_character()
