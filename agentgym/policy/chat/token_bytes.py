"""The bytes of each token: what a model wrote, without tokenising anything again."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any


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
