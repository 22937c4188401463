import json

import pytest
from transformers import AutoTokenizer

from agentgym.policy.chat.dialect import ParsedReply
from agentgym.policy.chat.formats.found import ParsedCall
from agentgym.policy.chat.probe import find_dialect
from agentgym.policy.folders.embedded import embedded_path

HERMES = find_dialect(AutoTokenizer.from_pretrained(embedded_path()), "embedded")


def parse(text: str) -> ParsedReply:
    return HERMES.parse(text)


def calls(text: str) -> list[tuple[str, str]]:
    return [(call.name, call.arguments) for call in parse(text).tool_calls]


def test_plain_text_is_content() -> None:
    reply = parse("  Your order is on its way.\n")
    assert reply.content == "Your order is on its way."
    assert reply.tool_calls == ()


def test_empty_text_has_no_content() -> None:
    assert parse(" \n").content is None


def test_one_call() -> None:
    reply = parse(
        '<tool_call>\n{"name": "look_up", "arguments": {"id": "A1"}}\n</tool_call>'
    )
    assert reply.content is None
    assert reply.tool_calls == (ParsedCall(name="look_up", arguments='{"id": "A1"}'),)


def test_text_before_between_and_after_calls_is_content() -> None:
    reply = parse(
        'Let me see. <tool_call>{"name":"a","arguments":{}}</tool_call> and '
        '<tool_call>{"name":"b","arguments":{"x":1}}</tool_call> done'
    )
    assert reply.content == "Let me see.  and  done"
    assert [(c.name, c.arguments) for c in reply.tool_calls] == [
        ("a", "{}"),
        ("b", '{"x":1}'),
    ]


@pytest.mark.parametrize("raw", ['{"x":1}', '{ "x" :  1 }', '{\n "x": 1.0\n}'])
def test_arguments_keep_the_model_s_own_spacing(raw: str) -> None:
    assert calls(f'<tool_call>{{"name": "a", "arguments": {raw}}}</tool_call>') == [
        ("a", raw)
    ]


def test_unicode_escapes_stay_as_written() -> None:
    raw = '{"city": "Z\\u00fcrich", "quote": "\\"<tool_call>\\""}'
    found = calls(f'<tool_call>{{"name": "a", "arguments": {raw}}}</tool_call>')
    assert found == [("a", raw)]
    assert json.loads(found[0][1])["city"] == "Zürich"


def test_arguments_before_name() -> None:
    assert calls(
        '<tool_call>{"arguments": {"name": "x"}, "name": "a"}</tool_call>'
    ) == [("a", '{"name": "x"}')]


def test_missing_end_tag_at_the_end() -> None:
    assert calls('<tool_call>\n{"name": "a", "arguments": {"x": 1}}') == [
        ("a", '{"x": 1}')
    ]


@pytest.mark.parametrize(
    "body",
    [
        '{"name": "a"}',
        '{"name": "a", "parameters": {"x": 1}}',
        '{"name": "a", "arguments": {"x": tru}}',
        '{"name": "a", "arguments": {"x": "A1}}',
        '{"name": "a", "arguments": {"x": 1',
        '{"name": "a", "arguments": {"x": 1}',
        '{"name": "a", "arguments": ',
        '{"name": "a", "argum',
        '{"name": "a", "arguments": {\'x\': 1}}',
        '{"name": "a", "arguments": {"x": "</tool_call>"}}',
        '{"name": "a", "arguments": {}}\n<tool_call>{"name": "b", "arguments": {}}',
        '{"name": "a", "arguments": {}} {"name": "b", "arguments": {}}',
        "a(x=1)",
    ],
)
def test_what_the_serving_engine_takes_for_text_is_no_call(body: str) -> None:
    """vLLM's parser of this format makes none of these a call."""
    for text in (f"<tool_call>\n{body}\n</tool_call>", f"So: <tool_call>{body}"):
        if body.startswith('{"name": "a", "arguments": {}}\n') and "So" in text:
            continue
        reply = parse(text)
        assert reply.tool_calls == ()
        assert reply.content == text.strip()


def test_a_broken_call_makes_text_of_a_sound_one_beside_it() -> None:
    sound = '<tool_call>{"name": "a", "arguments": {}}</tool_call>'
    assert calls(sound + sound) == [("a", "{}")] * 2
    assert calls(sound + "<tool_call>{}</tool_call>") == []


def test_arguments_that_are_no_object_are_passed_on() -> None:
    assert calls('<tool_call>{"name": "a", "arguments": "x"}</tool_call>') == [
        ("a", '"x"')
    ]


@pytest.mark.parametrize(
    "text",
    [
        "<tool_call>nothing here</tool_call>",
        '<tool_call>{"arguments": {"name": "a"}}</tool_call>',
        "<tool_call>",
        '<tool_call>{"name": 7, "arguments": {}}</tool_call>',
    ],
)
def test_a_call_without_a_name_is_content(text: str) -> None:
    reply = parse(text)
    assert reply.tool_calls == ()
    assert reply.content == text


def test_deep_nesting_does_not_raise() -> None:
    text = '<tool_call>{"name": "a", "arguments": ' + "[" * 100_000
    assert calls(text) == []
