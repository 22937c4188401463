from __future__ import annotations

import json
from functools import cache
from itertools import cycle, groupby
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from agentgym.policy.chat.dialect import ParsedReply
from agentgym.policy.chat.probe import find_dialect
from agentgym.policy.chat.token_bytes import TokenBytes
from agentgym.policy.folders.embedded import embedded_path
from agentgym.scenarios.components import Component
from agentgym.training.batch import segments

OPEN, CLOSE = "<tool_call>", "</tool_call>"
HERMES = find_dialect(AutoTokenizer.from_pretrained(embedded_path()), "embedded")
RANK = {"output_generation": 0, "tool_selection": 1, "parameter_selection": 2}


def segment(pieces: list[bytes], *, ended: bool) -> list[Component]:
    return segments.segment(pieces, HERMES, ended=ended)


def parse(text: str) -> ParsedReply:
    return HERMES.parse(text)


nasty = st.sampled_from(
    [
        OPEN,
        CLOSE,
        '"name": "x"',
        '"arguments": {',
        "}}",
        "\\",
        '"',
        "é",
        "🚲",
        "\x85",
        "",
    ]
)
strings = st.text(max_size=6) | nasty
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | strings,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(strings, inner, max_size=3)
    ),
    max_leaves=6,
)
separators = st.sampled_from([(", ", ": "), (",", ":"), (" ,\n", " :  ")])
said = st.text(st.characters(exclude_characters="<", exclude_categories=["Cs"])) | nasty


@st.composite
def calls(draw: st.DrawFn) -> tuple[str, str, str]:
    """A sound call: its text, its tool's name and its arguments as written."""

    def dump(value: Any) -> str:
        return json.dumps(
            value, separators=draw(separators), ensure_ascii=draw(st.booleans())
        )

    name = draw(strings.filter(lambda name: name and CLOSE not in name))
    arguments = dump(draw(st.dictionaries(strings, values, max_size=4)))
    if draw(st.booleans()):
        arguments = dump(arguments)
    between, colon = draw(separators)
    members = [f'"name"{colon}{dump(name)}', f'"arguments"{colon}{arguments}']
    if draw(st.booleans()):
        members.reverse()
    blank = draw(st.sampled_from(["", "\n", " \t"]))
    body = f"{{{blank}{between.join(members)}{blank}}}"
    assume(CLOSE not in body)
    return f"{OPEN}{blank}{body}{blank}{CLOSE}", name, arguments


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """Calls and text, whole, cut off or with something broken in it."""
    parts = [draw(said)]
    for text, _, _ in draw(st.lists(calls(), max_size=3)):
        parts += [text, draw(said)]
    data = "".join(parts).encode()
    change = draw(st.sampled_from(["none", "cut", "drop", "put"]))
    if change == "none":
        return data
    at = draw(st.integers(0, len(data)))
    if change == "cut":
        return data[:at]
    if change == "drop":
        return data[:at] + data[at + draw(st.integers(1, 12)) :]
    return data[:at] + draw(st.binary(max_size=3) | nasty.map(str.encode)) + data[at:]


soup = st.lists(
    nasty
    | st.sampled_from(
        [OPEN, CLOSE, '{"name": "a"', ', "arguments": ', "{", "}", "[", " ", "\n", "ok"]
    ),
    max_size=14,
).map(lambda parts: "".join(parts).encode())


