"""Every call format: found by rendering, read back, malformed, spliced, segmented."""

import json
import random
from functools import cache
from itertools import groupby
from typing import Any

import pytest

from agentgym.errors import UsageError
from agentgym.policy.chat.chat_template import ChatTemplate
from agentgym.policy.chat.dialect import Dialect, common_length, schemas
from agentgym.policy.chat.formats.known import FORMATS
from agentgym.policy.chat.prompt_messages import normal_message
from agentgym.training.batch.segments import segment
from tests.made_dialects import FRAME, TEMPLATES, made_dialect, made_tokenizer

USER = {"role": "user", "content": "hello"}
TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": "Does it.",
            "parameters": {
                "type": "object",
                "properties": {
                    "place": {"type": "string"},
                    "count": {"type": "integer"},
                    "share": {"type": "number"},
                    "sure": {"type": "boolean"},
                },
            },
        },
    }
    for name in ("look_up", "stop")
]
CALLS: list[list[tuple[str, dict[str, Any]]]] = [
    [("look_up", {"place": "A1", "count": 3})],
    [("look_up", {"place": 'Zürich "x"', "share": -0.5, "sure": True})],
    [("stop", {})],
    [("look_up", {"place": "a", "count": -1}), ("stop", {})],
    [("look_up", {"place": "true", "count": 7}), ("look_up", {"place": "12"})],
    [("look_up", {"place": "a {b} [c], d: e"})],
]
BARE = ("llama3_json", "xlam", "pythonic")

formats = pytest.mark.parametrize("name", list(TEMPLATES))


@cache
def dialect_of(name: str) -> Dialect:
    return made_dialect(TEMPLATES[name])


def message(calls: list[tuple[str, dict[str, Any]]], content: str = "") -> Any:
    return {
        "role": "assistant",
        "content": content,
        "tool_calls": [
            {
                "id": f"call_{number}",
                "type": "function",
                "function": {"name": tool, "arguments": json.dumps(arguments)},
            }
            for number, (tool, arguments) in enumerate(calls)
        ],
    }


def reply_ids(dialect: Dialect, said: Any) -> list[int]:
    """A reply as the template writes it, its end included."""
    messages = [USER, normal_message(0, said)]
    begun = dialect.encode(dialect.render([USER], TOOLS, generation=True))
    whole = dialect.encode(dialect.render(messages, TOOLS, generation=False))
    assert whole[: len(begun)] == begun
    assert common_length(begun, whole) == len(begun)
    return whole[len(begun) :]


def reply_text(dialect: Dialect, said: Any) -> str:
    ids = reply_ids(dialect, said)
    return dialect.text(ids[:-1] if ids[-1] in dialect.ends.values() else ids)


def found(dialect: Dialect, text: str) -> list[tuple[str, Any]]:
    reply = dialect.parse(text, tools=schemas(TOOLS))
    return [(call.name, json.loads(call.arguments)) for call in reply.tool_calls]


def test_each_known_format_has_a_template_here() -> None:
    assert {made.name for made in FORMATS} | {"harmony"} == set(TEMPLATES)


@formats
def test_a_format_is_found_by_what_the_template_renders(name: str) -> None:
    assert dialect_of(name).calls.name == name


@formats
@pytest.mark.parametrize("calls", CALLS)
def test_calls_come_back(name: str, calls: list[tuple[str, dict[str, Any]]]) -> None:
    dialect = dialect_of(name)
    text = reply_text(dialect, message(calls))
    if name == "phi4_mini" and "]" in json.dumps([given for _, given in calls])[1:-1]:
        # vLLM's parser ends the list at the first bracket.
        assert found(dialect, text) == []
        return
    assert found(dialect, text) == calls
    reply = dialect.parse(text, tools=schemas(TOOLS))
    assert (reply.content, reply.reasoning) == (None, None)
    # Without tools, or with tool_choice "none", it is what the model says.
    assert dialect.parse(text, calls=False).tool_calls == ()


