"""`cases=dataset(...)`: cases from a file, which keep their names and their splits."""

from __future__ import annotations

import json

import pytest

COLLECTION = 2
SCENARIO = """
    from agentgym import dataset, scenario

    @scenario(cases=dataset("cases.jsonl", "text"), episodes=40)
    def test_it(agent, case, text):
        assert case.value["text"] == text
        assert agent.run(text).reply == text
"""


@pytest.fixture
def rows(gym):
    """Writes rows beside the scenario file, which is not in the root folder."""
    gym.file(SCENARIO, "tests/deep/test_it.py")

    def write(*rows):
        lines = "\n".join(json.dumps(row) for row in rows) + "\n"
        gym.file(lines, "tests/deep/cases.jsonl")

    return write


def played(gym, *arguments, tests=40):
    """The cases of a run by their texts."""
    result = gym.run(*arguments)
    result.assert_outcomes(passed=1)
    cases = [episode["case"] for episode in gym.episodes()]
    assert len(cases) == tests
    return {
        case["value"]: (case["split"], case["index"], case["seed"]) for case in cases
    }


def test_another_line_changes_no_other_case(gym, rows):
    texts = [{"text": f"order {i}"} for i in range(30)]
    rows(*texts)
    before = played(gym)
    assert len(before) == 30
    assert 1 <= sum(split == "held_out" for split, _, _ in before.values()) <= 15
    rows({"text": "a new one"}, *reversed(texts[1:]))
    after = played(gym)
    assert len(after) == 30
    del before["{'text': 'order 0'}"]
    assert before.items() <= after.items()
    before |= after
    rows(*({"text": f"order {i}", "more": 1} for i in range(30)))
    assert not set(played(gym).values()) & set(before.values())


def test_an_id_keeps_a_case_and_a_split_is_obeyed(gym, rows):
    made = [{"id": i, "text": f"order {i}"} for i in range(8)]
    rows(*made)
    before = set(played(gym).values())
    rows(*(row | {"text": row["text"].upper()} for row in made))
    assert set(played(gym).values()) == before
    held_out = {"text": "x", "split": "held_out"}
    rows(*(row | {"split": "train"} for row in made), held_out)
    splits = {value: split for value, (split, *_) in played(gym).items()}
    assert splits.pop(str(held_out)) == "held_out"
    assert set(splits.values()) == {"train"}
    only = played(gym, "--agentgym-split=held_out")
    assert len(only) == 1
    (_, index, _), *_ = only.values()
    one = played(gym, f"--agentgym-case=held_out-{index}", tests=1)
    assert one == only


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "tests/deep/cases.jsonl: No such file or directory"),
        ("", "tests/deep/cases.jsonl holds no case"),
        ('{"text": "a"}\n{"text": ', "cases.jsonl:2: this is no JSON: Expecting value"),
        ("[" * 100_000, "cases.jsonl:1: this is no JSON: "),
        ('{"text": "a"}\n\n"a"', "cases.jsonl:3 has no field 'text'"),
        (
            '{"text": "a"}\n{"text": "a"}',
            "cases.jsonl:2 is the same case as",
        ),
        ('{"text": "a", "id": 1}\n{"text": "b", "id": 1}', 'an "id" of its own'),
        ('{"text": "a", "id": [1]}', "cases.jsonl:1: id: give a text or a whole num"),
        ('{"text": "a", "split": "test"}', 'cases.jsonl:1: split: write "train" or "'),
        (b"\xff\xfe", "cases.jsonl: this is no text in UTF-8"),
    ],
)
def test_files_that_are_no_good(gym, text, sentence):
    path = gym.file(SCENARIO, "tests/deep/test_it.py").with_name("cases.jsonl")
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    result = gym.run()
    assert result.ret == COLLECTION
    told = " ".join(result.stdout.str().split())
    assert sentence in told
    assert "Traceback" not in told


def test_a_list_in_a_json_file(gym):
    gym.file('["one", "two", {"id": "three"}]', "cases.json")
    gym.file("""
        from agentgym import dataset, scenario

        @scenario(cases=dataset("cases.json"), episodes=3)
        def test_it(agent, case):
            assert agent.run(str(case.value)).reply
    """)
    assert len(played(gym, tests=3)) == 3
    gym.file('{"a": 1}', "cases.json")
    result = gym.run()
    assert "cases.json: write a list of cases" in result.stdout.str()
