"""The embedded policy and the command that makes it."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from agentgym.errors import UsageError
from agentgym.exit_code import ExitCode
from agentgym.policy.build.__main__ import build, main
from agentgym.policy.build.difficulty import Difficulty
from agentgym.policy.build.examples import Rows, load_dialogues
from agentgym.policy.build.model import behind_prefix, make_model
from agentgym.policy.build.recipe import Recipe
from agentgym.policy.build.tokenizer import encode, make_tokenizer, render
from agentgym.policy.chat.probe import find_dialect
from agentgym.policy.folders.embedded import embedded_path
from tests.made_tools import made_tool

FILES = (
    "build.json",
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
)
SCENARIOS = Path(__file__).parents[2] / "scenarios"
PACKS = ("customer_support", "data_analysis")
TOOLS = [made_tool("lookup_order", "Show an order.")]
TINY = Recipe(
    vocabulary=400,
    vocabulary_dialogues=50,
    hidden=32,
    layers=1,
    heads=2,
    feed_forward=64,
    clean_steps=3,
    mixed_steps=2,
    batch=4,
    at_once=2,
    warmup=1,
    threads=1,
)
TOY_PACK = """
import json, random

TOOLS = {tools}

def dialogues(seed, n, *, mistakes=0.0, shares=None):
    rng = random.Random(seed)
    for _ in range(n):
        order = "A" + str(rng.randrange(1000, 9999))
        bad = rng.random() < mistakes
        arguments = json.dumps(dict(order_id=order[:-1] if bad else order))
        call = dict(id="c0", type="function")
        call["function"] = dict(name="lookup_order", arguments=arguments)
        yield dict(
            messages=[
                dict(role="system", content="You help."),
                dict(role="user", content="Show order " + order + "."),
                dict(role="assistant", content="", tool_calls=[call]),
                dict(role="tool", tool_call_id="c0", content=arguments),
                dict(role="assistant", content="Here it is."),
            ],
            tools=TOOLS,
            mistake="bad_copy" if bad else None,
            scenario="toy",
        )
