"""The embedded policy's own tokenizer and chat template."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from importlib import resources
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

PAD = "<|pad|>"
START = "<|im_start|>"
END = "<|im_end|>"
CALL = "<tool_call>"
TAGS = (CALL, "</tool_call>", "<tool_response>", "</tool_response>")

# A digit and a line break stand alone. What is copied is the same token behind a space
# as behind a quotation mark, so that copying needs no translation: names, and small
# letters before a digit, a dot or an @ (`rimon_84`, `rimon@wutas.example`, `stock.py`).
# Other words, also those of SQL, have the space before them. What stands between words
# in JSON and in Python's dicts (`": "`) may become one token.
_PIECES = (
    r" ?[a-z_]+(?![a-z_]|[0-9@/]|\.[a-z])|[a-z_]+"
    r"| ?[A-Z]{2,}(?![A-Za-z_])|[A-Z]{2,}(?![a-z])|[A-Z][a-z_]*"
    r"|[0-9]|\n|[^A-Za-z0-9_\n ]+(?: [\"'{\[]+| )?| "
)
_FIRST_WORD = re.compile(r"[a-z_]+(?![a-z_]|[0-9@/]|\.[a-z])")
_WORD = re.compile(rf"(?<= ){_FIRST_WORD.pattern}")
_TOOLS_SHOWN = 100


def make_tokenizer(
    dialogues: Iterable[dict[str, Any]], vocabulary: int
) -> PreTrainedTokenizerFast:
    """Byte-level BPE of the dialogues' texts, with a Hermes-style chat template.

    Args:
        dialogues: What it is trained on.
        vocabulary: Tokens that it has.
    """
    dialogues = list(dialogues)
    tokenizer = Tokenizer(models.BPE())
    # A word that calls take from a sentence has its space for itself, too.
    copied = "|".join(sorted(set(_copied_words(dialogues)), key=len, reverse=True))
    pieces = rf" (?=(?:{copied})(?![a-z_]))|{_PIECES}" if copied else _PIECES
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pieces), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    fast = _wrap(tokenizer)
    tokenizer.train_from_iterator(
        _texts(dialogues, fast),
        trainers.BpeTrainer(
            vocab_size=vocabulary,
            special_tokens=[PAD, START, END, *TAGS],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return _wrap(tokenizer)


def _wrap(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    fast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        clean_up_tokenization_spaces=False,
    )
    template = resources.files(__package__).joinpath("chat_template.jinja")
    fast.chat_template = template.read_text(encoding="utf-8")
    return fast


def _copied_words(dialogues: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Words that an argument is, or begins with, and that were said before it."""
    for dialogue in dialogues:
        said = set[str]()
        for message in dialogue["messages"]:
            for call in message.get("tool_calls") or ():
                values = json.loads(call["function"]["arguments"]).values()
                first = (_FIRST_WORD.match(v) for v in values if isinstance(v, str))
                yield from {found[0] for found in first if found} & said
            if message["role"] == "user":
                said.update(_WORD.findall(message["content"]))


def _texts(
    dialogues: Iterable[dict[str, Any]], tokenizer: PreTrainedTokenizerFast
) -> Iterator[str]:
    shown: Counter[str] = Counter()
    for dialogue in dialogues:
        tools = dialogue["tools"]
        # They are the same in all of a pack's: that many times is often enough.
        shown[str(tools)] += 1
        if shown[str(tools)] > _TOOLS_SHOWN:
            tools = None
        text = render(tokenizer, dialogue["messages"], tools)
        for mark in (START, END, *TAGS):
            text = text.replace(mark, "\n")
        yield text


def render(
    tokenizer: PreTrainedTokenizerFast,
    messages: list[dict[str, Any]],
    tools: Any,
    *,
    generation: bool = False,
) -> str:
    """A conversation as the model reads it.

    Args:
        tokenizer: Has the chat template.
        messages: In OpenAI's form.
        tools: In OpenAI's form; None: the system turn shows none.
        generation: Ends with the beginning of the assistant's turn.
    """
    return str(
        tokenizer.apply_chat_template(
            messages, tools=tools, add_generation_prompt=generation, tokenize=False
        )
    )


def encode(tokenizer: PreTrainedTokenizerFast, text: str) -> list[int]:
    """Tokens of a text as it stands, special ones included.

    Args:
        tokenizer: The policy's.
        text: Nothing is put before or behind it.
    """
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False)
    return ids
