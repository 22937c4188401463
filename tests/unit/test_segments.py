from __future__ import annotations

import subprocess
import sys
from itertools import groupby

import pytest
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
)
from transformers import AutoTokenizer, PreTrainedTokenizer, PreTrainedTokenizerFast

from agentgym.policy.chat.probe import find_dialect
from agentgym.policy.chat.token_bytes import TokenBytes
from agentgym.policy.folders.embedded import embedded_path
from agentgym.training.batch.segments import segment

HERMES = find_dialect(AutoTokenizer.from_pretrained(embedded_path()), "embedded")
SHORT = {"tool_selection": "T", "parameter_selection": "P", "output_generation": "O"}
HEAD, TAIL = '<tool_call>{"name": "hi", "arguments": ', "}</tool_call>"
HELLO = f"{HEAD}{{}}{TAIL}"


def runs(text: str, *, ended: bool = False) -> list[tuple[str, str]]:
    """The text in parts of one component each, cut between any two bytes."""
    data = text.encode()
    components = segment(
        [data[i : i + 1] for i in range(len(data))], HERMES, ended=ended
    )
    assert len(components) == len(data)
    pairs = zip(components, data, strict=True)
    return [
        (SHORT[component], bytes(byte for _, byte in part).decode())
        for component, part in groupby(pairs, key=lambda pair: pair[0])
    ]


def letters(pieces: list[bytes], *, ended: bool = False) -> str:
    return "".join(
        SHORT[component] for component in segment(pieces, HERMES, ended=ended)
    )


def test_text_around_a_call_and_its_arguments() -> None:
    text = 'Well: <tool_call>\n{"name": "a", "arguments": {"x": 1}}\n</tool_call> ok'
    assert runs(text) == [
        ("O", "Well: "),
        ("T", '<tool_call>\n{"name": "a", "arguments": '),
        ("P", '{"x": 1}'),
        ("T", "}\n</tool_call>"),
        ("O", " ok"),
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        "{}",
        '{"x":1,"y":[{"z":{}}]}',
        '{ "x" :  "Z\\u00fcrich" }',
        '{"x": "Zürich 🚲", "y": "日本"}',
        '{"x": "}} { \\"arguments\\": {}"}',
        '{"x": "\\\\"}',
        '{"x": "<tool_call> tool_call>"}',
        '{"name": "b", "arguments": {"x": 1}}',
        '"{\\"x\\": \\"A1\\"}"',
        "[1, 2]",
        "null",
    ],
)
def test_any_arguments_in_any_order_and_spacing(arguments: str) -> None:
    key = "arguments"
    for before, behind in [
        (f'<tool_call>{{"name":"a","{key}":', "}</tool_call>"),
        (f'<tool_call>\n {{ "name" : "a" ,\n"{key}" :  ', " }\n</tool_call>"),
        (f'<tool_call>{{"{key}": ', ', "name": "a"}</tool_call>'),
        (f'<tool_call>{{"id": 7, "{key}": ', ', "name": "\\u00e4"}'),
    ]:
        whole = f"Ü: {before}{arguments}{behind}"
        assert runs(whole) == [
            ("O", "Ü: "),
            ("T", before),
            ("P", arguments),
            ("T", behind),
        ]


def test_parallel_calls_and_what_is_between_them() -> None:
    call = '<tool_call>{"name": "a", "arguments": {"x": 1}}</tool_call>'
    parts = [
        ("T", '<tool_call>{"name": "a", "arguments": '),
        ("P", '{"x": 1}'),
        ("T", "}</tool_call>"),
    ]
    assert runs(f"{call} and {call}") == [*parts, ("O", " and "), *parts]
    frame = ("T", '}</tool_call>\n<tool_call>{"name": "a", "arguments": ')
    assert runs(f"{call}\n{call}") == [*parts[:2], frame, *parts[1:]]


def test_blank_space_alone_goes_with_the_calls() -> None:
    assert runs(f" \n{HELLO}\n")[0] == (
        "T",
        ' \n<tool_call>{"name": "hi", "arguments": ',
    )
    assert runs(f" \n{HELLO}\n")[-1] == ("T", "}</tool_call>\n")
    assert runs(f"So \n{HELLO}\n.")[::4] == [("O", "So \n"), ("O", "\n.")]


def test_a_call_without_arguments_is_all_frame() -> None:
    assert runs('<tool_call>{"name": "a"}</tool_call>') == [
        ("T", '<tool_call>{"name": "a"}</tool_call>')
    ]