@formats
def test_arguments_in_json_are_the_models_own_text(name: str) -> None:
    dialect = dialect_of(name)
    plain = json.dumps({"place": "A1", "count": 3})
    text = reply_text(dialect, message(CALLS[0]))
    if plain not in text:
        pytest.skip("this family does not write JSON")
    odd = '{ "place":\t"A\\u0031" ,"count" : 3.0e0}'
    (call,) = dialect.parse(text.replace(plain, odd)).tool_calls
    assert call.arguments == odd


@formats
def test_what_is_said_before_a_call(name: str) -> None:
    dialect = dialect_of(name)
    if name in ("harmony", "xlam", "pythonic"):
        pytest.skip("here it would make text of the call, or is a message of its own")
    text = reply_text(dialect, message(CALLS[0], "Let me see."))
    reply = dialect.parse(text, tools=schemas(TOOLS))
    assert reply.content == "Let me see."
    assert found(dialect, text) == CALLS[0]


@formats
def test_nothing_malformed_raises_and_a_stream_takes_nothing_back(name: str) -> None:
    dialect = dialect_of(name)
    draw = random.Random(name)
    texts = [reply_text(dialect, message(calls, "So: ")) for calls in CALLS]
    marks = [*dialect.added, *'{}[]"=(),:<>/\n']
    for _ in range(60):
        text = draw.choice(texts)
        at = draw.randrange(len(text))
        change = draw.randrange(4)
        if change == 0:
            text = text[:at]
        elif change == 1:
            text = text[:at] + text[at + draw.choice((1, 2, 9)) :]
        elif change == 2:
            text = text[:at] + draw.choice(marks) + text[at:]
        else:
            text = text + draw.choice(texts)
        reply = dialect.parse(text, tools=schemas(TOOLS))
        for call in reply.tool_calls:
            assert isinstance(json.loads(call.arguments), (dict, list, str, int))
        pieces = dialect.pieces(dialect.encode(text))
        assert len(segment(pieces, dialect, ended=False)) == len(pieces)
        ids = dialect.encode(text)
        for cut in range(0, len(ids), 3):
            begun = dialect.text(ids[:cut]).rstrip("\ufffd")
            thought, said = dialect.ready(begun, thinking=False, calls=True)
            assert (reply.content or "").startswith(said)
            assert (reply.reasoning or "").startswith(thought)


@formats
def test_a_call_that_is_cut_off_is_text(name: str) -> None:
    dialect = dialect_of(name)
    text = reply_text(dialect, message(CALLS[0]))
    argument = text.index("A1")
    assert found(dialect, text[: argument + 1]) == []
    kept = dialect.parse(text[: argument + 1]).content
    assert kept is None or "look_up" in kept


@formats
def test_a_conversation_is_continued_on_its_exact_tokens(name: str) -> None:
    """Three turns, sampled as the template writes them and otherwise."""
    dialect = dialect_of(name)
    for odd in (False, True):
        template = ChatTemplate(dialect)
        messages: list[Any] = [dict(USER)]
        for turn, calls in enumerate((CALLS[0], CALLS[2], [])):
            prompt = template.prompt(messages, TOOLS)
            said = message(calls) if calls else {"role": "assistant", "content": "ok"}
            ids = reply_ids(dialect, said)
            if odd:
                ids = [*dialect.encode("\n" if calls else "  "), *ids]
            stops = ids[-1] in dialect.ends.values()
            text = dialect.text(ids[:-1] if stops else ids)
            reply = dialect.parse(text, tools=schemas(TOOLS))
            given: dict[str, Any] = {"role": "assistant", "content": reply.content}
            if reply.tool_calls:
                given["tool_calls"] = [
                    {
                        "id": f"call_{turn}_{number}",
                        "type": "function",
                        "function": {"name": call.name, "arguments": call.arguments},
                    }
                    for number, call in enumerate(reply.tool_calls)
                ]
            assert bool(reply.tool_calls) == bool(calls)
            template.remember(prompt, given, ids)
            messages.append(given)
            messages += [
                {"role": "tool", "content": "done", "tool_call_id": call["id"]}
                for call in given.get("tool_calls", ())
            ] or [{"role": "user", "content": "and then?"}]
            following = template.prompt(messages, TOOLS)
            assert following.ids[: len(prompt.ids) + len(ids)] == [*prompt.ids, *ids]
            if not odd and name not in ("kimi_k2", "harmony"):
                shown = [normal_message(0, m) for m in messages]
                whole = dialect.render(shown, TOOLS, generation=True)
                assert dialect.text(following.ids) == whole


