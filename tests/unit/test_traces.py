"""Conversations that happened, in the forms of those who store them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agentgym import UsageError, recorded_tools
from agentgym.traces.masking import Mask
from agentgym.traces.normal_form import joined, messages_of
from agentgym.traces.past_conversation import NoCase, StoredConversation, case_of
from agentgym.traces.reading import read_traces
from tests import made_traces

SAMPLES = [
    pytest.param(kind, values, id=f"{kind.split()[0]}-{name}".replace(" ", "-"))
    for kind, samples in made_traces.ALL.items()
    for name, values in samples.items()
]


def write(path: Path, values: list[Any], form: str = "lines") -> Path:
    if form == "lines":
        path.write_text("".join(json.dumps(value) + "\n" for value in values))
    elif form == "list":
        path.write_text(json.dumps(values, indent=1))
    else:
        (value,) = values
        path.write_text(json.dumps(value, indent=1))
    return path


@pytest.mark.parametrize("form", ["lines", "list", "document"])
@pytest.mark.parametrize(("kind", "values"), SAMPLES)
def test_the_same_conversation_in_all_forms(tmp_path, kind, values, form):
    if form == "document" and len(values) > 1:
        pytest.skip("there is more than one value")
    if form == "list" and kind == "OpenAI messages" and isinstance(values[0], list):
        pytest.skip("a list of messages is one conversation")
    found, (conversation,) = read_traces(write(tmp_path / "t.json", values, form))
    assert found == kind
    said = list(conversation.messages)
    assert [message["role"] for message in said] == [
        *("system", "user", "assistant", "tool", "assistant")
    ]
    assert [said[i]["content"] for i in (0, 1, 3, 4)] == [
        made_traces.SYSTEM,
        made_traces.QUESTION,
        made_traces.RESULT,
        made_traces.ANSWER,
    ]
    (call,) = said[2]["tool_calls"]
    assert call["id"] == said[3]["tool_call_id"]
    assert call["function"]["name"] == "get_weather"
    assert json.loads(call["function"]["arguments"]) == made_traces.ARGUMENTS
    for tool in conversation.tools:
        assert tool["function"]["name"] == "get_weather"
        assert tool["function"]["parameters"] == made_traces.PARAMETERS

    row = case_of(conversation)
    assert row["messages"] == [{"role": "user", "content": made_traces.QUESTION}]
    assert row["calls"] == [
        {
            "name": "get_weather",
            "arguments": made_traces.ARGUMENTS,
            "result": made_traces.RESULT,
        }
    ]
    assert (row["system"], row["reply"]) == (made_traces.SYSTEM, made_traces.ANSWER)
    (tool,) = recorded_tools(row)
    assert tool(**made_traces.ARGUMENTS) == made_traces.RESULT


def test_most_forms_have_the_tools(tmp_path):
    have = {
        name
        for samples in made_traces.ALL.values()
        for name, values in samples.items()
        if read_traces(write(tmp_path / "t.jsonl", values))[1][0].tools
    }
    assert have >= {
        "fine-tuning",
        "parts",
        "rest",
        "nested",
        "rows",
        "langchain",
        "blob",
    }


def test_the_longest_call_of_a_trace_and_no_part_of_another(tmp_path):
    said = [*made_traces.MESSAGES, made_traces.REPLY]
    more = [*said, {"role": "user", "content": "And Rome?"}]
    last = {"role": "assistant", "content": "Sunny."}

    def observed(trace: str, time: int, given: Any, answer: Any) -> dict[str, Any]:
        about = {"type": "GENERATION", "traceId": trace, "startTime": f"2024-{time}"}
        return about | {"input": given, "output": answer}

    values = [
        observed("b", 13, more, last),
        observed("a", 12, said[:-1], said[-1]),
        observed("a", 11, said[:2], said[2]),
        observed("c", 14, [{"role": "user", "content": "Hi."}], "Hello."),
    ]
    _, found = read_traces(write(tmp_path / "t.jsonl", values))
    assert [conversation.id for conversation in found] == ["b", "c"]
    row = case_of(found[0])
    assert row["messages"][-1]["content"] == "And Rome?"
    assert [message["role"] for message in row["messages"]] == [
        *("user", "assistant", "tool", "assistant", "user")
    ]
    assert row["calls"] == []
    # What the tool answered before is still known.
    (tool,) = recorded_tools(row)
    assert tool(**made_traces.ARGUMENTS) == made_traces.RESULT


@pytest.mark.parametrize(
    ("messages", "why"),
    [
        ([made_traces.MESSAGES[0]], "no user's message"),
        (made_traces.MESSAGES[:2], "nothing after the user's last message"),
    ],
)
def test_what_makes_no_case(messages, why):
    with pytest.raises(NoCase, match=why):
        case_of(StoredConversation(id="x", messages=messages))


def test_a_history_without_calls_that_nobody_answered():
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    said = joined(
        messages_of(
            [
                {"role": "user", "content": [{"type": "image_url", "image_url": "x"}]},
                {"role": "assistant", "content": "One moment.", "tool_calls": [call]},
                {"role": "user", "content": "Well?"},
                {"role": "assistant", "content": "Sorry."},
            ]
        )
    )
    row = case_of(StoredConversation(id="x", messages=said))
    assert row["messages"] == [
        {"role": "assistant", "content": "One moment."},
        {"role": "user", "content": "Well?"},
    ]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "t.jsonl is empty"),
        (b"\xff\xfe\x00binary", "t.jsonl: this is no text in UTF-8"),
        (b'{"a": ', "t.jsonl:1: this is no JSON: "),
        (b'{"a": 1}\n', "t.jsonl: this is no trace that is known: known are OpenTele"),
        (b"[1, 2]", "t.jsonl: item 1: this is no trace that is known"),
        (b"[" * 100_000, "t.jsonl:1: this is no JSON: it is nested too deep"),
    ],
)
def test_files_that_are_no_traces(tmp_path, data, sentence):
    path = tmp_path / "t.jsonl"
    path.write_bytes(data)
    with pytest.raises(UsageError) as caught:
        read_traces(path)
    assert str(caught.value).startswith(f"{tmp_path}/{sentence}")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match=r"t\.jsonl: No such file or directory"):
        read_traces(tmp_path / "t.jsonl")


def test_mixed_kinds(tmp_path):
    values = [*made_traces.LANGFUSE["observations"], *made_traces.LANGSMITH["openai"]]
    with pytest.raises(UsageError) as caught:
        read_traces(write(tmp_path / "t.jsonl", values))
    assert str(caught.value) == (
        f"{tmp_path}/t.jsonl:3: this is of LangSmith runs, and what is before it is of "
        "Langfuse observations: give a file of each kind"
    )
    path = write(tmp_path / "t.jsonl", [*values[:2], {"odd": 1}])
    with pytest.raises(UsageError, match=r"jsonl:3: this is no such trace, and what"):
        read_traces(path)


# What is masked.


@pytest.mark.parametrize(
    ("text", "masked", "kind"),
    [
        (
            "I am ada.l+x@mail.example.org.",
            "I am person1@example.com.",
            "e-mail addresses",
        ),
        ("card 4111 1111 1111 1111!", "card masked-card-1!", "card numbers"),
        ("IBAN DE89 3704 0044 0532 0130 00", "IBAN masked-iban-1", "IBANs"),
        ("from 8.8.4.4", "from 192.0.2.1", "IP addresses"),
        ("call +49 30 901820", "call +1 555 0101", "phone numbers"),
        ("call (415) 555-2671", "call +1 555 0101", "phone numbers"),
        ("key sk-proj-abcdefghijklmnop1234", "key masked-key-1", "keys"),
    ],
)
def test_personal_data(text, masked, kind):
    mask = Mask()
    assert mask.conversation([text, {"a": text}]) == [masked, {"a": masked}]
    assert mask.found == {kind: 1}


@pytest.mark.parametrize(
    "text",
    [
        "order 4111111111111112",  # no check digit
        "version 10.0.0.1, 192.168.1.7",  # nobody's address
        "A4821 costs 84.35",
        "on 2024-05-29 at 10:00:00",
        "DE00 3704 0044 0532 0130 00",
        "user@localhost",
    ],
)
def test_what_is_none(text):
    mask = Mask()
    assert mask.conversation(text) == text
    assert not mask.found


def test_a_copy_stays_a_copy():
    row = {"said": "I am a@b.org, he is c@d.org", "calls": [{"to": "c@d.org", "n": 1}]}
    masked = Mask().conversation(row)
    assert masked["said"] == "I am person1@example.com, he is person2@example.com"
    assert masked["calls"] == [{"to": "person2@example.com", "n": 1}]


def test_patterns_of_the_users():
    mask = Mask([r"Ada \w+"])
    assert mask.conversation("Ada Lovelace wrote") == "masked-1 wrote"
    assert mask.found == {r"Ada \w+": 1}
    with pytest.raises(UsageError, match=r"--mask \(: this is no pattern: "):
        Mask(["("])


# The tools.


def test_recorded_tools_answer_as_they_did():
    parameters = {
        "properties": {"a": {"type": "integer"}, "b": {"type": "string"}, "c": {}},
        "required": ["a"],
    }
    about = {"name": "f", "description": "Does f.", "parameters": parameters}
    calls = [
        {"name": "f", "arguments": {"a": 1}, "result": "first"},
        {"name": "g", "arguments": {"a": 1}, "result": "of another"},
        {"name": "f", "arguments": {"a": 1}, "result": "second"},
    ]
    case = {"tools": [{"function": about}], "calls": calls}
    (function,) = recorded_tools(case)
    assert (function.__name__, function.__doc__) == ("f", "Does f.")
    assert function.__annotations__ == {"a": int, "b": str, "c": Any}
    assert [function(a=1), function(a=1, b=None), function(a=1)] == [
        *("first", "second", "second")
    ]
    with pytest.raises(LookupError, match=r"f\(a=2\) was not called .*is a=1; a=1"):
        function(a=2)


@pytest.mark.parametrize("case", [None, "text", {"tools": []}])
def test_what_is_no_imported_case(case):
    with pytest.raises(UsageError, match=r"give the case.value of a case that"):
        recorded_tools(case)