@pytest.mark.parametrize(
    ("frame", "arguments", "rest"),
    [
        ('{"name": "a", "arguments": ', '{"x": tru}', "}"),
        ('{"name": "a", "arguments": ', '{"x": "A1}', "}"),
        ('{"name": "a", "arguments": ', "{'x': 1}", "}"),
        ('{"name": "a", "arguments": ', '{"x": "Zü', ""),
        ('{"name": "a", "arguments": ', '{"x": {"y": 1', ""),
        ('{"name": "a", "arguments": ', '"{\\"x\\": ', ""),
        ('{"name": "a", "arguments": ', '{"x": 1}', ""),
        ('{name: a, "name": "a", "parameters": ', '{"x": 1}', ", oops}"),
    ],
)
def test_broken_arguments_are_arguments(frame: str, arguments: str, rest: str) -> None:
    parts = [("T", f"<tool_call>{frame}"), ("P", arguments)]
    tail = [("T", rest)] if rest else []
    assert runs(f"<tool_call>{frame}{arguments}{rest}") == parts + tail
    closed = f"<tool_call>{frame}{arguments}{rest}</tool_call>"
    assert runs(closed) == [*parts, ("T", f"{rest}</tool_call>")]
    following = runs(f"<tool_call>{frame}{arguments}{rest}{HELLO}")
    assert following[:2] == parts
    assert following[2:] == [("T", rest + HEAD), ("P", "{}"), ("T", TAIL)]


def test_blank_space_behind_broken_arguments() -> None:
    frame = '<tool_call>{"name": "a", "arguments": '
    for closing in ("", "</tool_call>"):
        # The ones that never close run to the end of the call.
        unclosed = ("P", '{"x": \n'), *([("T", closing)] if closing else [])
        assert runs(f'{frame}{{"x": \n{closing}') == [("T", frame), *unclosed]
        closed = ("P", '{"x": }'), ("T", f"}}\n{closing}")
        assert runs(f'{frame}{{"x": }}}}\n{closing}') == [("T", frame), *closed]


@pytest.mark.parametrize(
    "broken",
    [
        "<tool_call>",
        "<tool_call>nothing here</tool_call>",
        "<tool_call>{}</tool_call>",
        '<tool_call>{"name": 7, "arguments": {"x": 1}}</tool_call>',
        '<tool_call>{"name": "", "arguments": {"x": 1}}</tool_call>',
        '<tool_call>{"arguments": {"name": "a"}}</tool_call>',
        '<tool_call>{"arguments": {"x": tru}, "name": "a"}</tool_call>',
        '<tool_call>{"arguments": {"x": 1',
        '<tool_call>{"name": "look_u',
        "<tool_call>{'name': 'a', 'arguments': {}}</tool_call>",
    ],
)
def test_a_call_whose_name_cannot_be_read_is_trained_as_a_whole(broken: str) -> None:
    assert runs(broken) == [("T", broken)]
    assert runs(f"So: {broken}") == [("O", "So: "), ("T", broken)]


def test_a_call_that_is_cut_off_anywhere() -> None:
    text = 'Ü <tool_call>{"name": "a", "arguments": {"x": "ü"}}</tool_call>'
    data = text.encode()
    whole = letters([data[i : i + 1] for i in range(len(data))])
    opened, valued = data.index(b">") + 1, data.index(b'{"x"')
    for cut in range(opened, len(data)):
        found = letters([data[i : i + 1] for i in range(cut)])
        # Before the arguments begin, all is frame; from there on, nothing changes.
        assert found == whole[:cut], data[:cut]
    assert whole[:opened] == "O" * 3 + "T" * len("<tool_call>")
    assert whole[valued] == "P"


def test_the_decision_to_answer_and_the_one_to_stop() -> None:
    assert letters([b"It", b" is", b" here", b"<|im_end|>"], ended=True) == "TOOT"
    assert letters([b"It", b" is", b" here"]) == "TOO"
    assert letters([b"So ", HELLO[:20].encode(), HELLO[20:].encode(), b""]) == "OTPT"
    assert letters([b"So ", HELLO.encode(), b" ok", b""], ended=True) == "OPOT"
    assert letters([b"<|im_end|>"], ended=True) == "T"
    assert letters([], ended=True) == ""
    assert letters([]) == ""


def test_the_bytes_of_the_end_token_are_no_part_of_the_message() -> None:
    pieces = [b'<tool_call>{"name": "a", "arguments": ', b'{"x": ']
    assert letters([*pieces, b"</tool_call>"], ended=True) == "TPT"
    assert letters([*pieces, b'"'], ended=True) == "TPT"
    assert letters([b"a", b"b", HELLO.encode()], ended=True) == "TOT"


def test_a_stray_closing_marker_and_other_syntaxes_are_text() -> None:
    for text in ("</tool_call>", "[a(x=1)]", '{"name": "a", "arguments": {}}'):
        assert runs(text) == [("T", text[0]), ("O", text[1:])]