@formats
def test_components_of_a_call(name: str) -> None:
    dialect = dialect_of(name)
    ids = reply_ids(dialect, message([("look_up", {"place": "XYZ"})]))
    ended = ids[-1] in dialect.ends.values()
    pieces = dialect.pieces(ids)
    parts = [
        (component, b"".join(piece for _, piece in group).decode())
        for component, group in groupby(
            zip(segment(pieces, dialect, ended=ended), pieces, strict=True),
            key=lambda pair: pair[0],
        )
    ]
    arguments = "".join(text for kind, text in parts if kind == "parameter_selection")
    assert "place" in arguments
    assert "XYZ" in arguments
    assert "look_up" not in arguments
    selected = "".join(text for kind, text in parts if kind == "tool_selection")
    assert "look_up" in selected
    assert [text for kind, text in parts if kind == "output_generation"] == []


@formats
def test_a_forced_tool_begins_the_reply(name: str) -> None:
    dialect = dialect_of(name)
    template = ChatTemplate(dialect)
    choice = {"type": "function", "function": {"name": "look_up"}}
    forced = template.prompt([USER], TOOLS, choice)
    assert "look_up" in forced.forced
    text = reply_text(dialect, message(CALLS[0]))
    rest = text[text.index("look_up") + len("look_up") :]
    begun = forced.forced[: forced.forced.index("look_up") + len("look_up")]
    assert found(dialect, begun + rest) == CALLS[0]


# Thoughts.


def test_the_parsers_that_vllm_is_told() -> None:
    parsers = {
        name: (made.calls.vllm_parser, made.reasoning_parser)
        for name in TEMPLATES
        for made in [dialect_of(name)]
    }
    assert parsers["hermes"] == ("hermes", "deepseek_r1")
    assert parsers["glm"] == ("glm45", "glm45")
    assert parsers["harmony"] == ("openai", "openai_gptoss")
    silent = TEMPLATES["mistral"].replace(
        "<think>{{ m.reasoning_content }}</think>", ""
    )
    assert made_dialect(silent).reasoning_parser is None


def test_thoughts_are_told_from_what_is_said() -> None:
    dialect = dialect_of("hermes")
    call = reply_text(dialect, message(CALLS[0]))
    reply = dialect.parse(f"<think>\nHm: {call}\n</think>\n\nSo be it.{call}")
    assert reply.reasoning == f"Hm: {call}".strip()
    assert reply.content == "So be it."
    assert [c.name for c in reply.tool_calls] == ["look_up"]


def test_calls_within_unfinished_thoughts_are_none() -> None:
    dialect = dialect_of("hermes")
    call = reply_text(dialect, message(CALLS[0]))
    reply = dialect.parse(f"<think>Hm. {call}")
    assert (reply.content, reply.tool_calls) == (None, ())
    reply = dialect.parse(f"Hm. {call}", thinking=True)
    assert (reply.content, reply.tool_calls) == (None, ())
    assert reply.reasoning is not None


