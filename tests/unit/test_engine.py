import json
import random
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import RepetitionPenaltyLogitsProcessor

from agentgym.errors import UsageError
from agentgym.policy.chat.chat_template import ChatTemplate
from agentgym.policy.chat.prompt_messages import PromptError
from agentgym.policy.engine.engine import Engine
from agentgym.policy.engine.generation import Generation, SamplingParams
from agentgym.policy.engine.kv import attention, slots
from agentgym.policy.engine.kv.kv_cache import SharedPrefixCache
from agentgym.policy.engine.kv.plain_cache import PlainCache
from agentgym.policy.engine.kv.slots import Slots
from agentgym.policy.engine.loading import LoadedPolicy, load
from agentgym.policy.engine.penalties import reshape
from agentgym.policy.engine.sampling import sample
from agentgym.policy.engine.sequence import SampledRow, common_prefix
from agentgym.policy.folders.model_folder import check_folder
from tests.tiny_policy import TOOLS, conversation, make_tiny

SAMPLED = SamplingParams(max_tokens=12, seed=5, ignore_eos=True)


@pytest.fixture(scope="module", params=["llama", "qwen3", "gpt2"])
def policy(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> LoadedPolicy:
    return load(make_tiny(tmp_path_factory.mktemp("model"), request.param))


@pytest.fixture(scope="module")
def reference(policy: LoadedPolicy) -> LoadedPolicy:
    """The same model with transformers' own attention."""
    return load(policy.path)


@pytest.fixture
def engine(policy: LoadedPolicy) -> Iterator[Engine]:
    engine = Engine(policy)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> LoadedPolicy:
    return load(make_tiny(tmp_path_factory.mktemp("tiny")))


@pytest.mark.parametrize("masked", [False, True])
def test_attention_of_other_devices_is_that_of_the_cpu(masked, monkeypatch):
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, 4, size, 8) for size in (5, 7, 7))
    mask = torch.zeros(2, 1, 5, 7).masked_fill(torch.rand(2, 1, 5, 7) < 0.3, -1e9)
    given = (query, key, value, mask if masked else None, None)
    wanted = attention.attend(*given)
    monkeypatch.setattr(attention, "SCORES", 2 * 4 * 7 * 2)
    for other in (attention._in_plain_torch, attention._in_pieces):
        for part, whole in zip(other(*given), wanted, strict=True):
            torch.testing.assert_close(part, whole)


def prompts(policy: LoadedPolicy, count: int) -> list[list[int]]:
    template = ChatTemplate(policy.dialect)
    return [
        template.prompt(conversation(f"Order B{i} is late. " * (i + 1)), TOOLS).ids
        for i in range(count)
    ]


def worst_difference(reference: LoadedPolicy, done: list[Generation]) -> float:
    """The furthest that a log-probability is from a plain full forward pass's."""
    worst = 0.0
    for g in done:
        ids = torch.tensor([[*g.prompt, *g.token_ids]])
        with torch.inference_mode():
            logprobs = reference.model(ids).logits.log_softmax(-1)
        sampled = logprobs[0, len(g.prompt) - 1 : -1]
        expected = sampled.gather(-1, torch.tensor(g.token_ids)[:, None])[:, 0]
        worst = max(worst, float((expected - torch.tensor(g.logprobs)).abs().max()))
    return worst


def test_logprobs_agree_with_a_full_forward_pass(
    engine: Engine, reference: LoadedPolicy
) -> None:
    assert isinstance(engine._cache, SharedPrefixCache)
    first = engine.generate_all(prompts(reference, 6), SAMPLED)
    assert worst_difference(reference, first) < 1e-3
    # All but the first found the shared prefix computed.
    assert [g.cached_tokens > 200 for g in first] == [False] + [True] * 5

    tail = reference.tokenizer("\n<|im_start|>tool\nok<|im_end|>\n")["input_ids"]
    longer = [[*g.prompt, *g.token_ids, *tail] for g in first]
    second = engine.generate_all(longer, SAMPLED)
    assert worst_difference(reference, second) < 1e-3
    # The earlier turns are not computed again, but for the last token sampled.
    assert [g.cached_tokens for g in second] == [len(p) - len(tail) - 1 for p in longer]