def test_a_token_on_a_boundary() -> None:
    pieces = [b"a <tool", b'_call>{"name":"a","arguments"', b':{"x":1', b"}}", b"\n"]
    assert letters([*pieces, b"</tool_call> b", b"c"]) == "TTPPTTO"


def test_characters_that_are_split_over_tokens() -> None:
    euro = "€".encode()
    head, tail = HEAD.encode(), TAIL.encode()
    pieces = [euro[:1], euro[1:], head, b'{"x": "', euro[:2], euro[2:], b'"}', tail]
    assert letters(pieces) == "OOTPPPPT"
    # Cut off in the middle, and bytes that are no text at all.
    assert letters([head, b'{"x": "', euro[:2]]) == "TPP"
    assert letters([b"\xff\xfe", head, b'{"\x80": "', b"\xc3", b'"}', tail]) == "OTPPPT"


def test_a_token_without_bytes_goes_with_the_next_byte_or_the_last() -> None:
    pieces = [HEAD.encode(), b"", b"{}", b"", TAIL.encode(), b""]
    assert letters(pieces) == "TPPTTT"
    assert letters([b"", b"", b"ok", b""]) == "TOOO"
    assert letters([b"", b""]) == "TO"


def test_deep_nesting_and_many_calls() -> None:
    opening = '<tool_call>{"name": "a", "arguments": '
    assert runs(opening + "[" * 100_000)[1] == ("P", "[" * 100_000)
    assert runs("<tool_call>" * 1000 + "ü") == [("T", "<tool_call>" * 1000 + "ü")]


# The bytes of tokens.


@pytest.fixture(scope="module")
def embedded() -> PreTrainedTokenizerFast:
    return AutoTokenizer.from_pretrained(embedded_path())


def test_the_embedded_tokenizer_on_a_real_reply(
    embedded: PreTrainedTokenizerFast,
) -> None:
    token_bytes = TokenBytes(embedded)
    arguments = '{"city": "Zürich 🚲", "note": "a\\"b"}'
    text = (
        f'Gern, ich seh nach.\n<tool_call>\n{{"name": "look_up", "arguments": '
        f"{arguments}}}\n</tool_call><|im_end|>"
    )
    ids = embedded(text, add_special_tokens=False)["input_ids"]
    pieces = token_bytes(ids)
    assert b"".join(pieces) == text.encode()
    assert any(piece.decode(errors="ignore") == "" for piece in pieces)  # split ones
    found = segment(pieces, HERMES, ended=True)
    by_component = {
        letter: b"".join(
            piece for piece, c in zip(pieces, found, strict=True) if SHORT[c] == letter
        ).decode()
        for letter in "OP"
    }
    assert by_component["O"] == "Gern, ich seh nach.\n"
    # The tokens on both boundaries hold a little of the frame.
    assert by_component["P"].strip('": }') == arguments.strip('": }')
    assert found[-1] == "tool_selection"


def test_every_token_of_the_embedded_tokenizer(
    embedded: PreTrainedTokenizerFast,
) -> None:
    ids = list(range(len(embedded)))
    pieces = TokenBytes(embedded)(ids)
    for token_id, piece in zip(ids, pieces, strict=True):
        assert piece
        assert piece.decode(errors="replace") == embedded.decode([token_id])
    assert {bytes((byte,)) for byte in range(256)} <= set(pieces)


def test_added_tokens_are_their_text_and_unknown_ids_are_nothing() -> None:
    tokenizer = AutoTokenizer.from_pretrained(embedded_path())
    size = len(tokenizer)
    added = ["<\uff5ctool▁calls\uff5c>", "a b", "żółć", "<|é|>"]  # DeepSeek's bars
    tokenizer.add_tokens(added[:3])
    tokenizer.add_special_tokens({"additional_special_tokens": added[3:]})
    ids = tokenizer.convert_tokens_to_ids(added)
    assert min(ids) >= size
    pieces = TokenBytes(tokenizer)([*ids, 10**6])
    assert [piece.decode() for piece in pieces] == [*added, ""]


BYTE_TOKENS = [f"<0x{byte:02X}>" for byte in range(256)]
TEXT = 'A call:\n<tool_call>{"name": "hi", "arguments": {"x": "é  🚲"}}</tool_call> ok'


