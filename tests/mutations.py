"""Damages files at random, as bytes and as JSON, in ways that have broken readers."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from random import Random
from typing import Any

VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63), 10**12, 10**400),
    *(0.5, -0.0, 1e308, float("nan"), float("inf"), float("-inf"), 1e-320),
    *("", "a" * 5000, "\x1b[2J\x1b]8;;http://evil.example\x07", "../../../etc/passwd"),
    *("\u202egnp.exe", "line\nline", "\ud800", "\x00", "{{ 7 * 7 }}", "%s%n", "NaN"),
    *("/dev/zero", "/etc/hostname", "model.safetensors", "config.json", "auto", "LORA"),
    *([], {}, [[]], [None], [0] * 5000, {"": {}}, {"a": [{"a": 1}]}),
)
KEYS = (
    *("auto_map", "quantization_config", "text_config", "sub_configs", "__class__"),
    *("transformers_weights", "configuration_files", "attn_implementation", "use_dora"),
    *("_attn_implementation", "tie_word_embeddings", "num_experts", "layer_types"),
    *("rope_parameters", "rope_scaling", "sliding_window", "chat_template", "init_in"),
    *("vocab_file", "tokenizer_file", "tokenizer_class", "added_tokens_decoder"),
    *(
        "extra_special_tokens",
        "backend",
        "padding",
        "truncation",
        "normalizer",
        "dtype",
    ),
    *("post_processor", "decoder", "torch_dtype", "architectures", "is_decoder"),
    *("suppress_tokens", "forced_eos_token_id", "cache_implementation"),
    *("rank_pattern", "r"),
    *("target_modules", "layers_pattern", "init_lora_weights", "modules_to_save"),
    *("chat_template_kwargs", "revision", "per_passed", "judged_by", "prompt", "usd"),
)
_NUMBERS = (0, 1, 7, 127, 128, 255)


def mutate_json(text: str, random: Random) -> str:
    """The text of a JSON file with up to three changes of its structure.

    Args:
        text: JSON.
        random: Draws them.
    """
    value = json.loads(text)
    for _ in range(random.randint(1, 3)):
        value = random.choice(_CHANGES)(value, random)
    try:
        made = json.dumps(value)
    except RecursionError:
        made = "[" * 10_000 + "]" * 10_000
    if random.random() < 0.1:
        made = _twice(made, random)
    return made


def mutate_bytes(data: bytes, random: Random) -> bytes:
    """The bytes of a file with up to four changes.

    Args:
        data: Of any length.
        random: Draws them.
    """
    changed = bytearray(data)
    for _ in range(random.randint(1, 4)):
        at = random.randint(0, min(len(changed), random.choice((64, 4096, 10**9))))
        kind = random.randrange(5)
        if kind == 0 and changed:
            changed[at % len(changed)] = random.choice(
                (*_NUMBERS, random.randrange(256))
            )
        elif kind == 1:
            changed[at:at] = random.randbytes(random.randint(1, 32))
        elif kind == 2:
            del changed[at : at + random.choice((1, 8, 100, 10**6))]
        elif kind == 3:
            changed[at:at] = changed[at : at + random.randint(1, 200)] * 3
        else:
            number = random.choice((0, 1, 2**31, 2**32 - 1, 2**62, 2**64 - 1))
            changed[at : at + 8] = number.to_bytes(8, "little")
    return bytes(changed)


Json = Any
JsonChange = Callable[[Json, Random], Json]


def _places(value: Json) -> list[tuple[Any, Any]]:
    """All containers with a key or an index of each of their items."""
    found: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting and len(found) < 5000:
        each = waiting.pop()
        keys = each if isinstance(each, dict) else range(len(each))
        for key in keys:
            found.append((each, key))
            if isinstance(each[key], dict | list) and each[key]:
                waiting.append(each[key])
    return found


def _somewhere(change: Callable[[Json, Random], Json]) -> JsonChange:
    """Changes one value, those near the top as often as the many further below."""

    def changed(value: Json, random: Random) -> Json:
        if not isinstance(value, dict | list) or not value:
            return change(value, random)
        places = _places(value)
        top = [place for place in places if place[0] is value]
        container, key = random.choice(random.choice((places, top)))
        container[key] = change(container[key], random)
        return value

    return changed


def _drawn(random: Random) -> Json:
    # A later change of it must not change the others.
    return deepcopy(random.choice(VALUES))


def _another(_: Json, random: Random) -> Json:
    return _drawn(random)


def _other_number(value: Json, random: Random) -> Json:
    if type(value) in (int, float):
        return random.choice((-value, value * 10 ** random.randint(1, 12), value + 1))
    return _drawn(random)


def _other_text(value: Json, random: Random) -> Json:
    if isinstance(value, str):
        at = random.randint(0, len(value))
        return value[:at] + str(_drawn(random)) + value[at:]
    return [value]


def _deeper(value: Json, random: Random) -> Json:
    for _ in range(random.choice((1, 5, 70, 900))):
        value = [value] if random.random() < 0.5 else {"a": value}
    return value


def _one_more(value: Json, random: Random) -> Json:
    if isinstance(value, dict):
        return {**value, random.choice(KEYS): _drawn(random)}
    if isinstance(value, list):
        return [*value, random.choice([*value, _drawn(random)])]
    return value


def _one_less(value: Json, random: Random) -> Json:
    if isinstance(value, dict) and value:
        gone = random.choice(list(value))
        return {key: item for key, item in value.items() if key != gone}
    if isinstance(value, list) and value:
        del value[random.randrange(len(value))]
    return value


_CHANGES: tuple[JsonChange, ...] = (
    *(_somewhere(change) for change in (_another, _other_number, _other_text, _deeper)),
    *(_somewhere(change) for change in (_one_more, _one_less)),
    *(_one_more, _one_less),
)


def _twice(text: str, random: Random) -> str:
    """The object with one key once more."""
    if not text.startswith('{"'):
        return text
    return f'{{"{random.choice(KEYS)}": 1, "{random.choice(KEYS)}": 2, {text[1:]}'