"""


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    pack = tmp_path / f"toy_{tmp_path.name}"
    pack.mkdir()
    path = pack / "dialogues.py"
    path.write_text(TOY_PACK.replace("{tools}", repr(TOOLS)))
    monkeypatch.syspath_prepend(str(tmp_path))
    return path


def spoken(toy: Path) -> Any:
    return load_dialogues([toy])[toy.parent.name]


@pytest.fixture
def toy_rows(toy: Path, toy_tokenizer: Any) -> Rows:
    return Rows(toy_tokenizer, load_dialogues([toy]))


@pytest.fixture
def toy_tokenizer(toy: Path) -> Any:
    return make_tokenizer(spoken(toy)(0, 50), 400)


@pytest.fixture
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return dict(model.state_dict())


# The command.


def test_template_writes_the_hermes_format(toy_tokenizer):
    call = {"name": "lookup_order", "arguments": '{"order_id": "A12"}'}
    text = render(
        toy_tokenizer,
        [
            {"role": "system", "content": "You help."},
            {"role": "user", "content": "Show A12."},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"type": "function", "function": call}],
            },
            {"role": "tool", "content": "one"},
            {"role": "tool", "content": "two"},
        ],
        TOOLS,
        generation=True,
    )
    head, tail = text.split("</tools>")
    assert head.startswith("<|im_start|>system\nYou help.\n\n# Tools\n<tools>\n")
    line = json.loads(head.splitlines()[-1])
    assert line["name"] == "lookup_order"
    assert line["parameters"] == {"order_id": "string"}
    assert tail.endswith(
        "<|im_start|>user\nShow A12.<|im_end|>\n"
        "<|im_start|>assistant\n<tool_call>\n"
        '{"name": "lookup_order", "arguments": {"order_id": "A12"}}\n'
        "</tool_call><|im_end|>\n"
        "<|im_start|>user\n<tool_response>\none\n</tool_response>\n"
        "<tool_response>\ntwo\n</tool_response><|im_end|>\n"
        "<|im_start|>assistant\n"
    )


@pytest.mark.parametrize(
    "arguments", [{"order_id": "A12"}, '{"order_id": "A12"}', '{"order_id" A12}']
)
def test_template_writes_arguments_of_any_kind(toy_tokenizer, arguments):
    function = {"name": "lookup_order", "arguments": arguments}
    messages = [
        {"role": "user", "content": "Show A12."},
        {"role": "assistant", "content": None, "tool_calls": [{"function": function}]},
    ]
    shown = arguments if isinstance(arguments, str) else json.dumps(arguments)
    assert f'"arguments": {shown}}}\n' in render(toy_tokenizer, messages, TOOLS)


def test_a_word_that_calls_take_from_a_sentence_is_one_token_in_both(toy):
    made = list(spoken(toy)(0, 50))
    for dialogue in made:
        asked, call = dialogue["messages"][1], dialogue["messages"][2]["tool_calls"][0]
        asked["content"] = "Show what the lamp costs."
        call["function"]["arguments"] = '{"order_id": "lamp"}'
    tokenizer = make_tokenizer(made, 400)
    [lamp] = encode(tokenizer, "lamp")
    assert lamp in encode(tokenizer, "Show what the lamp costs.")
    assert lamp in encode(tokenizer, '{"order_id": "lamp"}')
    # Nobody takes this one.
    assert encode(tokenizer, "costs")[0] not in encode(tokenizer, " costs")


def test_turns_encoded_apart_are_the_whole_encoded(toy, toy_tokenizer):
    for dialogue in spoken(toy)(7, 10, mistakes=0.5):
        messages, tools = dialogue["messages"], dialogue["tools"]
        whole = encode(toy_tokenizer, render(toy_tokenizer, messages, tools))
        for at in (2, 4):
            prompt = render(toy_tokenizer, messages[:at], tools, generation=True)
            full = render(toy_tokenizer, messages[: at + 1], tools)
            answer = full[len(prompt) :]
            assert full.startswith(prompt)
            parts = encode(toy_tokenizer, prompt) + encode(toy_tokenizer, answer)
            assert whole[: len(parts)] == parts


def test_loss_weighs_the_assistants_tokens(toy, toy_rows):
    recipe = replace(TINY, rest_weight=0.25)
    (part,) = toy_rows.parts(spoken(toy)(3, 1), 8, recipe, "toy")
    (row,) = part.rows
    answers = [toy_rows.tokenizer.decode(row[a:b]) for a, b in toy_rows.answers(row)]
    assert len(answers) == 2
    assert answers[0].startswith("<tool_call>")
    assert answers[1] == "Here it is.<|im_end|>"
    assert set(part.weights[0].tolist()) == {0.25, 1.0}


def test_rows_behind_the_prefix_are_whole_rows(toy, toy_rows):
    model = make_model(toy_rows.tokenizer, TINY).eval()
    (part,) = toy_rows.parts(spoken(toy)(5, 3), 8, TINY, "toy")
    prefix = part.prefix.tolist()
    with torch.no_grad():
        packed = behind_prefix(model, part.prefix, part.ids)
        for number, row in enumerate(part.rows):
            plain = model.model(torch.tensor([prefix + row])).last_hidden_state
            torch.testing.assert_close(
                packed[number, : len(row)],
                plain[0, len(prefix) :],
                atol=1e-4,
                rtol=1e-4,
            )


def test_an_update_has_parts_of_several_packs(toy_rows):
    packs = load_dialogues([SCENARIOS / f"{name}/dialogues.py" for name in PACKS])
    rows = Rows(toy_rows.tokenizer, packs)
    recipe = replace(TINY, batch=32, at_once=8)
    updates = rows.batches(3, 4, mistakes=0.5, recipe=recipe)
    assert sum(len(part.rows) for parts in updates for part in parts) == 4 * 32
    # Of each pack: its own prompt, and the same as CrewAI writes it.
    assert len(rows.prefixes) == 4
    texts = {id(ids): text for text, ids in rows.prefixes.items()}
    for parts in updates:
        assert all(len(part.rows) <= 8 for part in parts)
        used = [texts[id(part.prefix)] for part in parts]
        for name in ("issue_refund", "run_query"):
            assert any(name in text for text in used)
    again = rows.batches(3, 4, mistakes=0.5, recipe=recipe)
    assert [p.rows for u in again for p in u] == [p.rows for u in updates for p in u]


def test_what_is_wrong_is_drawn_more_often(toy_rows):
    packs = load_dialogues([SCENARIOS / f"{name}/dialogues.py" for name in PACKS])
    rows = Rows(toy_rows.tokenizer, packs)
    recipe = replace(TINY, batch=64, at_once=8)
    learned, hard = "customer_support", "test_unknown_brand_has_no_sales"
    difficulty = Difficulty()
    for name, dialogues in packs.items():
        for scenario in {each["scenario"] for each in dialogues(1, 400)}:
            for _ in range(60):
                difficulty.note(name, scenario, right=scenario != hard)

    def drawn(**more: Any) -> Counter[str]:
        updates = rows.batches(3, 8, mistakes=0.0, recipe=recipe, **more)
        blocks = [part for parts in updates for part in parts]
        packs_of = Counter({part.pack: 0 for part in blocks})
        for part in blocks:
            packs_of[part.pack] += len(part.rows)
            packs_of.update(part.scenarios)
        return packs_of

    usual, adapted = drawn(), drawn(difficulty=difficulty)
    assert usual[learned] == 8 * 64 / 2
    # 21 scenarios of the other pack, 20 of which count a fifth.
    assert adapted[hard] > 2.5 * usual[hard]
    assert adapted[learned] < usual[learned]
    again = Difficulty()
    again.restore(difficulty.state())
    assert drawn(difficulty=again) == adapted


def test_a_call_is_right_to_its_last_token(toy, toy_rows):
    (part,) = toy_rows.parts(spoken(toy)(3, 1), 8, TINY, "toy")
    (row,) = part.rows
    said = row[1:]
    assert list(toy_rows.right_calls(row, said)) == [True]
    (call, end), (text, _) = toy_rows.answers(row)
    for place in (call, end - 1):
        wrong = [*said]
        wrong[place - 1] += 1
        assert list(toy_rows.right_calls(row, wrong)) == [False]
    # A text may be another one, but no call.
    wrong = [*said]
    wrong[text - 1] += 1
    assert list(toy_rows.right_calls(row, wrong)) == [True]
    wrong[text - 1] = toy_rows.call_token
    assert list(toy_rows.right_calls(row, wrong)) == [True, False]


@pytest.mark.usefixtures("one_thread")
def test_the_same_seed_gives_the_same_weights(toy, tmp_path):
    for name in ("one", "two"):
        assert build([toy], tmp_path / name, TINY) == 0
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert (tmp_path / "one/tokenizer.json").read_bytes() == (
        tmp_path / "two/tokenizer.json"
    ).read_bytes()


@pytest.mark.usefixtures("one_thread")
def test_an_interrupted_build_goes_on_where_it_was(toy, tmp_path, monkeypatch):
    from agentgym.policy.build import imitation

    monkeypatch.setattr(imitation, "_UPDATES_AT_ONCE", 2)
    assert build([toy], tmp_path / "whole", TINY) == 0
    update, made = imitation.update, []

    def interrupted(*args: Any) -> float:
        if len(made) == 3:
            raise KeyboardInterrupt
        made.append(args[-1])
        return update(*args)

    with monkeypatch.context() as patch:
        patch.setattr(imitation, "update", interrupted)
        with pytest.raises(KeyboardInterrupt):
            build([toy], tmp_path / "parts", TINY)
    assert build([toy], tmp_path / "parts", TINY) == 0
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


@pytest.mark.usefixtures("one_thread")
def test_no_minutes_left_keeps_the_checkpoint(toy, tmp_path, capsys):
    assert build([toy], tmp_path / "out", TINY, minutes=0) == ExitCode.BELOW
    assert (tmp_path / "out.checkpoint").is_file()
    assert not (tmp_path / "out").exists()
    assert "the same command goes on" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_training_lowers_the_loss(toy, tmp_path, capsys):
    recipe = replace(TINY, clean_steps=20, mixed_steps=5)
    assert build([toy], tmp_path / "out", recipe) == 0
    record = json.loads((tmp_path / "out/build.json").read_text())
    assert record["loss"] < 5.4  # log(400) = 6.0 before the first update
    assert record["steps"] == 25
    assert 0 <= record["competence"][toy.parent.name] <= 1
    assert "clean 20/25" in capsys.readouterr().out


def test_a_missing_file_is_one_sentence(tmp_path, capsys):
    missing = tmp_path / "none.py"
    arguments = ["--dialogues", str(missing), "--out", str(tmp_path / "o")]
    assert main(arguments) == ExitCode.USAGE
    assert capsys.readouterr().err == (
        f"error: --dialogues {missing}: there is no such file\n"
    )


def test_a_file_without_dialogues_is_refused(toy):
    toy.write_text("x = 1\n")
    with pytest.raises(UsageError, match="has no function dialogues"):
        load_dialogues([toy])


def test_two_packs_of_one_name_are_refused(toy):
    with pytest.raises(UsageError, match=f"two packs are called {toy.parent.name}"):
        load_dialogues([toy, toy])


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_one_command_makes_a_policy_of_several_packs(tmp_path, capsys):
    files = [str(SCENARIOS / name / "dialogues.py") for name in PACKS]
    sizes = {name: getattr(TINY, name) for name in ("hidden", "layers", "heads")}
    steps = {"clean_steps": 2, "mixed_steps": 1, "vocabulary_dialogues": 40}
    small = {"vocabulary": 500, "batch": 8, "at_once": 4, "threads": 1}
    options = [
        text
        for name, value in (sizes | steps | small).items()
        for text in (f"--{name.replace('_', '-')}", str(value))
    ]
    out = tmp_path / "out"
    assert main(["--dialogues", *files, "--out", str(out), *options]) == 0
    record = json.loads((out / "build.json").read_text())
    assert set(record["competence"]) == set(PACKS)
    assert record["command"].endswith(" ".join(files))
    assert "fresh calls right: customer_support " in capsys.readouterr().out
    model = AutoModelForCausalLM.from_pretrained(out)
    tokenizer = AutoTokenizer.from_pretrained(out)
    for text in ("SELECT SUM(net) FROM returns_481 WHERE brand = 'Nalin'", "a\n-6 x"):
        assert tokenizer.decode(encode(tokenizer, text)) == text
    assert find_dialect(tokenizer, str(out))
    assert model.config.vocab_size == 500


# The result.

made = pytest.mark.skipif(
    not (embedded_path() / "model.safetensors").is_file(),
    reason="the embedded policy is not built yet",
)


@pytest.fixture(scope="module")
def embedded() -> tuple[Any, Any]:
    folder = embedded_path()
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return model.eval(), AutoTokenizer.from_pretrained(folder)


@made
def test_the_files_are_there_and_small():
    folder = embedded_path()
    assert {path.name for path in folder.iterdir()} >= set(FILES)
    assert sum(path.stat().st_size for path in folder.iterdir()) < 12_000_000


@made
def test_every_digit_is_one_token(embedded):
    _, tokenizer = embedded
    for text in ("A4821", "postcode 90210", '{"amount": 123.45}', "1900-00"):
        tokens = [tokenizer.decode([i]) for i in encode(tokenizer, text)]
        assert "".join(tokens) == text
        assert all(len(token) == 1 for token in tokens if any(map(str.isdigit, token)))


@made
def test_generation_ends_with_the_turn(embedded):
    model, tokenizer = embedded
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert model.generation_config.eos_token_id in (end, [end])


@made
@pytest.mark.parametrize(
    ("message", "name"),
    [
        ("Where is my order A4821? Thanks! Hiwun", "track_shipment"),
        ("Hello, Please cancel order A7353. Thanks! Bakos", "lookup_order"),
        ("Hi. How long is the warranty?", "search_articles"),
        ("I am going to sue you over A9125. Please hurry. Wusot", "hand_over"),
    ],
)
def test_a_greedy_call_is_well_formed(embedded, message, name):
    from scenarios.customer_support.dialogues import tool_schemas
    from scenarios.customer_support.language import INSTRUCTIONS

    model, tokenizer = embedded
    system = {"role": "system", "content": INSTRUCTIONS}
    user = {"role": "user", "content": message}
    text = render(tokenizer, [system, user], tool_schemas(), generation=True)
    ids = torch.tensor([encode(tokenizer, text)])
    out = model.generate(
        ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=60
    )
    reply = tokenizer.decode(out[0, ids.shape[1] :]).removesuffix("<|im_end|>")
    (call,) = find_dialect(tokenizer, "embedded").parse(reply).tool_calls
    assert call.name == name
    assert isinstance(json.loads(call.arguments), dict)
