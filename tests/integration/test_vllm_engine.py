"""The engine that asks vLLM, on a server that answers as vLLM does."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("httpx")

from agentgym.errors import InfraError, UsageError
from agentgym.policy.engine.engine import Engine
from agentgym.policy.engine.generation import (
    Generation,
    SamplingParams,
    TokenEngine,
    UnknownAdapterError,
)
from agentgym.policy.engine.loading import load
from agentgym.policy.engine.token_model import read_token_model
from agentgym.policy.vllm_engine.served_model import check_updating, served_model
from agentgym.policy.vllm_engine.vllm_engine import VllmEngine
from tests.tiny_adapter import make_adapter
from tests.tiny_policy import make_tiny
from tests.vllm_double import VllmDouble

PROMPTS = [[5, 9, 40 + i] for i in range(6)]
GREEDY = SamplingParams(temperature=0, max_tokens=12)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny(tmp_path_factory.mktemp("tiny") / "m")


@pytest.fixture(scope="module")
def adapter(folder: Path) -> Path:
    return make_adapter(folder, folder.parent / "adapter")


Connect = Callable[..., tuple[VllmDouble, VllmEngine]]


@pytest.fixture
def connect(folder: Path) -> Iterator[Connect]:
    with ExitStack() as stack:

        def connect(*faults: str, **more: Any) -> tuple[VllmDouble, VllmEngine]:
            double = stack.enter_context(VllmDouble(folder, *faults).serving())
            served = served_model(double.url, "key")
            policy = read_token_model(folder)
            engine = VllmEngine(policy, served.endpoint, **more)
            stack.callback(engine.close)
            return double, engine

        yield connect


def sample(
    engine: TokenEngine,
    prompts: Sequence[Sequence[int]] = PROMPTS,
    params: SamplingParams = GREEDY,
    adapter: str | None = None,
) -> list[Generation]:
    futures: list[Future[Generation]] = [Future() for _ in prompts]
    for prompt, future in zip(prompts, futures, strict=True):
        engine.submit(Generation(prompt, params, adapter, on_done=future.set_result))
    done = [future.result(60) for future in futures]
    for generation in done:
        if generation.error is not None:
            raise generation.error
    return done


def test_it_samples_what_our_own_engine_does(connect, folder, adapter):
    _, engine = connect()
    own = Engine(load(folder, "cpu"))
    engine.load_adapter("v1", adapter)
    own.load_adapter("v1", adapter)
    for name in (None, "v1"):
        there, here = sample(engine, adapter=name), sample(own, adapter=name)
        assert [g.token_ids for g in there] == [g.token_ids for g in here]
        assert [g.logprobs for g in there] == [
            pytest.approx(g.logprobs, abs=1e-4) for g in here
        ]
        assert [g.finish_reason for g in there] == [g.finish_reason for g in here]
    own.close()
    assert engine.load == (0, 0)
    assert engine.trouble is None


def test_a_request_says_all_that_could_change_the_distribution(connect):
    """vLLM would take what a model's generation_config.json says for it."""
    double, engine = connect()
    params = SamplingParams(
        temperature=0.7,
        top_p=0.9,
        top_k=5,
        seed=3,
        max_tokens=4,
        logit_bias=((7, 1.5),),
    )
    sample(engine, [[5, 9]], params)
    _, asked = double.requests[-1]
    wanted = {
        "temperature": 0.7,
        "top_p": 0.9,
        "top_k": 5,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "seed": 3,
        "max_tokens": 4,
        "return_token_ids": True,
        "stop_token_ids": sorted(engine.policy.stop_ids),
    }
    assert {name: asked[name] for name in wanted} == wanted
    biases = {str(i): -100.0 for i in engine.policy.forbidden_ids}
    assert asked["logit_bias"] == {"7": 1.5} | biases


def test_a_stream_comes_step_by_step(connect):
    _, engine = connect()
    done: Future[Generation] = Future()
    steps: list[int] = []
    generation = Generation(
        PROMPTS[0],
        SamplingParams(max_tokens=5, ignore_eos=True, top_logprobs=2),
        on_step=lambda g: steps.append(len(g.token_ids)),
        on_done=done.set_result,
    )
    engine.submit(generation)
    assert done.result(60).finish_reason == "length"
    assert steps == sorted(steps)
    assert 0 < steps[0] <= 5
    assert len(generation.token_ids) == len(generation.logprobs) == 5
    assert [len(top) for top in generation.top_logprobs] == [2] * 5


