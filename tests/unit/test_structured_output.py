"""Replies held to a schema, sampled from a random model that knows nothing of JSON."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from typing import Annotated, Any, Literal

import pytest
import torch
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from agentgym.policy.engine.engine import Engine
from agentgym.policy.engine.generation import Generation, SamplingParams
from agentgym.policy.engine.loading import LoadedPolicy, load
from agentgym.policy.folders.embedded import embedded_path
from agentgym.policy.server.structured_output import (
    Forms,
    SchemaError,
    StructuredOutput,
)
from tests.tiny_policy import make_tiny

OPEN, CLOSE = "<tool_call>", "</tool_call>"


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")


Short = Annotated[str, Field(max_length=6)]


class Refund(Closed):
    order: str = Field(pattern=r"^[A-Z][0-9]{2,4}$")
    amount: int = Field(ge=0, le=500)
    reason: Literal["late", "broken", "wrong size"]
    note: Short | None


class Line(Closed):
    name: Short
    pieces: int = Field(ge=1, le=9)


class Basket(Closed):
    """What is bought: "quoted", and nötig."""

    lines: list[Line] = Field(min_length=1, max_length=3)
    paid: bool


class Tree(Closed):
    name: Literal["leaf", 'é\n"<tool_call>']
    child: Tree | None


SHAPES: dict[str, Any] = {
    "refund": Refund,
    "nested": Basket,
    "recursive": Tree,
    "union": Refund | Basket,
    "array": list[Annotated[int, Field(ge=-5, le=5)]],
    "text": Literal["yes", "no"],
}
OBJECT = {"type": "object"}
FORMS: list[Forms] = ["answer", "answer or calls", "rest of calls"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> LoadedPolicy:
    return load(make_tiny(tmp_path_factory.mktemp("tiny")))


@pytest.fixture(scope="module")
def structured(tiny: LoadedPolicy) -> StructuredOutput:
    return StructuredOutput(tiny)


@pytest.fixture(scope="module")
def engine(tiny: LoadedPolicy) -> Iterator[Engine]:
    engine = Engine(tiny)
    yield engine
    engine.close()


def ask(engine: Engine, *asked: Generation) -> list[Generation]:
    """Replies that are in flight together."""
    futures: list[Future[Generation]] = [Future() for _ in asked]
    for generation, future in zip(asked, futures, strict=True):
        generation.on_done = future.set_result
        engine.submit(generation)
    return [future.result(60) for future in futures]


def prompt(engine: Engine) -> list[int]:
    return list(engine.policy.tokenizer("Where is A17?")["input_ids"])


def encode(policy: LoadedPolicy, text: str) -> list[int]:
    return list(policy.tokenizer(text, add_special_tokens=False)["input_ids"])


def text_of(policy: LoadedPolicy, generation: Generation) -> str:
    ids = [i for i in generation.token_ids if i not in policy.stop_ids]
    return str(policy.tokenizer.decode(ids, skip_special_tokens=False))


@pytest.mark.parametrize("forms", FORMS)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_finished_reply_keeps_to_its_schema(
    engine: Engine,
    structured: StructuredOutput,
    tiny: LoadedPolicy,
    shape: str,
    forms: Forms,
) -> None:
    form = TypeAdapter(SHAPES[shape])
    schema = form.json_schema()
    params = [
        SamplingParams(temperature=heat, top_p=top_p, seed=seed, max_tokens=300)
        for heat, top_p in ((0.0, 1.0), (0.3, 0.5), (1.0, 1.0), (2.0, 0.9), (10.0, 1.0))
        for seed in range(1 if heat == 0 else 6)
    ]
    asked = [
        Generation(
            prompt(engine), param, constraint=structured.constraint(schema, forms)
        )
        for param in params
    ]
    ended = [g for g in ask(engine, *asked) if g.finish_reason == "stop"]
    texts = [text_of(tiny, generation) for generation in ended]
    if forms == "rest of calls":
        texts = [OPEN + text for text in texts]
    answers = [text for text in texts if not text.startswith(OPEN)]
    for text in answers:
        form.validate_json(text, strict=True)
    for text in set(texts) - set(answers):
        # One call behind the other, and nothing else.
        assert text.rstrip(" \n").endswith(CLOSE)
        pieces = text.split(CLOSE)
        assert all(re.match(rf"[ \n]{{0,4}}({OPEN}|$)", piece) for piece in pieces)
    assert bool(answers) == (forms != "rest of calls")
    assert forms != "answer" or answers == texts


def test_any_object_is_json_up_to_where_it_is_cut_off(
    engine: Engine, structured: StructuredOutput, tiny: LoadedPolicy
) -> None:
    asked = [
        Generation(
            prompt(engine),
            SamplingParams(seed=seed, max_tokens=150),
            constraint=structured.constraint(OBJECT, "answer"),
        )
        for seed in range(12)
    ]
    reasons = set()
    for generation in ask(engine, *asked):
        reasons.add(generation.finish_reason)
        text = text_of(tiny, generation)
        assert text.startswith("{")
        if generation.finish_reason == "stop":
            assert isinstance(json.loads(text), dict)
        else:
            assert len(generation.token_ids) == 150
    assert reasons == {"stop", "length"}


def test_the_log_probabilities_are_the_free_policys(
    engine: Engine, structured: StructuredOutput, tiny: LoadedPolicy
) -> None:
    schema = TypeAdapter(Refund).json_schema()
    params = SamplingParams(seed=3, temperature=0.7, max_tokens=60, top_logprobs=3)
    constraint = structured.constraint(schema, "answer")
    [done] = ask(engine, Generation(prompt(engine), params, constraint=constraint))
    ids = torch.tensor([[*done.prompt, *done.token_ids]])
    with torch.inference_mode():
        logprobs = load(tiny.path).model(ids).logits.log_softmax(-1)
    free = logprobs[0, len(done.prompt) - 1 : -1]
    expected = free.gather(-1, torch.tensor(done.token_ids)[:, None])[:, 0]
    assert torch.allclose(expected, torch.tensor(done.logprobs), atol=1e-3)
    # What was forced is not likely to the policy, and it is said so.
    assert min(done.logprobs) < -3
    likeliest = [top[0][0] for top in done.top_logprobs]
    assert likeliest == free.argmax(-1).tolist()


def test_a_constraint_touches_its_own_request_only(
    engine: Engine, structured: StructuredOutput
) -> None:
    params = SamplingParams(seed=5, max_tokens=40, ignore_eos=True)
    alone = engine.generate(prompt(engine), params).token_ids
    free, held = ask(
        engine,
        Generation(prompt(engine), params),
        Generation(
            prompt(engine),
            params,
            constraint=structured.constraint(OBJECT, "answer or calls"),
        ),
    )
    assert free.token_ids == alone
    assert held.token_ids != alone


def _without_call_tokens(policy: LoadedPolicy) -> LoadedPolicy:
    """The policy with a tokenizer to which the marks of a call are plain text."""
    text = policy.tokenizer.backend_tokenizer.to_str()
    text = text.replace("<tool_call>", "<|a|>").replace("</tool_call>", "<|b|>")
    made: Any = PreTrainedTokenizerFast
    tokenizer = made(tokenizer_object=Tokenizer.from_str(text), eos_token="<|im_end|>")
    return replace(policy, tokenizer=tokenizer)


@pytest.mark.parametrize("plain", [False, True])
def test_what_is_in_a_call_is_the_policys_own(tiny: LoadedPolicy, plain: bool) -> None:
    policy = _without_call_tokens(tiny) if plain else tiny
    structured = StructuredOutput(policy)
    assert (len(encode(policy, OPEN)) > 1) == plain
    call = f'{OPEN}\n{{"name": "né", "arguments": {{"a": oops}}\n{CLOSE}'
    assert policy.dialect.read(call).calls
    both = f"{call}\n{call}"
    forced = f'{call}{OPEN}{{"na'

    def fits(forms: Forms, text: str) -> bool:
        constraint = structured.constraint(OBJECT, forms)
        for token in encode(policy, text):
            if not constraint.allowed()[token]:
                return False
            constraint.accept(token)
        end = next(iter(policy.stop_ids))
        return bool(constraint.allowed()[end])

    assert fits("answer or calls", call)
    assert fits("answer or calls", both)
    assert fits("answer or calls", "{}")
    assert fits("rest of calls", both.removeprefix(OPEN))
    # Not cut off, nothing else beside it, and no call where there are no tools.
    assert not fits("answer or calls", forced)
    assert not fits("answer or calls", call + " I look.")
    assert not fits("answer or calls", "I look. " + call)
    assert not fits("rest of calls", "{}")
    assert not fits("answer", call)


def test_blanks_come_to_an_end(
    structured: StructuredOutput, tiny: LoadedPolicy
) -> None:
    constraint = structured.constraint(OBJECT, "answer or calls")
    blanks = [i for i in range(len(tiny.tokenizer)) if tiny.tokenizer.decode(i) == " "]
    for text in ("{", "\n"):
        for token in tiny.tokenizer(text)["input_ids"]:
            constraint.accept(token)
    for _ in range(40):
        allowed_V = constraint.allowed()
        [blank] = blanks
        if not allowed_V[blank]:
            return
        constraint.accept(blank)
    pytest.fail("there is no end to them")


@pytest.mark.parametrize(
    ("schema", "sentence"),
    [
        ({"type": "strnig"}, "Invalid type: strnig"),
        ({"type": "object", "properties": []}, "properties must be an object"),
        ({"type": "string", "minLength": "x"}, "Expected positive integer"),
        ({"type": "string", "pattern": "["}, "regex parse error"),
        ({"type": "string", "format": "poem"}, "Unknown format: poem"),
        ({"$ref": "#/$defs/Missing"}, "'/$defs/Missing' does not exist"),
        ({"$ref": "https://example.com/x.json"}, "is not present in a registry"),
        ({"type": "array", "uniqueItems": True}, 'Unimplemented keys: ["uniqueItems"]'),
        ({"type": "integer", "minimum": 2, "maximum": 1}, "Unsatisfiable schema"),
    ],
)
@pytest.mark.parametrize("forms", FORMS)
def test_a_schema_that_is_no_good_gets_a_sentence(
    structured: StructuredOutput, schema: dict[str, Any], sentence: str, forms: Forms
) -> None:
    with pytest.raises(SchemaError) as caught:
        structured.constraint(schema, forms)
    message = str(caught.value)
    assert message.startswith("response_format: the schema cannot be kept to: ")
    assert sentence in message
    assert "\n" not in message


def test_where_nothing_can_go_on_only_that_request_fails(
    engine: Engine, tiny: LoadedPolicy
) -> None:
    [quote] = tiny.tokenizer('"', add_special_tokens=False)["input_ids"]
    quotes = {i for i in range(382) if '"' in tiny.tokenizer.decode(i)}
    assert quote in quotes
    mute = replace(tiny, forbidden_ids=tiny.forbidden_ids | quotes)
    constraint = StructuredOutput(mute).constraint({"const": "yes"}, "answer")
    params = SamplingParams(seed=1, max_tokens=20, ignore_eos=True)
    failed, free = ask(
        engine,
        Generation(prompt(engine), params, constraint=constraint),
        Generation(prompt(engine), params),
    )
    assert failed.finish_reason == "error"
    assert isinstance(failed.error, SchemaError)
    assert "this model has no tokens to write it with" in str(failed.error)
    assert (free.finish_reason, len(free.token_ids)) == ("length", 20)


def test_a_slow_tokenizer_gets_a_sentence(tiny: LoadedPolicy) -> None:
    class Slow:
        def __len__(self) -> int:
            return 10

    structured = StructuredOutput(replace(tiny, tokenizer=Slow()))
    with pytest.raises(SchemaError, match="does not work with the tokenizer of 'tiny"):
        structured.constraint(OBJECT, "answer")


def test_a_missing_library_gets_a_sentence(
    tiny: LoadedPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("llguidance")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "llguidance", None)
    with pytest.raises(SchemaError, match=r"pip install 'pytest-agentgym\[policy\]'"):
        StructuredOutput(tiny).constraint(OBJECT, "answer")


@pytest.mark.slow
def test_the_library_is_loaded_by_the_first_request_that_needs_it() -> None:
    code = (
        "import sys, agentgym.policy.server.routes\n"
        "print([m for m in sys.modules if 'llguidance' in m])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.stdout == "[]\n"


def test_the_embedded_policy_can_be_held_to_a_schema() -> None:
    policy = load(embedded_path())
    form: TypeAdapter[Refund | Basket] = TypeAdapter(Refund | Basket)
    constraints = StructuredOutput(policy)
    engine = Engine(policy)
    asked = [
        Generation(
            prompt(engine),
            SamplingParams(seed=seed, max_tokens=200),
            constraint=constraints.constraint(form.json_schema(), "answer"),
        )
        for seed in range(4)
    ]
    done = ask(engine, *asked)
    engine.close()
    for generation in done:
        assert generation.finish_reason == "stop"
        form.validate_json(text_of(policy, generation), strict=True)