def sentencepiece_like(*, metaspace: bool) -> PreTrainedTokenizerFast:
    """Llama 2's kind (or T5's), small: pieces with "▁", all else as single bytes."""
    words = ["▁", "▁▁", "n", "m", "e", "a", "na", "me", "name", "▁c", "c", "l", "ll"]
    symbols = ["<unk>", "</s>", *BYTE_TOKENS, *words]
    if metaspace:
        scores = [(token, -float(i)) for i, token in enumerate(symbols)]
        core = Tokenizer(models.Unigram(scores, unk_id=0, byte_fallback=True))
        core.pre_tokenizer = pre_tokenizers.Metaspace()
        core.decoder = decoders.Sequence(
            [decoders.ByteFallback(), decoders.Metaspace()]
        )
    else:
        merges = [("▁", "▁"), ("n", "a"), ("m", "e"), ("na", "me"), ("▁", "c")]
        vocabulary = {token: i for i, token in enumerate(symbols)}
        core = Tokenizer(
            models.BPE(
                vocabulary,
                [*merges, ("l", "l")],
                unk_token="<unk>",
                byte_fallback=True,
                fuse_unk=True,
            )
        )
        core.normalizer = normalizers.Sequence(
            [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
        )
        core.decoder = decoders.Sequence(
            [
                decoders.Replace("▁", " "),
                decoders.ByteFallback(),
                decoders.Fuse(),
                decoders.Strip(" ", 1, 0),
            ]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=core, unk_token="<unk>", eos_token="</s>"
    )


@pytest.mark.parametrize("metaspace", [False, True])
def test_a_sentencepiece_like_tokenizer(metaspace: bool) -> None:
    tokenizer = sentencepiece_like(metaspace=metaspace)
    ids = [*tokenizer(TEXT, add_special_tokens=False)["input_ids"], 1]
    tokens = tokenizer.convert_ids_to_tokens(ids)
    assert {"<0x0A>", "<0xC3>", "<0xA9>", "<0xF0>", "▁c", "name"} <= set(tokens)
    pieces = TokenBytes(tokenizer)(ids)
    # The space in front is the tokenizer's own habit; it is no part of any call.
    assert b"".join(pieces[:-1]).decode() == f" {TEXT}"
    assert pieces[-1] == b"</s>"
    found = segment(pieces, HERMES, ended=True)
    arguments = b"".join(
        piece
        for piece, component in zip(pieces, found, strict=True)
        if component == "parameter_selection"
    )
    assert arguments.decode() == '{"x": "é  🚲"}'


def test_added_blanks_and_bytes_of_a_sentencepiece_like_tokenizer() -> None:
    """Gemma lists its longer blanks as added tokens."""
    tokenizer = sentencepiece_like(metaspace=False)
    added = ["▁▁▁", "<|call|>", "<0x0A>"]
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in added])
    ids = tokenizer.convert_tokens_to_ids([*added, "<0x0a>"])
    assert TokenBytes(tokenizer)(ids) == [b"   ", b"<|call|>", b"\n", b"<unk>"]


class PythonTokenizer(PreTrainedTokenizer):
    """A tokenizer without the `tokenizers` library behind it."""

    def __init__(self, words: list[str]) -> None:
        self.words = words
        super().__init__()

    @property
    def vocab_size(self) -> int:
        return len(self.words)

    def get_vocab(self) -> dict[str, int]:
        return {word: i for i, word in enumerate(self.words)}

    def _convert_id_to_token(self, index: int) -> str:
        return self.words[index]

    def _convert_token_to_id(self, token: str) -> int:
        return self.words.index(token)


def test_tokenizers_in_python() -> None:
    pieces = TokenBytes(PythonTokenizer(["▁", "▁hi", "<0xC3>"]))([1, 2])
    assert pieces == [b" hi", b"\xc3"]
    pieces = TokenBytes(PythonTokenizer(["Ġ", "Ġhi", "Ã", "<0xC3>", "Ã日"]))(
        [1, 2, 3, 4]
    )
    assert pieces == [b" hi", b"\xc3", b"<0xC3>", "Ã日".encode()]
    assert TokenBytes(PythonTokenizer(["hé", "▁hi"]))([0, 1]) == [
        "hé".encode(),
        "▁hi".encode(),
    ]


@pytest.mark.parametrize(
    "decoder",
    [
        decoders.WordPiece(),
        decoders.Sequence([decoders.Replace(Regex("_+"), " "), decoders.Fuse()]),
    ],
)
def test_other_tokens_are_decoded_alone(decoder: decoders.Decoder) -> None:
    core = Tokenizer(models.WordLevel({"hi": 0, "h_é": 1, "[UNK]": 2}, "[UNK]"))
    core.decoder = decoder
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, unk_token="[UNK]")
    decoded = [tokenizer.decode([i]).encode() for i in range(3)]
    assert TokenBytes(tokenizer)([0, 1, 2]) == decoded


def test_importing_it_imports_no_model_libraries() -> None:
    code = (
        "import sys, agentgym.training.batch.segments; "
        "print({'torch', 'transformers', 'tokenizers'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