def test_a_version_is_published_again_and_its_copies_go(connect, adapter, tmp_path):
    share = tmp_path / "share"
    double, engine = connect(share=share)
    engine.load_adapter("policy-v3", adapter)
    [first] = double.lora
    engine.load_adapter("policy-v3", adapter)
    sample(engine, adapter="policy-v3")
    [second] = double.lora
    assert first != second, "vLLM keeps what it computed of a prompt by the name"
    assert [path.name for path in share.iterdir()] == [second]
    engine.unload_adapter("policy-v3").result(10)
    assert not double.lora
    assert not list(share.iterdir())
    with pytest.raises(UnknownAdapterError):
        sample(engine, adapter="policy-v3")


def test_an_adapter_is_unloaded_when_nobody_uses_it_any_more(connect, adapter):
    double, engine = connect()
    engine.load_adapter("v1", adapter)
    done: Future[Generation] = Future()
    generation = Generation(
        PROMPTS[0],
        SamplingParams(max_tokens=1500, ignore_eos=True),
        "v1",
        on_done=done.set_result,
    )
    engine.submit(generation)
    gone = engine.unload_adapter("v1")
    if not generation.finish_reason:
        assert double.lora
    generation.cancel()
    assert done.result(60).finish_reason == "cancelled"
    gone.result(10)
    assert not double.lora


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("no lora", "serves no adapters: start it with --enable-lora$"),
        ("no updating", "VLLM_ALLOW_RUNTIME_LORA_UPDATING=True in its environment"),
        ("cannot read", r"cannot read the adapter's folder .*--agentgym-adapter-dir"),
        (
            "rank",
            r"at most rank 2, and this one has 4: start it with --max-lora-rank 4",
        ),
    ],
)
def test_an_adapter_that_is_refused(connect, adapter, fault, sentence):
    double, engine = connect(fault)
    if fault == "rank":
        double.max_rank = 2
    with pytest.raises(UsageError, match=f"^vLLM at http.*{sentence}"):
        engine.load_adapter("v1", adapter)


def test_adapters_that_cannot_be_written(connect, adapter, tmp_path):
    (tmp_path / "file").write_text("")
    _, engine = connect(share=tmp_path / "file")
    with pytest.raises(UsageError, match=r"--agentgym-adapter-dir .*file: an adapter"):
        engine.load_adapter("v1", adapter)


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("no ids", "returns no token ids"),
        ("other ids", "other token ids than it gave log-probabilities for"),
        ("other prompt", "answered another prompt than the 3 token ids"),
        ("no json", "answered no JSON"),
        ("silent", "does not answer"),
    ],
)
def test_an_answer_that_cannot_be_trained_on(connect, fault, sentence):
    double, engine = connect(fault)
    with pytest.raises(InfraError, match=f"^vLLM at http.*{sentence}"):
        sample(engine)
    assert (engine.trouble is not None) == (fault == "silent")
    double.faults.clear()
    sample(engine)
    assert engine.trouble is None


def test_servers_that_cannot_sample_for_us(folder):
    double = VllmDouble(folder)
    with double.serving():
        double.version = "0.9.2"
        with pytest.raises(
            UsageError, match=r"version 0\.9\.2, which returns no token"
        ):
            served_model(double.url, "key")
        for version in ("0.10.2", "1.0.0rc1", "0.1.dev1+gabc"):
            double.version = version
            served_model(double.url, "key")
        with pytest.raises(UsageError, match="serves 'base', not 'qwen'"):
            served_model(double.url, "key", "qwen")
        double.faults = {"other key"}
        with pytest.raises(UsageError, match="401: Unauthorized; its key comes from A"):
            served_model(double.url, "key")
        double.faults = {"no updating"}
        endpoint = served_model(double.url, "key").endpoint
        with pytest.raises(UsageError, match="VLLM_ALLOW_RUNTIME_LORA_UPDATING=True"):
            check_updating(endpoint)
        double.faults = {"other server"}
        with pytest.raises(UsageError, match="is no vLLM server: it answered /version"):
            served_model(double.url, "key")
    with pytest.raises(UsageError, match="does not answer"):
        served_model(double.url, "key")


def test_an_adapter_that_is_served_names_its_base(folder, adapter):
    with VllmDouble(folder).serving() as double:
        double.post(
            "/v1/load_lora_adapter", {"lora_name": "x", "lora_path": str(adapter)}
        )
        served = served_model(double.url, "key", "x")
    assert (served.root, served.adapter) == (str(folder), adapter)
    assert served.endpoint.model == "base"


def test_what_waits_is_cancelled_when_it_stops(connect):
    """A server that accepts and never answers."""
    _, engine = connect()
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}/v1"
        endpoint = type(engine._endpoint)(url, "key", "base")
        waiting = VllmEngine(engine.policy, endpoint)
        done: Future[Generation] = Future()
        ended = threading.Event()
        waiting.submit(Generation([5], GREEDY, on_done=done.set_result))
        threading.Thread(
            target=lambda: (waiting.close(), ended.set()), daemon=True
        ).start()
        assert done.result(30).finish_reason == "cancelled"
        assert ended.wait(30)