def test_conversations_that_branch_and_diverge_stay_exact(
    engine: Engine, reference: LoadedPolicy
) -> None:
    template = ChatTemplate(reference.dialect)
    same = template.prompt(conversation("Where is it?"), TOOLS).ids
    other = template.prompt(conversation("Where is it?"), TOOLS[:2]).ids
    bare = template.prompt([{"role": "user", "content": "hello"}]).ids
    batch = [same, same, other, bare, same[:150], other, [7, 8, 9]]
    for _ in range(3):
        done = engine.generate_all(batch, SAMPLED)
        assert worst_difference(reference, done) < 1e-3


def test_a_long_prompt_is_read_in_steps(policy: LoadedPolicy) -> None:
    reference = load(policy.path)
    engine = Engine(policy, step_tokens=50)
    try:
        done = engine.generate_all(prompts(policy, 14), SAMPLED)
    finally:
        engine.close()
    assert worst_difference(reference, done) < 1e-3


def test_the_plain_cache_gives_the_same(tiny: LoadedPolicy) -> None:
    plain = PlainCache(load(tiny.path).model)
    engine = Engine(tiny)
    expected = engine.generate_all(prompts(tiny, 3), SAMPLED)
    engine._cache, shared = plain, engine._cache
    got = engine.generate_all(prompts(tiny, 3), SAMPLED)
    engine._cache = shared
    engine.close()
    assert [g.token_ids for g in got] == [g.token_ids for g in expected]


LONG = {"short_factor": [1.0, 1.1, 1.3, 2.0], "long_factor": [2.0, 4.0, 9.0, 30.0]}
ORIGINAL = {"original_max_position_embeddings": 90}