def test_a_prompt_that_opens_a_thought() -> None:
    dialect = made_dialect(
        TEMPLATES["hermes"]
        .replace(
            "{% if add_generation_prompt %}<|assistant|>",
            "{% if add_generation_prompt %}<|assistant|><think>\n",
        )
        .replace(
            "{%- if add_generation_prompt %}<|assistant|>",
            "{%- if add_generation_prompt %}<|assistant|><think>\n",
        )
    )
    template = ChatTemplate(dialect)
    prompt = template.prompt([USER], TOOLS)
    assert prompt.thinking
    call = reply_text(dialect_of("hermes"), message(CALLS[0]))
    reply = dialect.parse(f"Hm.</think>{call}", thinking=True)
    assert reply.reasoning == "Hm."
    assert [c.name for c in reply.tool_calls] == ["look_up"]
    forced = template.prompt([USER], TOOLS, "required")
    assert forced.forced.startswith("</think>")
    assert not forced.thinking
    pieces = dialect.pieces(dialect.encode(f"Hm.</think>{call}"))
    kinds = [
        kind
        for kind, _ in groupby(segment(pieces, dialect, ended=False, thinking=True))
    ]
    assert kinds[0] == "reasoning"
    assert "parameter_selection" in kinds


def test_thoughts_are_a_component() -> None:
    dialect = dialect_of("hermes")
    pieces = dialect.pieces(dialect.encode("<think>Hm.</think>Yes."))
    kinds = [kind for kind, _ in groupby(segment(pieces, dialect, ended=False))]
    assert kinds == ["reasoning", "tool_selection", "output_generation"]


def test_harmony_channels() -> None:
    dialect = dialect_of("harmony")
    text = (
        "<|channel|>analysis<|message|>Hm.<|end|>"
        "<|start|>assistant<|channel|>commentary<|message|>Let me see.<|end|>"
        "<|start|>assistant<|channel|>commentary to=functions.look_up "
        '<|constrain|>json<|message|>{"place": "A1"}<|call|>'
    )
    reply = dialect.parse(text)
    assert reply.reasoning == "Hm."
    assert reply.content == "Let me see."
    assert [(c.name, c.arguments) for c in reply.tool_calls] == [
        ("look_up", '{"place": "A1"}')
    ]


DROPPING = TEMPLATES["hermes"].replace(
    "{% if m.reasoning_content %}",
    "{% if m.reasoning_content and loop.index0 > ns.last %}",
)
DROPPING = (
    "{%- set ns = namespace(last=-1) %}{%- for m in messages %}"
    "{%- if m.role == 'user' %}{%- set ns.last = loop.index0 %}"
    "{%- endif %}{%- endfor %}" + DROPPING
)


def test_past_thoughts_are_kept_or_dropped_as_the_template_does() -> None:
    for text, kept in ((TEMPLATES["hermes"], (True, True)), (DROPPING, (True, False))):
        dialect = made_dialect(text)
        assert dialect.keeps_thoughts == kept
        template = ChatTemplate(dialect)
        messages: list[Any] = [USER]
        prompt = template.prompt(messages, TOOLS)
        call = message(CALLS[0])
        ids = dialect.encode(
            "<think>Hm.</think>" + reply_text(dialect, call) + "<|end|>"
        )
        given = {**call, "reasoning_content": "Hm."}
        template.remember(prompt, given, ids)
        messages += [given, {"role": "tool", "content": "x", "tool_call_id": "call_0"}]
        second = template.prompt(messages, TOOLS)
        assert second.ids[: len(prompt.ids) + len(ids)] == [*prompt.ids, *ids]
        said = {"role": "assistant", "content": "Yes."}
        template.remember(second, said, dialect.encode("Yes.<|end|>"))
        messages += [said, {"role": "user", "content": "and?"}]
        third = dialect.text(template.prompt(messages, TOOLS).ids)
        assert ("Hm." in third) == kept[1]


# What is refused.


def refusal(template: Any) -> str:
    with pytest.raises(UsageError) as caught:
        made_dialect(template)
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


