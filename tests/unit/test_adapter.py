"""LoRA adapters in the engine's weights, compared with peft's own model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("peft")

import torch
from safetensors.torch import load_file, save_file

from agentgym.errors import UsageError
from agentgym.policy.chat.chat_template import ChatTemplate
from agentgym.policy.engine import adapter
from agentgym.policy.engine.adapter import AdaptedWeights, read_adapter
from agentgym.policy.engine.engine import Engine
from agentgym.policy.engine.generation import (
    Generation,
    SamplingParams,
    UnknownAdapterError,
)
from agentgym.policy.engine.kv.kv_cache import SharedPrefixCache
from agentgym.policy.engine.loading import LoadedPolicy, load
from agentgym.policy.folders.embedded import embedded_path
from tests.tiny_adapter import make_adapter, with_adapter, worst_difference
from tests.tiny_policy import TOOLS, conversation, make_tiny

SAMPLED = SamplingParams(max_tokens=12, seed=5, ignore_eos=True)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> LoadedPolicy:
    return load(make_tiny(tmp_path_factory.mktemp("base") / "tiny"))


@pytest.fixture(scope="module")
def adapters(tiny: LoadedPolicy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapters")
    make_adapter(tiny.path, folder / "one", 1)
    make_adapter(tiny.path, folder / "two", 2)
    return folder


@pytest.fixture
def engine(tiny: LoadedPolicy, adapters: Path) -> Iterator[Engine]:
    engine = Engine(tiny)
    engine.load_adapter("one", adapters / "one")
    engine.load_adapter("two", adapters / "two")
    yield engine
    engine.close()


def prompts(policy: LoadedPolicy, count: int) -> list[list[int]]:
    template = ChatTemplate(policy.dialect)
    return [
        template.prompt(conversation(f"Order B{i} is late."), TOOLS).ids
        for i in range(count)
    ]


@pytest.mark.parametrize("copied", [adapter.COPIED, 0], ids=["merged", "beside"])
@pytest.mark.parametrize("base", ["embedded", "llama", "qwen3", "gpt2"])
def test_logprobs_agree_with_peft_after_every_switch(
    base: str, copied: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "COPIED", copied)
    folder = embedded_path() if base == "embedded" else make_tiny(tmp_path / base, base)
    made: dict[str | None, Path | None] = {
        None: None,
        "one": make_adapter(folder, tmp_path / "one", 1),
        "two": make_adapter(folder, tmp_path / "two", 2, r=6, use_rslora=True),
    }
    policy = load(folder)
    engine = Engine(policy)
    assert isinstance(engine._cache, SharedPrefixCache)
    for name, path in made.items():
        if name and path:
            engine.load_adapter(name, path)
    asked = prompts(policy, 3)
    for name in (None, "one", "two", "one", None):
        done = engine.generate_all(asked, SAMPLED, name)
        assert worst_difference(with_adapter(folder, made[name]), done) < 1e-3
        others = [path for other, path in made.items() if other != name]
        for path in others:
            assert worst_difference(with_adapter(folder, path), done) > 0.05
        # Nothing that was computed with other weights is used again.
        assert done[0].cached_tokens == 0
        assert done[1].cached_tokens > 0
        again = engine.generate_all(asked, SAMPLED, name)
        assert all(g.cached_tokens > 0 for g in again)
        assert worst_difference(with_adapter(folder, made[name]), again) < 1e-3
    engine.close()


def test_the_base_weights_come_back_exactly(tiny: LoadedPolicy, adapters: Path) -> None:
    before = {name: value.clone() for name, value in tiny.model.state_dict().items()}
    places = {name: id(p) for name, p in tiny.model.named_parameters()}
    weights = AdaptedWeights(tiny.model, name="tiny")
    one, two = read_adapter(adapters / "one"), read_adapter(adapters / "two")
    weights.use(one)
    merged = tiny.model.state_dict()["model.layers.0.mlp.up_proj.weight"].clone()
    for other in (two, one, two, one):
        weights.use(other)
    assert torch.equal(
        merged, tiny.model.state_dict()["model.layers.0.mlp.up_proj.weight"]
    )
    weights.use(None)
    after = tiny.model.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert places == {name: id(p) for name, p in tiny.model.named_parameters()}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_large_model_is_in_memory_once(
    adapters: Path, tiny: LoadedPolicy, monkeypatch: pytest.MonkeyPatch, dtype: str
) -> None:
    monkeypatch.setattr(adapter, "COPIED", 0)
    policy = load(tiny.path, "cpu", dtype)
    before = {name: id(p) for name, p in policy.model.named_parameters()}
    ids = torch.tensor([prompts(policy, 1)[0]])
    weights = AdaptedWeights(policy.model, name="tiny")
    with torch.inference_mode():
        base = policy.model(ids).logits
        weights.use(read_adapter(adapters / "one"))
        adapted = policy.model(ids).logits
        reference: Any = with_adapter(tiny.path, adapters / "one").to(
            policy.model.dtype
        )
        wanted = reference(input_ids=ids).logits
        assert before == {name: id(p) for name, p in policy.model.named_parameters()}
        weights.use(None)
        again = policy.model(ids).logits
    assert torch.equal(base, again)
    most = 1e-4 if dtype == "float32" else 0.5
    assert (adapted - wanted).abs().max() < most * max(1, wanted.abs().max())
    assert (adapted - base).abs().max() > 1


def test_a_tied_weight_is_adapted_in_one_place_only(
    tiny: LoadedPolicy, tmp_path: Path
) -> None:
    folder = make_adapter(tiny.path, tmp_path / "head", target_modules=["lm_head"])
    engine = Engine(tiny, adapter=folder)
    done = engine.generate_all(prompts(tiny, 2), SAMPLED)
    engine.close()
    assert worst_difference(with_adapter(tiny.path, folder), done) < 1e-3
    model: Any = tiny.model
    assert model.lm_head.weight is model.model.embed_tokens.weight


def test_an_adapter_from_the_start_is_the_model(
    tiny: LoadedPolicy, adapters: Path
) -> None:
    engine = Engine(tiny, adapter=adapters / "one")
    engine.load_adapter("two", adapters / "two")
    for name, path in ((None, "one"), ("two", "two"), (None, "one")):
        done = engine.generate_all(prompts(tiny, 2), SAMPLED, name)
        reference = with_adapter(tiny.path, adapters / path)
        assert worst_difference(reference, done) < 1e-3
    engine.close()


# Who waits for whom.


class Queue:
    """Requests in flight together, and the order of what happens to them."""

    def __init__(self, engine: Engine, prompt: list[int]) -> None:
        self.engine = engine
        self.prompt = prompt
        self.seen: list[str] = []
        self._done: list[Future[Generation]] = []

    def ask(
        self,
        label: str,
        adapter: str | None,
        *,
        tokens: int = 6,
        on_step: Callable[[Generation], None] | None = None,
    ) -> Generation:
        future: Future[Generation] = Future()
        self._done.append(future)

        def step(generation: Generation) -> None:
            self.seen.append(label)
            if on_step is not None:
                on_step(generation)

        def done(generation: Generation) -> None:
            self.seen.append(label)
            future.set_result(generation)

        params = SamplingParams(max_tokens=tokens, seed=1, ignore_eos=True)
        return self.engine.submit(
            Generation(self.prompt, params, adapter, on_step=step, on_done=done)
        )

    def wait(self) -> list[Generation]:
        return [future.result(60) for future in self._done]

    def order(self) -> list[str]:
        """Labels in the order of their first and, apart from it, their last token."""
        return list(dict.fromkeys(self.seen))


def test_requests_are_admitted_in_the_order_they_came(
    engine: Engine, tiny: LoadedPolicy
) -> None:
    queue = Queue(engine, prompts(tiny, 1)[0])

    def more(generation: Generation) -> None:
        if len(generation.token_ids) == 1:
            queue.ask("b", "two")
            queue.ask("c", "one", tokens=2)
            queue.ask("d", None)
            queue.ask("e", None)

    queue.ask("a", "one", tokens=30, on_step=more)
    while len(queue._done) < 5:
        queue._done[0].result(60)
    done = queue.wait()
    assert [g.finish_reason for g in done] == ["length"] * 5
    # Though the weights for "c" were there all along, "b" had come first.
    assert queue.order() == ["a", "b", "c", "d", "e"]
    seen = "".join(queue.seen)
    assert seen[:38] == "a" * 30 + "b" * 6 + "c" * 2
    assert seen[38:] in ("de" * 6, "d" + "de" * 5 + "e")


def test_a_waiting_request_that_is_cancelled_switches_nothing(
    engine: Engine, tiny: LoadedPolicy
) -> None:
    queue = Queue(engine, prompts(tiny, 1)[0])

    def more(generation: Generation) -> None:
        if len(generation.token_ids) == 1:
            queue.ask("b", "two").cancel()
            queue.ask("c", "one")

    queue.ask("a", "one", tokens=40, on_step=more)
    while len(queue._done) < 3:
        queue._done[0].result(60)
    first, cancelled, last = queue.wait()
    assert (cancelled.finish_reason, cancelled.token_ids) == ("cancelled", [])
    assert queue.seen.index("c") < 40
    assert last.cached_tokens > 0
    assert len(first.token_ids) == 40


def test_unloading_waits_for_what_was_asked_before(
    engine: Engine, tiny: LoadedPolicy, adapters: Path
) -> None:
    queue = Queue(engine, prompts(tiny, 1)[0])
    unloading: list[Future[None]] = []
    early: list[bool] = []

    def unload(generation: Generation) -> None:
        if len(generation.token_ids) == 1:
            queue.ask("b", "two")
            queue.ask("c", "one")
            unloading.append(engine.unload_adapter("one"))
            with pytest.raises(UnknownAdapterError, match="'one' is not loaded"):
                engine.submit(Generation([5], SAMPLED, "one"))
        early.append(unloading[0].done())

    queue.ask("a", "one", on_step=unload)
    while len(queue._done) < 3:
        queue._done[0].result(60)
    done = queue.wait()
    unloading[0].result(60)
    assert not any(early)
    for generation, name in zip(done, ("one", "two", "one"), strict=True):
        reference = with_adapter(tiny.path, adapters / name)
        assert worst_difference(reference, [generation]) < 1e-3
    assert engine._weights.active is None
    assert list(engine.adapters) == ["two"]
    with pytest.raises(UnknownAdapterError):
        engine.unload_adapter("one")


def test_a_name_that_is_loaded_again_means_the_new_adapter(
    engine: Engine, tiny: LoadedPolicy, adapters: Path
) -> None:
    queue = Queue(engine, prompts(tiny, 1)[0])

    def replace(generation: Generation) -> None:
        if len(generation.token_ids) == 1:
            engine.load_adapter("one", adapters / "two")
            queue.ask("b", "one")

    queue.ask("a", "one", on_step=replace)
    queue._done[0].result(60)
    old, new = queue.wait()
    for generation, name in ((old, "one"), (new, "two")):
        reference = with_adapter(tiny.path, adapters / name)
        assert worst_difference(reference, [generation]) < 1e-3


def test_weights_that_cannot_be_merged_fail_one_request(
    engine: Engine, tiny: LoadedPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = prompts(tiny, 1)
    merge, merged = AdaptedWeights._merge, []

    def fail(self: AdaptedWeights, name: str, *rest: Any) -> None:
        merged.append(name)
        if len(merged) == 3:
            raise torch.OutOfMemoryError("out of memory")
        merge(self, name, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(AdaptedWeights, "_merge", fail)
        with pytest.raises(torch.OutOfMemoryError):
            engine.generate_all(asked, SAMPLED, "one")
    plain = engine.generate_all(asked, SAMPLED)
    assert worst_difference(with_adapter(tiny.path, None), plain) < 1e-3
    assert len(engine.generate_all(asked, SAMPLED, "one")[0].token_ids) == 12


def test_a_closed_engine_answers_who_waits_for_an_unload(
    tiny: LoadedPolicy, adapters: Path
) -> None:
    engine = Engine(tiny)
    engine.load_adapter("one", adapters / "one")
    queue = Queue(engine, prompts(tiny, 1)[0])
    unloading: list[Future[None]] = []

    def unload(generation: Generation) -> None:
        if not unloading:
            unloading.append(engine.unload_adapter("one"))
            engine.stop()

    queue.ask("a", "one", tokens=1000, on_step=unload)
    assert queue.wait()[0].finish_reason == "cancelled"
    with pytest.raises(RuntimeError, match="the engine is closed"):
        unloading[0].result(60)
    engine.close()


# What cannot be merged.


def changed(source: Path, folder: Path, **config: Any) -> Path:
    shutil.copytree(source, folder)
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | config))
    return folder


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"use_dora": True}, "use_dora = True, which agentgym does not merge"),
        ({"rank_pattern": {"q_proj": 8}}, "rank_pattern = {'q_proj': 8}, which"),
        ({"alpha_pattern": {"q_proj": 8}}, "alpha_pattern = "),
        ({"bias": "all"}, "bias = 'all', which"),
        ({"init_lora_weights": "pissa_niter_4"}, "init_lora_weights = 'pissa_niter_4'"),
        ({"peft_type": "LOHA"}, "describes no LoRA adapter: its peft_type is 'LOHA'"),
        ({"r": 0}, "is corrupted: 'r' is 0: input should be greater"),
        ({"r": 5}, "is corrupted: lora_A and lora_B of .* at rank 5"),
    ],
)
def test_other_kinds_of_adapters_are_refused(
    adapters: Path, tmp_path: Path, config: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        read_adapter(changed(adapters / "one", tmp_path / "changed", **config))


def test_broken_files_get_a_sentence(adapters: Path, tmp_path: Path) -> None:
    def copy(name: str) -> Path:
        return Path(shutil.copytree(adapters / "one", tmp_path / name))

    weights = "adapter_model.safetensors"
    key = "base_model.model.model.layers.0.mlp.up_proj.lora_A.weight"
    cut, header, pickled, bare = map(copy, ("cut", "header", "pickled", "bare"))
    (cut / weights).write_bytes((cut / weights).read_bytes()[:-10])
    (header / weights).write_bytes(b"\xff" * 40)
    torch.save(load_file(pickled / weights), pickled / "adapter_model.bin")
    (pickled / weights).unlink()
    (bare / weights).unlink()
    infinite, half, extra, mute = map(copy, ("infinite", "half", "extra", "mute"))
    tensors = load_file(infinite / weights)
    save_file(tensors | {key: tensors[key] * torch.inf}, infinite / weights)
    save_file({k: v for k, v in tensors.items() if k != key}, half / weights)
    save_file(
        tensors | {"base_model.model.lm_head.weight": torch.ones(2)}, extra / weights
    )
    (mute / "adapter_config.json").write_text("{")
    for folder, sentence in (
        (tmp_path / "nowhere", "nowhere does not exist"),
        (tmp_path, r"is no LoRA adapter: it has no adapter_config\.json"),
        (cut, "is corrupted|are corrupted: it has .* bytes instead of"),
        (header, "are corrupted: its header is cut off"),
        (pickled, r"adapter_model\.bin are pickled, which can run any code"),
        (bare, r"has no weights: no adapter_model\.safetensors"),
        (infinite, "weights of model.layers.0.mlp.up_proj are not all finite"),
        (half, "is corrupted: lora_A and lora_B of"),
        (extra, r"holds 'base_model\.model\.lm_head\.weight', which agentgym does not"),
        (mute, r"adapter_config\.json is corrupted: it is not valid JSON"),
    ):
        with pytest.raises(UsageError, match=sentence):
            read_adapter(folder)


def test_an_adapter_of_another_model_is_refused(
    engine: Engine, adapters: Path, tmp_path: Path
) -> None:
    wide = make_adapter(make_tiny(tmp_path / "wide", hidden=48), tmp_path / "of_wide")
    other = make_adapter(make_tiny(tmp_path / "gpt2", "gpt2"), tmp_path / "of_gpt2")
    for folder, sentence in (
        (wide, r"is not for the model 'tiny', whose .* is \[.*\] and not \[.*\]"),
        (other, r"is not for the model 'tiny', which has no linear layer transformer"),
    ):
        with pytest.raises(UsageError, match=sentence):
            engine.load_adapter("other", folder)
    with pytest.raises(UsageError, match="'tiny' cannot be an adapter's name"):
        engine.load_adapter("tiny", adapters / "one")
    assert sorted(engine.adapters) == ["one", "two"]


def test_what_safetensors_says_of_a_file_is_one_line(
    adapters: Path, tmp_path: Path
) -> None:
    folder = changed(adapters / "one", tmp_path / "changed")
    file = folder / "adapter_model.safetensors"
    whole = file.read_bytes()
    size = int.from_bytes(whole[:8], "little")
    about = json.loads(whole[8 : 8 + size])
    next(each for name, each in about.items() if "lora" in name)["dtype"] = "two\nlines"
    head = json.dumps(about).encode()
    file.write_bytes(len(head).to_bytes(8, "little") + head + whole[8 + size :])
    with pytest.raises(UsageError, match="are corrupted: ") as refused:
        read_adapter(folder)
    assert str(refused.value).isprintable()