def ones(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


def runs(data: bytes) -> list[tuple[str, bytes]]:
    pairs = zip(segment(ones(data), ended=False), data, strict=True)
    return [
        (component, bytes(byte for _, byte in part))
        for component, part in groupby(pairs, key=lambda pair: pair[0])
    ]


def split(draw: st.DrawFn, data: bytes, longest: int) -> list[bytes]:
    """The data in pieces, some of them empty."""
    sizes = [*draw(st.lists(st.integers(0, longest), max_size=8)), longest]
    pieces = []
    for size in cycle(sizes):
        if not data:
            return pieces
        pieces.append(data[:size])
        data = data[size:]
    raise AssertionError("a cycle has no end")


@st.composite
def pieces_of(draw: st.DrawFn, longest: int = 40) -> list[bytes]:
    return split(draw, draw(messages() | soup), longest)


@given(st.lists(st.tuples(said, calls()), min_size=1, max_size=3), said)
@settings(max_examples=150, deadline=None)
def test_sound_calls_are_split_exactly(parts, behind):
    data = "".join(text + call for text, (call, _, _) in parts) + behind
    found = runs(data.encode())
    if OPEN not in "".join(text for text, _ in parts) + behind:
        arguments = [text for kind, text in found if kind == "parameter_selection"]
        assert [a.decode() for a in arguments] == [given for _, (_, _, given) in parts]
        spoken = [text for kind, text in found if kind == "output_generation"]
        texts = [text for text, _ in parts] + [behind]
        assert [t.decode() for t in spoken] == [t for t in texts if t.strip()]
        assert [c.name for c in parse(data).tool_calls] == [c[1] for _, c in parts]


@given(messages() | soup)
@settings(max_examples=300, deadline=None)
def test_arguments_and_text_are_what_the_parser_finds(data):
    text = data.decode(errors="replace")
    reply = parse(text)
    found = runs(data)
    arguments = [
        part.decode(errors="replace")
        for kind, part in found
        if kind == "parameter_selection"
    ]
    if reply.tool_calls:
        assert arguments == [call.arguments for call in reply.tool_calls]
    if OPEN not in text:
        assert arguments == []
        assert [kind for kind, _ in found][:1] == ["tool_selection"] * bool(data)
        assert sum(len(part) for kind, part in found if kind == "tool_selection") <= 1
    else:
        spoken = "".join(
            part.decode(errors="replace")
            for kind, part in found
            if kind == "output_generation"
        )
        # To the parser, calls that cannot be read are said, too.
        content = "".join((reply.content or "").split())
        if reply.tool_calls:
            assert "".join(spoken.split()) == content
        frames = [part for kind, part in found if kind == "tool_selection"]
        openings = sum(part.count(OPEN.encode()) for part in frames)
        assert openings >= len(reply.tool_calls)


@given(pieces_of(), st.booleans())
@settings(max_examples=300, deadline=None)
def test_how_bytes_are_split_matters_on_boundaries_only(pieces, ended):
    message = pieces[:-1] if ended else pieces
    data = b"".join(message)
    single = [RANK[component] for component in segment(ones(data), ended=False)]
    calls_none = OPEN.encode() not in data
    if calls_none and single:
        single[0] = 0  # The decision to answer is the first token's, however long.
    found = segment(pieces, ended=ended)
    assert len(found) == len(pieces)
    if ended and pieces:
        assert found.pop() == "tool_selection"
    if calls_none and found:
        assert found.pop(0) == "tool_selection"
        single, message = single[len(message[0]) :], message[1:]
    start = 0
    for piece, component in zip(message, found, strict=True):
        end = start + len(piece)
        if piece:
            assert RANK[component] == max(single[start:end])
        start = end


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_each_call_that_the_agent_gets_has_a_tool_selection_token(data):
    """With tokens of up to 12 bytes, one lies within the call's beginning."""
    message = data.draw(messages())
    pieces = split(data.draw, message, 12)
    found = segment(pieces, ended=False)
    reply = parse(message.decode(errors="replace"))
    groups = [kind for kind, _ in groupby(found)]
    if reply.tool_calls:
        with_arguments = sum(bool(call.arguments) for call in reply.tool_calls)
        assert groups.count("tool_selection") >= max(1, with_arguments)


@given(st.lists(st.binary(max_size=20)), st.booleans())
def test_any_bytes_at_all(pieces, ended):
    assert len(segment(pieces, ended=ended)) == len(pieces)


@cache
def embedded() -> tuple[Any, TokenBytes]:
    tokenizer = AutoTokenizer.from_pretrained(embedded_path())
    return tokenizer, TokenBytes(tokenizer)


@given(st.lists(st.integers(0, 1023), max_size=40))
@settings(max_examples=150, deadline=None)
def test_tokens_in_any_order_have_the_bytes_of_their_text(ids):
    """What is sampled is often not how the tokenizer would split the text."""
    tokenizer, token_bytes = embedded()
    joined = b"".join(token_bytes(ids))
    assert joined.decode(errors="replace") == tokenizer.decode(ids)


@given(st.lists(st.tuples(said, calls()), min_size=1, max_size=2))
@settings(max_examples=100, deadline=None)
def test_sound_calls_in_tokens_of_the_embedded_tokenizer(parts):
    tokenizer, token_bytes = embedded()
    text = "".join(before + call for before, (call, _, _) in parts)
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    pieces = token_bytes(ids)
    assert b"".join(pieces) == text.encode()
    found = segment([*pieces, b""], ended=True)
    if OPEN in "".join(before for before, _ in parts):
        return
    spans = []
    for kind, part in groupby(zip(found, pieces, strict=False), key=lambda t: t[0]):
        if kind == "parameter_selection":
            spans.append(b"".join(piece for _, piece in part).decode())
    assert len(spans) == len(parts)
    for span, (_, (_, _, arguments)) in zip(spans, parts, strict=True):
        assert arguments in span
        assert len(span) - len(arguments) <= 12