def test_an_unknown_format_is_shown() -> None:
    odd = FRAME % "{% for c in m.tool_calls or [] %}@{{ c.function.name }}!{% endfor %}"
    assert refusal(odd) == (
        "the chat template of the model writes tool calls in a way that is not known "
        "here: '@agentgym_probe!<|end|>'"
    )


def test_a_template_that_drops_calls_tools_or_results() -> None:
    assert "it drops the calls of earlier replies" in refusal(FRAME % "")
    hermes = TEMPLATES["hermes"]
    assert "it shows the model no tools" in refusal(
        hermes.replace("{{ tool | tojson }}", "")
    )
    assert "knows no tools" in refusal(hermes.replace("tools", "things"))
    assert "it drops what a tool returned" in refusal(
        hermes.replace("<|tool|>{{ m.content }}", "<|tool|>")
    )
    assert "has no chat template" in refusal("")
    assert "cannot be used for tool calls: unexpected" in refusal(
        "{% if tools %}{{ tools[0 }}{% endif %}"
    )


def test_a_text_in_the_place_of_a_call_is_no_call() -> None:
    """Beside a known format something else would be served otherwise."""
    odd = TEMPLATES["llama3_json"].replace('{"name"', 'call: {"name"')
    assert "not known here" in refusal(odd)


# What templates want.


def test_named_templates() -> None:
    plain = FRAME % ""
    both = {"default": plain, "tool_use": TEMPLATES["hermes"]}
    assert made_dialect(both).calls.name == "hermes"
    sentence = refusal({"rag": plain, "other": plain})
    assert "rag, other, but none is called tool_use or default" in sentence


def test_ids_and_arguments_as_the_template_wants_them() -> None:
    nine = TEMPLATES["mistral"].replace(
        "[TOOL_CALLS]",
        "{% if c.id | length != 9 %}{{ raise_exception('nine') }}{% endif %}"
        "[TOOL_CALLS]",
    )
    dialect = made_dialect(nine)
    assert dialect.shape.ids == "nine"
    shown = dialect.shape([normal_message(0, message(CALLS[3]))])
    ids = [call["id"] for call in shown[0]["tool_calls"]]
    assert [len(made) for made in ids] == [9, 9]
    assert len(set(ids)) == 2
    text = TEMPLATES["deepseek_v3"].replace(
        "c.function.arguments | tojson", "c.function.arguments + ''"
    )
    assert made_dialect(text).shape.text_arguments


def test_options_of_the_template() -> None:
    template = TEMPLATES["hermes"].replace(
        "{%- if add_generation_prompt %}<|assistant|>",
        "{%- if add_generation_prompt %}<|assistant|>"
        "{% if not enable_thinking | default(true) %}<think></think>{% endif %}",
    )
    dialect = made_dialect(template)
    conversation = ChatTemplate(dialect)
    free = conversation.prompt([USER], TOOLS)
    short = conversation.prompt([USER], TOOLS, options={"enable_thinking": False})
    assert dialect.text(short.ids) == dialect.text(free.ids) + "<think></think>"
    said = {"role": "assistant", "content": "ok"}
    conversation.remember(short, said, dialect.encode("ok<|end|>"))
    messages = [USER, said, USER]
    again = conversation.prompt(messages, TOOLS, options={"enable_thinking": False})
    assert again.ids[: len(short.ids)] == short.ids
    other = conversation.prompt(messages, TOOLS)
    assert other.ids[: len(short.ids)] != short.ids


def test_special_tokens_are_no_content() -> None:
    dialect = dialect_of("hermes")
    assert dialect.parse("Yes.<|system|> No.").content == "Yes. No."
    broken = "<tool_call>{</tool_call>"
    assert dialect.parse(broken).content == broken


def test_the_tokenizer_of_a_template_is_exact() -> None:
    for template in TEMPLATES.values():
        tokenizer = made_tokenizer(template)
        dialect = made_dialect(template)
        assert (
            dialect.text(tokenizer.encode("Zürich 🚲 <|end|>")) == "Zürich 🚲 <|end|>"
        )