@pytest.mark.parametrize(
    ("kind", "settings", "context"),
    [
        ("longrope", {**LONG, **ORIGINAL, "factor": 4.0}, 90),
        ("dynamic", {"factor": 4.0}, 360),
        ("linear", {"factor": 4.0}, 360),
        ("yarn", {**ORIGINAL, "factor": 4.0}, 360),
        (
            "llama3",
            {**ORIGINAL, "factor": 4.0, "low_freq_factor": 1, "high_freq_factor": 4},
            360,
        ),
    ],
)
def test_positions_of_rows_do_not_depend_on_the_batch(
    tmp_path: Path, kind: str, settings: dict[str, object], context: int
) -> None:
    folder = make_tiny(tmp_path / kind, context=360)
    file = folder / "config.json"
    rope = {"rope_type": kind, "rope_theta": 10_000.0, **settings}
    config = json.loads(file.read_text()) | {"rope_parameters": rope}
    file.write_text(json.dumps(config))
    policy = load(folder)
    assert policy.context == context
    generator = random.Random(0)
    asked = [
        [generator.randrange(5, 60) for _ in range(length)]
        for length in (7, context - 4, 30, context - 20, context // 2)
    ]
    engine = Engine(policy)
    try:
        done = engine.generate_all(asked, SAMPLED)
        again = engine.generate_all(asked[::-1], SAMPLED)[::-1]
    finally:
        engine.close()
    assert [len(g.token_ids) for g in done] == [12, 4, 12, 12, 12]
    for generation in [*done, *again]:
        # Each alone, in a model that has seen no other row.
        assert worst_difference(load(folder), [generation]) < 1e-3


def test_a_seed_gives_the_same_tokens_whatever_the_batch_holds(
    tiny: LoadedPolicy,
) -> None:
    engine = Engine(tiny, max_rows=3)
    many = prompts(tiny, 7)
    together = engine.generate_all(many, SAMPLED)
    alone = [engine.generate(prompt, SAMPLED) for prompt in many]
    other = engine.generate(many[0], SamplingParams(max_tokens=12, seed=6))
    engine.close()
    assert [g.token_ids for g in together] == [g.token_ids for g in alone]
    assert other.token_ids != alone[0].token_ids


def test_finish_reasons(tiny: LoadedPolicy) -> None:
    engine = Engine(tiny)
    prompt = prompts(tiny, 1)[0]
    cut = engine.generate(prompt, SamplingParams(max_tokens=3, ignore_eos=True))
    assert (cut.finish_reason, len(cut.token_ids)) == ("length", 3)
    ended = engine.generate(prompt, SamplingParams(max_tokens=1500, seed=1))
    assert ended.finish_reason == "stop"
    assert ended.token_ids[-1] in tiny.stop_ids
    free = SamplingParams(max_tokens=30, seed=3, ignore_eos=True)
    text = tiny.tokenizer.decode(engine.generate(prompt, free).token_ids)
    stop = next(text[i : i + 2] for i in range(4, 30) if text[i : i + 2].isascii())
    stopped = engine.generate(
        prompt, SamplingParams(max_tokens=30, seed=3, ignore_eos=True, stop=(stop,))
    )
    assert (stopped.finish_reason, stopped.stop_text) == ("stop", stop)
    assert len(stopped.token_ids) < 30
    full = engine.generate([9] * 2040, SamplingParams(ignore_eos=True))
    assert (full.finish_reason, len(full.token_ids)) == ("length", 8)
    engine.close()


def test_a_cancelled_request_leaves_the_batch(tiny: LoadedPolicy) -> None:
    engine = Engine(tiny)
    params = SamplingParams(max_tokens=2000, ignore_eos=True)
    steps: list[Generation] = []

    def stop_after_three(generation: Generation) -> None:
        steps.append(generation)
        if len(steps) == 3:
            generation.cancel()

    prompt = prompts(tiny, 1)[0]
    cancelled = engine.submit(Generation(prompt, params, on_step=stop_after_three))
    engine.generate(prompt, SamplingParams(max_tokens=40, ignore_eos=True))
    engine.close()
    assert cancelled.finish_reason == "cancelled"
    assert len(cancelled.token_ids) <= 4


def test_a_failed_step_fails_its_requests_only(
    tiny: LoadedPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(tiny)
    prompt = prompts(tiny, 1)[0]
    with monkeypatch.context() as patch:

        def fail(counts: list[int]) -> torch.Tensor:
            raise RuntimeError("out of memory")

        patch.setattr(engine._cache, "forward", fail)
        with pytest.raises(RuntimeError, match="out of memory"):
            engine.generate(prompt, SAMPLED)
    assert len(engine.generate(prompt, SAMPLED).token_ids) == 12
    engine.close()


def test_kept_rows_stay_within_their_memory(tiny: LoadedPolicy) -> None:
    engine = Engine(tiny)
    cache = engine._cache
    assert isinstance(cache, SharedPrefixCache)
    cache._keep_bytes = 40_000
    done = engine.generate_all(prompts(tiny, 12), SAMPLED)
    assert worst_difference(load(tiny.path), done) < 1e-3
    assert cache._kept_bytes <= 40_000
    kept = [row.kept_L2HSD for row in cache._kept.values()]
    assert cache._kept_bytes == sum(kv.nbytes for kv in kept if kv is not None)
    engine.close()


def rows_of(lengths: list[int]) -> list[list[int]]:
    generator = random.Random(0)
    return [[generator.randrange(5, 300) for _ in range(n)] for n in lengths]


def held(cache: SharedPrefixCache) -> int:
    """Bytes of all slots, also of those that no row is in."""
    return sum(slab.kv_L2RHCD.nbytes for slab in cache._slots.slabs)


def test_a_long_row_costs_what_it_is_long_and_is_given_back(
    tiny: LoadedPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots, "SLAB_BYTES", 1)
    monkeypatch.setattr(slots, "SPARE_BYTES", 0)
    engine = Engine(tiny)
    cache = engine._cache
    assert isinstance(cache, SharedPrefixCache)
    seen: list[tuple[int, int]] = []
    forward = cache.forward

    def watched(counts: list[int]) -> torch.Tensor:
        logits = forward(counts)
        # All rows are there, and no more room than twice what they need.
        seen.append((len(cache.rows), held(cache)))
        return logits

    monkeypatch.setattr(cache, "forward", watched)
    lengths = [1900, *[20] * 12]
    # The short ones outgrow their slots, at different times.
    params = SamplingParams(max_tokens=300, seed=5, ignore_eos=True)
    futures: list[Generation] = []
    for prompt in rows_of(lengths):
        done = Generation(prompt, params)
        futures.append(engine.submit(done))
    reference = load(tiny.path)
    while not all(generation.finish_reason for generation in futures):
        time.sleep(0.01)
    engine.close()
    assert cache._slots.sizes is not None
    token = cache._slots.sizes.token_bytes
    assert max(count for count, _ in seen) == len(lengths)
    assert max(size for _, size in seen) <= token * (2048 + 12 * 512)
    assert held(cache) == 0
    assert len(futures[0].token_ids) == 2048 - 1900
    assert worst_difference(reference, futures) < 1e-3


def test_who_waits_for_memory_goes_first(
    tiny: LoadedPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = SharedPrefixCache(load(tiny.path).model)
    short, long, other = (SampledRow(ids) for ids in rows_of([20, 900, 30]))
    monkeypatch.setattr(Slots, "fits", lambda self, tokens: tokens < 500)
    assert not cache.blocked(long)  # Nobody is there whose end could be waited for.
    cache.admit(short)
    assert cache.blocked(long)
    assert cache.blocked(other)
    cache.release(short, keep=False)
    assert not cache.blocked(long)
    cache.admit(long)
    assert not cache.blocked(other)


def test_a_request_without_memory_fails_alone(
    tiny: LoadedPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(tiny)
    add = Slots.add

    def fail(self: Slots, row: SampledRow, tokens: int) -> None:
        if tokens > 500:
            raise torch.OutOfMemoryError("out of memory")
        add(self, row, tokens)

    monkeypatch.setattr(Slots, "add", fail)
    few, many = rows_of([20, 900])
    with pytest.raises(torch.OutOfMemoryError):
        engine.generate(many, SAMPLED)
    assert len(engine.generate(few, SAMPLED).token_ids) == 12
    engine.close()


def test_padding_and_unused_ids_are_never_sampled(tiny: LoadedPolicy) -> None:
    vocabulary = tiny.model.config.vocab_size
    assert tiny.tokenizer.pad_token_id in tiny.forbidden_ids
    assert vocabulary - 1 in tiny.forbidden_ids
    engine = Engine(tiny)
    params = SamplingParams(max_tokens=100, temperature=10, seed=2, ignore_eos=True)
    done = engine.generate_all(prompts(tiny, 4), params)
    engine.close()
    assert not tiny.forbidden_ids & {t for g in done for t in g.token_ids}


def test_sampling_follows_the_distribution() -> None:
    logits = torch.tensor([[2.0, 1.0, 0.0, -1.0]]).repeat(4000, 1)
    params = SamplingParams(temperature=0.7, seed=1)
    generator = random.Random(1)
    draws = sample(logits, [params] * 4000, [generator] * 4000)
    counts = torch.bincount(torch.tensor([d.token for d in draws]), minlength=4)
    expected = (logits[0] / 0.7).softmax(-1)
    assert torch.allclose(counts / 4000, expected, atol=0.03)
    # Log-probabilities are the model's own, at temperature 1.
    first = draws[0]
    assert first.logprob == pytest.approx(float(logits[0].log_softmax(-1)[first.token]))


@pytest.mark.parametrize(("top_p", "allowed"), [(0.5, {0}), (0.7, {0, 1}), (1e-9, {0})])
def test_top_p_keeps_the_likeliest_tokens(top_p: float, allowed: set[int]) -> None:
    logits = torch.tensor([[2.0, 1.0, 0.0, -1.0]]).repeat(500, 1)
    draws = sample(
        logits, [SamplingParams(top_p=top_p)] * 500, [random.Random(1)] * 500
    )
    assert {d.token for d in draws} == allowed


def test_greedy_and_sampled_rows_mix() -> None:
    logits = torch.randn(3, 50, generator=torch.Generator().manual_seed(0))
    greedy = SamplingParams(temperature=0, top_logprobs=2)
    draws = sample(
        logits, [greedy, SamplingParams(), greedy], [random.Random(i) for i in range(3)]
    )
    assert draws[0].token == int(logits[0].argmax())
    assert draws[2].top[0] == (draws[2].token, pytest.approx(draws[2].logprob))
    assert [len(d.top) for d in draws] == [2, 0, 2]


# The chat template and its splicing.


def call(arguments: str, call_id: str = "call_1") -> dict[str, object]:
    function = {"name": "lookup_order", "arguments": arguments}
    call = {"id": call_id, "type": "function", "function": function}
    return {"role": "assistant", "content": None, "tool_calls": [call]}


RESULT = {"role": "tool", "tool_call_id": "call_1", "content": "shipped"}


@pytest.mark.parametrize(
    ("sampled", "raw", "sent_back"),
    [
        ('{"order_id":"A17"}', '{"order_id":"A17"}', '{"order_id": "A17"}'),
        ('{"order_id": A17}', '{"order_id": A17}', '{"order_id": A17}'),
        # Pydantic AI sends what is no JSON back as JSON.
        (
            '{"order_id": A17}',
            '{"order_id": A17}',
            '{"INVALID_JSON": "{\\"order_id\\": A17}"}',
        ),
    ],
)
def test_the_next_turn_continues_the_exact_tokens(
    tiny: LoadedPolicy, sampled: str, raw: str, sent_back: str
) -> None:
    template = ChatTemplate(tiny.dialect)
    text = f'<tool_call>{{"name":"lookup_order","arguments":{sampled}}}</tool_call>'
    ids = template.encode(text + "<|im_end|>")
    prompt = template.prompt(conversation(), TOOLS)
    template.remember(prompt, call(raw), ids)

    messages = [*conversation(), call(sent_back) | {"content": ""}, RESULT]
    following = template.prompt(messages, TOOLS).ids
    known = [*prompt.ids, *ids]
    assert following[: len(known)] == known
    assert tiny.tokenizer.decode(following[len(known) :]) == (
        "\n<|im_start|>tool\n<tool_response>shipped</tool_response><|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    # Another conversation, or other tools, are rendered as usual.
    for changed in (
        template.prompt([*conversation("Hi"), *messages[2:]], TOOLS),
        template.prompt(messages, TOOLS[:2]),
        template.prompt([*messages[:2], call(sent_back, "call_2"), RESULT], TOOLS),
    ):
        assert changed.ids[: len(known)] != known


def test_a_text_beside_a_call_may_be_dropped_by_the_client(tiny: LoadedPolicy) -> None:
    template = ChatTemplate(tiny.dialect)
    raw = '{"order_id": "A17"}'
    text = f'I look.<tool_call>{{"name":"lookup_order","arguments":{raw}}}</tool_call>'
    ids = template.encode(text + "<|im_end|>")
    prompt = template.prompt(conversation(), TOOLS)
    template.remember(prompt, call(raw) | {"content": "I look."}, ids)
    messages = [*conversation(), call(raw) | {"content": ""}, RESULT]
    following = template.prompt(messages, TOOLS).ids
    assert following[: len(prompt.ids) + len(ids)] == [*prompt.ids, *ids]


def test_rollouts_that_begin_alike_keep_their_own_tokens(tiny: LoadedPolicy) -> None:
    template = ChatTemplate(tiny.dialect)
    reply = {"role": "assistant", "content": "ok"}
    more = [*conversation(), reply, {"role": "user", "content": "Yes?"}]
    sampled = {"a": [5, 6], "b": [7, 8]}
    for rollout, ids in sampled.items():
        prompt = template.prompt(conversation(), TOOLS, salt=rollout)
        template.remember(prompt, reply, ids)
    for rollout, ids in sampled.items():
        following = template.prompt(more, TOOLS, salt=rollout).ids
        assert following[len(prompt.ids) :][:2] == ids
    unknown = template.prompt(more, TOOLS).ids
    assert unknown[len(prompt.ids) :][:2] not in sampled.values()


def test_a_reply_that_was_cut_off_gets_its_end(tiny: LoadedPolicy) -> None:
    template = ChatTemplate(tiny.dialect)
    prompt = template.prompt(conversation(), TOOLS)
    ids = template.encode("Your order")
    reply = {"role": "assistant", "content": "Your order"}
    template.remember(prompt, reply, ids)
    more = [*conversation(), reply, {"role": "user", "content": "Yes?"}]
    following = template.prompt(more, TOOLS).ids
    tail = tiny.tokenizer.decode(following[len(prompt.ids) + len(ids) :])
    assert tail.startswith("<|im_end|>\n<|im_start|>user\nYes?<|im_end|>")


def test_remembered_replies_are_bounded(tiny: LoadedPolicy) -> None:
    template = ChatTemplate(tiny.dialect, remembered=3)
    for i in range(5):
        prompt = template.prompt(conversation(f"Order {i}"), TOOLS)
        template.remember(prompt, {"role": "assistant", "content": "ok"}, [5])
    assert len(template._remembered) == 3


def test_encoding_the_first_turn_apart_changes_nothing(tiny: LoadedPolicy) -> None:
    template = ChatTemplate(tiny.dialect)
    assert template._end_token == ("<|im_end|>", tiny.tokenizer.eos_token_id)
    text = template._render(conversation(), TOOLS, {})
    assert template._encode(text) == template.encode(text)


def test_tool_choice_forces_the_beginning_of_a_call(tiny: LoadedPolicy) -> None:
    template = ChatTemplate(tiny.dialect)
    plain = template.prompt(conversation(), TOOLS)
    forced = template.prompt(conversation(), TOOLS, "required")
    assert forced.forced.startswith('<tool_call>{"name": "')
    assert forced.ids[: len(plain.ids)] == plain.ids
    named = {"type": "function", "function": {"name": "issue_refund"}}
    assert '"issue_refund", "arguments":' in (
        template.prompt(conversation(), TOOLS, named).forced
    )
    none = template.prompt(conversation(), TOOLS, "none")
    assert none.ids == template.prompt(conversation()).ids


@pytest.mark.parametrize(
    ("messages", "choice", "sentence"),
    [
        ([], None, "messages is empty"),
        ([{"role": "boss", "content": "x"}], None, "unknown role 'boss'"),
        (
            [{"role": "user", "content": [{"type": "image_url"}]}],
            None,
            "content that is not text",
        ),
        (
            [{"role": "assistant", "tool_calls": [{}]}],
            None,
            "a tool call without a function name",
        ),
        (conversation(), "maybe", "tool_choice 'maybe' is unknown"),
        (
            conversation(),
            {"type": "function", "function": {"name": "fly"}},
            "the tool 'fly', which is not among the tools of the request",
        ),
    ],
)
def test_bad_requests_get_a_sentence(
    tiny: LoadedPolicy,
    messages: list[dict[str, object]],
    choice: str | dict[str, object] | None,
    sentence: str,
) -> None:
    with pytest.raises(PromptError, match=sentence):
        ChatTemplate(tiny.dialect).prompt(messages, TOOLS, choice)


# Loading.


def test_half_precision_weights_become_single_on_a_cpu(tiny: LoadedPolicy) -> None:
    assert load(tiny.path, device="cpu").model.dtype == torch.float32


def test_unusable_folders_get_a_sentence(tiny: LoadedPolicy, tmp_path: Path) -> None:
    def copy(*, without: str) -> Path:
        folder = tmp_path / without.strip("*.")
        folder.mkdir()
        for file in tiny.path.iterdir():
            if not file.match(without):
                (folder / file.name).write_bytes(file.read_bytes())
        return folder

    mute = copy(without="nothing")
    (mute / "chat_template.jinja").write_text("{{ messages[0].content }}")
    broken = copy(without="config.jsn")
    (broken / "config.json").write_text("{")
    for folder, sentence in (
        (tmp_path / "nowhere", "does not exist"),
        (tiny.path / "config.json", "is a file"),
        (copy(without="config.json"), r"it has no config\.json"),
        (broken, "is not valid JSON"),
        (copy(without="*.safetensors"), "has no weights"),
        (copy(without="chat_template.jinja"), "has no chat template"),
        (mute, "knows no tools"),
    ):
        for check in (check_folder, load):
            with pytest.raises(UsageError, match=sentence):
                check(folder)
    check_folder(tiny.path)
    (mute / "chat_template.jinja").write_text("{{ tools }}")
    (mute / "model.safetensors").write_bytes(b"\x00" * 64)
    with pytest.raises(UsageError, match="are corrupted: its header is cut off"):
        load(mute)


@pytest.mark.parametrize(
    ("one", "other", "length"),
    [
        ([], [1], 0),
        ([1, 2, 3], [1, 2, 4], 2),
        ([1, 2], [1, 2, 3], 2),
        ([7, 2], [1, 2], 0),
    ],
)
def test_common_prefix_of_lists_and_arrays(
    one: list[int], other: list[int], length: int
) -> None:
    assert common_prefix(one, other) == length
    arrays = [np.asarray(ids, dtype=np.int32) for ids in (other, one)]
    assert common_prefix(arrays[0], arrays[1]) == length
    assert common_prefix(arrays[1], other) == length


def test_penalties_are_those_of_transformers() -> None:
    generator = torch.Generator().manual_seed(1)
    logits_V = torch.randn(20, generator=generator)
    prompt, said = [1, 2, 3], [3, 4, 4]
    params = SamplingParams(repetition_penalty=1.4)
    processor = RepetitionPenaltyLogitsProcessor(penalty=1.4)
    expected = processor(torch.tensor([prompt + said]), logits_V[None].clone())[0]
    torch.testing.assert_close(reshape(logits_V, params, prompt, said), expected)
    params = SamplingParams(
        presence_penalty=0.5, frequency_penalty=0.25, logit_bias=((7, 3.0),)
    )
    changed = reshape(logits_V, params, prompt, said) - logits_V
    by_token = {3: -0.75, 4: -1.0, 7: 3.0}
    wanted = torch.tensor([by_token.get(token, 0.0) for token in range(20)])
    torch.testing.assert_close(changed, wanted)
