"""A real vLLM: `make test-vllm` sets one up; else the environment names one."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path

import pytest

pytest.importorskip("agentlightning")
pytest.importorskip("langchain")

from agentgym.errors import UsageError
from agentgym.policy.chat.chat_template import ChatTemplate
from agentgym.policy.engine.engine import Engine
from agentgym.policy.engine.generation import Generation, SamplingParams, TokenEngine
from agentgym.policy.engine.loading import load
from agentgym.policy.engine.token_model import read_token_model
from agentgym.policy.folders.embedded import embedded_path
from agentgym.policy.vllm_engine.choice import PROGRAM, find_program
from agentgym.policy.vllm_engine.served_model import check_updating, served_model
from agentgym.policy.vllm_engine.vllm_engine import VllmEngine
from agentgym.policy.vllm_engine.vllm_process import VllmProcess
from tests.integration.test_training import Project
from tests.summary_schema import check_summary
from tests.tiny_adapter import make_adapter
from tests.tiny_policy import TOOLS, conversation, make_tiny

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not os.environ.get(PROGRAM),
        reason=f"{PROGRAM} names no vLLM: make test-vllm sets one up",
    ),
]
GREEDY = SamplingParams(temperature=0, max_tokens=48)
NOISE = 1e-3
"""What float32 may round differently; of random weights with large logits 1e-4 were
seen. A wrong adapter, mask or position costs a hundred times as much."""


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("vllm")


@pytest.fixture(scope="module")
def started(work: Path) -> Iterator[VllmProcess]:
    begun = time.monotonic()
    process = VllmProcess.start(
        find_program(), embedded_path(), rank=16, log=work / "vllm.log"
    )
    print(f"\nvLLM answered after {time.monotonic() - begun:.0f} s")
    yield process
    process.stop()


def engine_on(process: VllmProcess, model: Path) -> VllmEngine:
    endpoint = process.endpoint
    served = served_model(endpoint.base_url, endpoint.api_key)
    check_updating(served.endpoint)
    return VllmEngine(read_token_model(model), served.endpoint, context=served.context)


def sample(
    engine: TokenEngine, prompts: Sequence[Sequence[int]], adapter: str | None
) -> list[Generation]:
    futures: list[Future[Generation]] = [Future() for _ in prompts]
    for prompt, future in zip(prompts, futures, strict=True):
        engine.submit(Generation(prompt, GREEDY, adapter, on_done=future.set_result))
    done = [future.result(300) for future in futures]
    for generation in done:
        if generation.error is not None:
            raise generation.error
    return done


def compare(process: VllmProcess, model: Path, adapter: Path) -> None:
    """Greedy tokens and their log-probabilities, ours and vLLM's."""
    own, theirs = Engine(load(model, "cpu")), engine_on(process, model)
    template = ChatTemplate(own.policy.dialect)
    prompts = [
        template.prompt(conversation(f"Where is my order A{i}?"), TOOLS).ids
        for i in range(16)
    ]
    for engine in (own, theirs):
        engine.load_adapter("v1", adapter)
        engine.load_adapter("v1", adapter)
    for name in (None, "v1"):
        here, there = sample(own, prompts, name), sample(theirs, prompts, name)
        alike, differences = 0, []
        for one, other in zip(here, there, strict=True):
            pairs = zip(one.token_ids, other.token_ids, strict=False)
            same = next((i for i, (a, b) in enumerate(pairs) if a != b), None)
            alike += one.token_ids == other.token_ids
            both = zip(one.logprobs[:same], other.logprobs[:same], strict=False)
            differences += [abs(a - b) for a, b in both]
            assert one.token_ids == other.token_ids or same is not None
        mean, most = sum(differences) / len(differences), max(differences)
        print(
            f"{model.name}, {'base' if name is None else 'adapter'}: {alike} of "
            f"{len(here)} greedy replies alike, {len(differences)} log-probabilities "
            f"differ by {mean:.1e} on average, at most {most:.1e}"
        )
        assert most < NOISE
        # Where two tokens are as likely as each other, rounding decides.
        assert alike >= len(here) - 2
    own.close()
    theirs.close()


def test_it_samples_what_our_own_engine_does(started, work):
    compare(started, embedded_path(), make_adapter(embedded_path(), work / "adapter"))


def test_another_model_too(work):
    # Heads of 32: what vLLM has for CPUs without AMX takes no smaller ones.
    model = make_tiny(work / "tiny-llama", "llama", hidden=128)
    process = VllmProcess.start(find_program(), model, rank=8, log=work / "tiny.log")
    try:
        compare(process, model, make_adapter(model, work / "tiny-adapter"))
    finally:
        process.stop()


def test_adapters_that_it_refuses(started, work):
    engine = engine_on(started, embedded_path())
    high = make_adapter(embedded_path(), work / "rank-32", r=32)
    with pytest.raises(UsageError, match="at most rank 16, and this one has 32"):
        engine.load_adapter("v1", high)
    engine.close()


def refused(start: Callable[[], VllmProcess]) -> str:
    with pytest.raises(UsageError) as error:
        start().stop()
    return str(error.value)


def test_a_start_that_fails_says_why(work):
    log = work / "failed.log"
    sentence = refused(lambda: VllmProcess.start(find_program(), work, rank=8, log=log))
    print(sentence)
    assert sentence.startswith("vLLM ended at its start with exit code 1: ")
    assert "See root cause" not in sentence


def test_it_measures(work, monkeypatch):
    project = Project(work / "measure", "test_refunds.py")
    code, output = project.run(
        "--agentgym-engine=vllm", "customer_support", train=False
    )
    assert code in (0, 1), output
    summary = json.loads((project.runs[-1] / "summary.json").read_text())
    assert summary["episodes"]["passed"] + summary["episodes"]["failed"] == 16


def test_it_trains(started, work, monkeypatch):
    project, share = Project(work / "train", "test_refunds.py"), work / "share"
    monkeypatch.setenv("AGENTGYM_API_KEY", started.endpoint.api_key)
    begun = time.monotonic()
    process = project.start(
        f"--agentgym-policy={started.endpoint.base_url}#base",
        f"--agentgym-adapter-dir={share}",
        "--agentgym-updates=2",
        "customer_support",
    )
    output, _ = process.communicate(timeout=3600)
    assert process.returncode in (0, 1), output
    summary = json.loads((project.runs[-1] / "summary.json").read_text())
    check_summary(summary)
    mismatch = summary["training"]["mismatch"]
    print(f"two updates in {time.monotonic() - begun:.0f} s, mismatch {mismatch}")
    assert summary["training"]["updates"] == 2
    assert mismatch["engine"] == "vllm"
    assert 0 < mismatch["max"] < 1e-3
    assert not list(share.iterdir())
